"""Tables of features on disk and their predictions, with no more than a bundle, Arrow and the model's library."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from stellar.errors import InputError
from stellar.registry.bundle import Bundle

BATCH = 1024  # feature rows that are predicted at once


def text_of(path: Path | str) -> str:
    """A path as text that can be written; file names need be none."""
    return os.fsencode(path).decode("utf-8", "replace")


def table_of_features(path: Path, bundle: Bundle, *, is_of_curated: bool) -> pa.Table | None:
    """A table on disk that has the model's columns; None for a file of another kind."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        if is_of_curated and not {*bundle.meaning.columns} <= {*pq.read_schema(path).names}:
            return None
        return with_id(pq.read_table(path), text_of(path), bundle)
    if not name.endswith((".csv", ".csv.gz")):
        return None
    with gzip.open(path, "rb") if name.endswith(".gz") else path.open("rb") as stream:
        header = stream.readline(1 << 20).decode("utf-8", "replace")
    columns = {column.strip().strip('"') for column in header.lstrip("\ufeff").split(",")}
    known = columns & {*bundle.meaning.columns}
    # a survey's own table names some columns alike by chance
    if bundle.model.kind != "tabular" or not known or (is_of_curated and len(known) < len(bundle.meaning.columns)):
        return None
    from pyarrow import csv

    return with_id(csv.read_csv(path), text_of(path), bundle)


def with_id(rows: pa.Table, source: str, bundle: Bundle) -> pa.Table:
    """Rows with the model's columns, `id` (the example's, a column `id`, or the row's number, as text) and `file`."""
    missing = [name for name in bundle.meaning.columns if name not in rows.column_names]
    if missing:
        raise InputError(
            f"{source}: it lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which the model reads; its "
            f"columns are {', '.join(rows.column_names)}"
        )
    for name in (bundle.meaning.example, "id"):
        if name in rows.column_names:
            ids: Any = rows[name].cast(pa.string())
            break
    else:
        ids = pa.array([str(number) for number in range(len(rows))], pa.string())
    rows = rows.drop_columns([one for one in ("id", "file") if one in rows.column_names]).add_column(0, "id", ids)
    return rows.append_column("file", pa.array([source] * len(rows), pa.string()))


def batches(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tables cut, and those of one schema put together: those of files have a row or a few."""
    held: list[pa.Table] = []
    for whole in tables:
        for begin in range(0, len(whole), BATCH):
            table = whole.slice(begin, BATCH)
            if held and (table.schema != held[0].schema or sum(map(len, held)) + len(table) > BATCH):
                yield pa.concat_tables(held)
                held = []
            held.append(table)
    if held:
        yield pa.concat_tables(held)


def predicted(bundle: Bundle, rows: pa.Table, key: str) -> pa.Table:
    """Predictions of rows with `id` and `file`: `id` first, the version's key and the file last."""
    table = bundle.predict(rows).add_column(0, "id", rows["id"])
    table = table.append_column("model_version", pa.array([key[:16]] * len(table), pa.string()))
    return table.append_column("file", rows["file"])
