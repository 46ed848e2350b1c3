"""Tables of features on disk, and their predictions, with no more than a bundle, Arrow and the model's library."""

from __future__ import annotations

import gzip
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stellar.errors import InputError
from stellar.registry.bundle import Bundle

BATCH, TABULAR_BATCH = 1024, 131_072
REFUSED, FAULT = "refused", "row_fault"  # columns: why a row is not predicted; what is wrong with one that is


@dataclass
class Predictions:
    """A row per object, what did it, and the inputs that could not be used, with the reason.

    Attributes
    ----------
    version : object
        The model's version; its text names it.
    rows : int
        How many were predicted; `table` has them, unless they were handed on as they came.
    """

    version: Any
    warning: str | None = None
    refused: list[tuple[str, str]] = field(default_factory=list)
    rows: int = 0
    parts: list[pa.Table] = field(default_factory=list)

    @property
    def table(self) -> pa.Table:
        return pa.concat_tables(self.parts)

    def add(self, part: pa.Table, keep: Callable[[pa.Table], None] | None) -> None:
        """Take a batch in, or hand it on."""
        self.rows += part.num_rows
        (keep or self.parts.append)(part)

    def check(self) -> None:
        """Refuse to have predicted nothing.

        Raises
        ------
        InputError
            With the reasons.
        """
        if not self.rows:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.refused[:5])
            more = f"; and {len(self.refused) - 5} more" if len(self.refused) > 5 else ""
            raise InputError(f"nothing to predict for: {reasons or 'the inputs have no rows'}{more}")


def text_of(path: Path | str) -> str:
    """A path as text that can be written; file names need be none."""
    return os.fsencode(path).decode("utf-8", "replace")


def tables_of_features(path: Path, bundle: Bundle, *, is_of_curated: bool) -> Iterator[pa.Table] | None:
    """Rows of a table on disk that has the model's columns, a batch at a time; None for a file of another kind."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        if is_of_curated and not {*bundle.reads} <= {*pq.read_schema(path).names}:
            return None
        return _with_ids(_of_parquet(path, bundle), path, bundle)
    if not name.endswith((".csv", ".csv.gz")):
        return None
    with gzip.open(path, "rb") if name.endswith(".gz") else path.open("rb") as stream:
        header = stream.readline(1 << 20).decode("utf-8", "replace")
    columns = {column.strip().strip('"') for column in header.lstrip("\ufeff").split(",")}
    known = columns & {*bundle.reads}
    # a survey's own table names some columns alike by chance
    if bundle.model.kind != "tabular" or not known or (is_of_curated and len(known) < len(bundle.reads)):
        return None
    from pyarrow import csv

    return _with_ids(iter([csv.read_csv(path)]), path, bundle)


def _of_parquet(path: Path, bundle: Bundle) -> Iterator[pa.Table]:
    """The columns that are read of a Parquet file, in batches; a table without rows has its columns too."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        wanted = {*bundle.reads, bundle.meaning.example, "id"}
        columns = [name for name in names if name in wanted]
        if not file.metadata.num_rows or not columns:
            yield file.read()
        for batch in file.iter_batches(batch_size(bundle), columns=columns) if columns else ():
            yield pa.Table.from_batches([batch])


def _with_ids(tables: Iterator[pa.Table], path: Path, bundle: Bundle) -> Iterator[pa.Table]:
    first = 0
    for table in tables:
        yield with_id(table, text_of(path), bundle, first)
        first += table.num_rows


def batch_size(bundle: Bundle) -> int:
    """Rows that are predicted at once: a spectrum is some thousand numbers, a star of a catalogue a few."""
    return TABULAR_BATCH if bundle.model.kind == "tabular" else BATCH


def with_id(rows: pa.Table, source: str, bundle: Bundle, first: int = 0) -> pa.Table:
    """Rows with the model's columns, `id` (the example's, a column `id`, or the row's number, as text) and `file`.

    `first` is the number of the first row.
    """
    missing = [name for name in bundle.reads if name not in rows.column_names]
    if missing:
        raise InputError(
            f"{source}: it lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which the model reads; its "
            f"columns are {', '.join(rows.column_names)}"
        )
    if twice := sorted({name for name in bundle.reads if rows.column_names.count(name) > 1}):
        raise InputError(f"{source}: it has the column {', '.join(twice)} twice; keep one")
    for name in (bundle.meaning.example, "id"):
        if name in rows.column_names:
            ids: Any = rows[name].cast(pa.string())
            break
    else:
        ids = pa.array(range(first, first + len(rows))).cast(pa.string())
    own = [one for one in ("id", "file", REFUSED, FAULT) if one in rows.column_names]
    rows = rows.drop_columns(own).add_column(0, "id", ids)
    return rows.append_column("file", pa.repeat(source, len(rows)))


def batches(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """Tables cut, and those of one schema put together: those of files have a row or a few."""
    held: list[pa.Table] = []
    for whole in tables:
        for begin in range(0, len(whole), size):
            table = whole.slice(begin, size)
            if held and (table.schema != held[0].schema or sum(map(len, held)) + len(table) > size):
                yield pa.concat_tables(held)
                held = []
            held.append(table)
    if held:
        yield pa.concat_tables(held)


def predictions(
    bundle: Bundle, tables: Iterator[pa.Table], key: str, refuse: Callable[[str, str], None]
) -> Iterator[pa.Table]:
    """What a version says of the rows of some tables, in their order, a batch at a time.

    Batches of a tabular model are predicted on all cores, one on each: so everything that belongs to a batch, reading
    and flags too, is done side by side, not the trees alone.

    Parameters
    ----------
    refuse : callable
        Called as (file, reason) for the files of a batch that cannot be predicted.
    """
    # of a network in several threads at once the random state would be shared
    is_network = "tensorflow-cpu" in bundle.model.libraries
    cores = len(os.sched_getaffinity(0)) if bundle.model.kind == "tabular" and not is_network else 1
    if cores > 1:
        bundle.model.use_threads(1)
    ahead: deque[tuple[pa.Table, Future[pa.Table]]] = deque()

    def done() -> Iterator[pa.Table]:
        rows, found = ahead.popleft()
        try:
            yield found.result()
        except Exception as fault:  # of a hostile file anything may come, and the others are done
            told = str(fault) if isinstance(fault, InputError) else f"{type(fault).__name__}: {fault}"
            for where in rows["file"].unique().to_pylist():
                refuse(where, told)

    with ThreadPoolExecutor(cores) as pool:
        for rows in batches(tables, batch_size(bundle)):
            ahead.append((rows, pool.submit(_predicted, bundle, rows, key)))
            if len(ahead) > cores:
                yield from done()
        while ahead:
            yield from done()


def _predicted(bundle: Bundle, rows: pa.Table, key: str) -> pa.Table:
    """Predictions of rows with `id` and `file`: `id` first, the version's key and the file last."""
    table = bundle.predict(rows, rows[REFUSED].to_pylist() if REFUSED in rows.column_names else None)
    if FAULT in rows.column_names:
        at, told = table.column_names.index("flags"), pc.coalesce(rows[FAULT], pa.scalar(""))
        both = pc.and_(pc.not_equal(told, ""), pc.not_equal(table["flags"], ""))
        flags = pc.binary_join_element_wise(table["flags"], told, pc.if_else(both, ";", ""))
        table = table.set_column(at, "flags", flags)
    table = table.add_column(0, "id", rows["id"])
    table = table.append_column("model_version", pa.repeat(key[:16], len(table)))
    return table.append_column("file", rows["file"])
