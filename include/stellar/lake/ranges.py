"""Between which values a column lies, from the footers of its files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .read import Catalog


def ranges(catalog: Catalog, columns: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Least and greatest value of some numeric columns over all rows, from the files' statistics.

    Values that are not finite do not count; a column without any is from 0 to 0. Where a file has no statistics of a
    column, the column is read.

    Parameters
    ----------
    catalog : Catalog
    columns : sequence of str
    """
    found = {name: (np.inf, -np.inf) for name in columns}
    for path in catalog.files:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for name in found:
                low, high = _said(file.metadata, name) or _read(file, name)
                found[name] = min(found[name][0], low), max(found[name][1], high)
    return {name: (low, high) if low <= high else (0.0, 0.0) for name, (low, high) in found.items()}


def _said(footer: pq.FileMetaData, column: str) -> tuple[float, float] | None:
    """As the statistics of every row group say; None where one says nothing, or something not finite."""
    number = next((i for i in range(footer.num_columns) if footer.schema.column(i).path == column), None)
    if number is None:
        return None
    low, high = np.inf, -np.inf
    for group in range(footer.num_row_groups):
        about = footer.row_group(group).column(number)
        said = about.statistics
        if said is not None and said.has_null_count and said.null_count == about.num_values:
            continue
        if said is None or not said.has_min_max or not (np.isfinite(said.min) and np.isfinite(said.max)):
            return None
        low, high = min(low, float(said.min)), max(high, float(said.max))
    return low, high


def _read(file: pq.ParquetFile, column: str) -> tuple[float, float]:
    values = file.read(columns=[column], use_threads=False).column(0).cast(pa.float64())
    values = values.filter(pc.fill_null(pc.is_finite(values), False))
    if not len(values):
        return np.inf, -np.inf
    ends = pc.min_max(values).as_py()
    return ends["min"], ends["max"]
