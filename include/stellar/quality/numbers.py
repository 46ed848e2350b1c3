"""The default gate of users' own tables: a few numbers over all rows, counted in bounded memory.

Their results have the form of Great Expectations' own, so that `stellar gates` shows them alike; the library itself,
which would load the rows once more and takes seconds to import, is not needed to compare a count with zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stellar.lake.read import Catalog
from stellar.sky.healpix import INDEX_COLUMN, Cell

from .expectations import SHOWN_ROWS, Rule, number_rule
from .gate import GateResult

#: Raise it when the gate asks for more or less than before.
VERSION = 1


def run_number_gate(
    dataset: str,
    root: Path,
    ids: list[str],
    *,
    min_rows: int = 1,
    previous_rows: int | None = None,
    threads: int = 1,
) -> GateResult:
    """Check a catalogue: it has rows, no id is null or given twice, and every row lies in its cell.

    Parameters
    ----------
    dataset : str
    root : Path
        The snapshot's folder.
    ids : list of str
        Columns that identify a row: none may be null, no row may have those of another. Not checked when empty.
    min_rows : int
        Fewer rows fail.
    previous_rows : int, optional
        Rows of the snapshot that is current now; shown.
    threads : int
        How many partitions are read at once.

    Returns
    -------
    GateResult
    """
    catalog = Catalog(root)
    nulls, outside, rows, hashes = _count(catalog, ids, threads)
    before = f"the last current snapshot has {previous_rows} rows" if previous_rows else ""
    rules = [
        number_rule("rows", rows, min_rows, None, before),
        number_rule("misplaced_rows", outside, 0, 0, "rows outside their partition's cell"),
    ]
    failing: list[list[dict[str, Any]]] = [[], []]
    if ids:
        twice, examples = _repeated(catalog, ids, hashes)
        rules.append(number_rule("null_ids", nulls, 0, 0, f"rows without {', '.join(ids)}"))
        rules.append(number_rule("repeated_ids", twice, 0, 0, f"rows whose {', '.join(ids)} another row has too"))
        failing += [[], examples]
    outcomes = [_as_row(n, rule, shown) for n, (rule, shown) in enumerate(zip(rules, failing, strict=True), start=1)]
    return GateResult(dataset, all(row["passed"] for row in outcomes), rows, outcomes)


def _as_row(number: int, rule: Rule, failing: list[dict[str, Any]]) -> dict[str, Any]:
    low, high = rule.kwargs["min_value"], rule.kwargs["max_value"]
    passed = (low is None or rule.value >= low) and (high is None or rule.value <= high)
    return {
        "number": number,
        "expectation": rule.type,
        "column_name": rule.column,
        "passed": passed,
        "failing": None if passed else int(rule.value),
        "observed": {"value": rule.value},
        "kwargs": {**rule.kwargs, **({"note": rule.note} if rule.note else {})},
        "failing_rows": [] if passed else failing,
    }


def _count(catalog: Catalog, ids: list[str], threads: int) -> tuple[int, int, int, NDArray[np.uint64]]:
    """Null ids, rows outside their cell, rows, and a hash of every id."""

    def look(cell: Cell) -> tuple[int, int, int, NDArray[np.uint64]]:
        table = catalog.read(cell, [INDEX_COLUMN, *ids])
        outside = int((~cell.contains(table[INDEX_COLUMN].to_numpy())).sum())
        return sum(table[name].null_count for name in ids), outside, len(table), id_hashes(table, ids)

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(look, catalog.cells))
    nulls, outside, rows = (sum(one[k] for one in found) for k in range(3))
    return nulls, outside, rows, np.concatenate([np.empty(0, np.uint64), *(one[3] for one in found)])


def id_hashes(table: pa.Table, ids: list[str]) -> NDArray[np.uint64]:
    """64 bits of each row's id: an integer itself, a hash of the text of anything else; equal ones for equal ids."""
    if len(ids) == 1 and pa.types.is_integer(table[ids[0]].type):
        return table[ids[0]].fill_null(0).to_numpy().astype(np.int64).view(np.uint64)
    from pandas.util import hash_array

    total = np.zeros(len(table) if ids else 0, np.uint64)
    for name in ids:
        texts = np.asarray(table[name].cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False), object)
        total = total * np.uint64(31) + hash_array(texts, categorize=False)
    return total


def _repeated(catalog: Catalog, ids: list[str], hashes: NDArray[np.uint64]) -> tuple[int, list[dict[str, Any]]]:
    """Rows whose id another row has too, and the first of them. Sorts `hashes` in place."""
    hashes.sort()
    suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(suspects):
        return 0, []
    counts: dict[tuple[Any, ...], int] = {}
    for row in _rows_with(catalog, ids, suspects):
        counts[row] = counts.get(row, 0) + 1
    repeated = {row: count for row, count in counts.items() if count > 1}
    shown = [dict(zip(ids, row, strict=True)) | {"rows": count} for row, count in list(repeated.items())[:SHOWN_ROWS]]
    return sum(repeated.values()), shown


def _rows_with(catalog: Catalog, ids: list[str], suspects: NDArray[np.uint64]) -> Iterator[tuple[Any, ...]]:
    for cell in catalog.cells:
        table = catalog.read(cell, ids)
        same = np.isin(id_hashes(table, ids), suspects)
        if same.any():
            yield from zip(*(column.to_pylist() for column in table.filter(pa.array(same)).columns), strict=True)
