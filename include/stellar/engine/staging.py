"""Staging: a table on disk becomes one batch whose chunks are sorted along the sky, ready to be cut into cells.

A batch is one or more uncompressed Arrow files (parts) with `_healpix_29` as first column (-1 where a row has no place
on the sky or no id); each of their record batches, the chunks, is sorted by it. So the rows of any cell are one slice
of each chunk, and memory stays bounded however large the table is. A file is staged once: as long as its path, size
and times stay the same, its batch is found again.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stellar.engine.keys import digest
from stellar.engine.parts import NOWHERE, Batches, Part
from stellar.errors import InputError, IntegrityError
from stellar.json_files import write_json
from stellar.lake.schema import INDEX_FIELD, stored_schema
from stellar.lake.write import file_sha256, row_bytes
from stellar.sky.healpix import INDEX_COLUMN, sky_order, spatial_index

if TYPE_CHECKING:
    from stellar.surveys.readers.chunks import SourceFile

#: Raise it when a batch of the same file would come out differently.
STAGER = 1
#: A chunk holds about this many bytes; two or three copies of one are in memory per thread.
CHUNK_BYTES = 32 << 20
#: A part is complete with this many bytes; what reads all of one has it in memory.
PART_BYTES = 192 << 20
# What is farther round than this is no angle but a mistake; the match takes no other RA either.
_LARGEST_RA_DEG = 1e6


@dataclass(frozen=True)
class Staged:
    """A staged batch: its id, parts (files below the lake's folder), rows, those without a place, and its source.

    `row_bytes` is the mean size of a row in memory, `bytes` the size of all parts.
    """

    batch_id: str
    parts: list[str]
    rows: int
    unplaced: int
    row_bytes: float
    bytes: int
    source: str
    source_sha256: str
    source_bytes: int


def folder_of(dataset: str) -> str:
    """Folder of a dataset's staged batches, below the lake's."""
    return f"staged/{dataset.replace('.', '/', 1)}"


def stage(lake: Path, dataset: str, source: SourceFile, schema: pa.Schema, options: Mapping[str, str]) -> Staged:
    """Stage one file, or find it staged.

    Parameters
    ----------
    lake : Path
    dataset : str
        The dataset that it becomes part of.
    source : stellar.surveys.readers.chunks.SourceFile
    schema : pyarrow.Schema
        Columns that every file of the import is brought to.
    options : mapping
        ``id``, ``ra`` and ``dec``: names of columns.

    Raises
    ------
    InputError
        When the file cannot be read; names it.
    IntegrityError
        When fewer or more rows were staged than the file says it has.
    """
    if (known := find_staged(lake, dataset, source, schema, options)) is not None:
        return known
    folder = lake / folder_of(dataset)
    kept = _kept(lake, dataset, source, schema, options)
    kept.parent.mkdir(parents=True, exist_ok=True)
    drafts: list[Path] = []
    try:
        # First: so a file that is not in memory is read from end to end, before the many small reads of its columns.
        sha256 = _hash(source)
        rows, unplaced, size = _write(source, schema, options, folder, drafts)
        if _sign(source, schema, options) != kept.stem:
            raise IntegrityError(f"{source.path}: was written while it was read; import it again when it is complete")
        batch_id = digest(["staged", STAGER, dataset, source.to_dict(), sha256, _form(schema, options)])
        parts = [folder / f"{batch_id}.{number:03d}.arrow" for number in range(len(drafts))]
        for draft, part in zip(drafts, parts, strict=True):
            Part(part, batch_id).forget()
            draft.replace(part)
            Part(part, batch_id).learn()
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
    staged = Staged(
        batch_id,
        [part.relative_to(lake).as_posix() for part in parts],
        rows,
        unplaced,
        size,
        sum(part.stat().st_size for part in parts),
        str(source),
        sha256,
        source.path.stat().st_size,
    )
    write_json(folder / f"{batch_id}.json", asdict(staged))
    write_json(kept, {"batch_id": batch_id})
    return staged


def _hash(source: SourceFile) -> str:
    try:
        return file_sha256(source.path)
    except OSError as fault:
        raise InputError(f"{source}: cannot be read: {fault}; look at its rights, or fetch it again") from None


def find_staged(
    lake: Path, dataset: str, source: SourceFile, schema: pa.Schema, options: Mapping[str, str]
) -> Staged | None:
    """The batch of a file that is staged already and was not touched since; arguments as for `stage`.

    It counts as young then, so that no maintenance takes it meanwhile. Only what is known of it is touched: its parts'
    times say when the source was read.
    """
    try:
        kept = _kept(lake, dataset, source, schema, options)
        batch_id = json.loads(kept.read_text(encoding="utf-8"))["batch_id"]
        os.utime(lake / folder_of(dataset) / f"{batch_id}.json")
        return read_staged(lake, dataset, batch_id)
    except (FileNotFoundError, ValueError, KeyError, IntegrityError):
        return None


def read_staged(lake: Path, dataset: str, batch_id: str) -> Staged:
    """What is known of a staged batch.

    Raises
    ------
    IntegrityError
        When the batch is not there.
    """
    path = lake / folder_of(dataset) / f"{batch_id}.json"
    try:
        staged = Staged(**json.loads(path.read_text(encoding="utf-8")))
        size = sum((lake / part).stat().st_size for part in staged.parts)
    except (FileNotFoundError, ValueError, TypeError):
        raise IntegrityError(f"{path}: staged batch is missing or damaged; import its file again") from None
    if size != staged.bytes:
        raise IntegrityError(f"{path}: its parts have {size} bytes, not {staged.bytes}; import its file again")
    return staged


def _form(schema: pa.Schema, options: Mapping[str, str]) -> list[Any]:
    return [[str(column.name), str(column.type)] for column in schema] + [sorted(options.items()), CHUNK_BYTES]


def _sign(source: SourceFile, schema: pa.Schema, options: Mapping[str, str]) -> str:
    """What stays the same as long as nobody touches a file (its change time cannot be set back)."""
    about = source.path.stat()
    times = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
    return digest(["file", STAGER, source.to_dict(), times, _form(schema, options)])


def _kept(lake: Path, dataset: str, source: SourceFile, schema: pa.Schema, options: Mapping[str, str]) -> Path:
    """Where it is kept which batch a file became."""
    return lake / folder_of(dataset) / "signs" / f"{_sign(source, schema, options)}.json"


def _write(
    source: SourceFile, schema: pa.Schema, options: Mapping[str, str], folder: Path, drafts: list[Path]
) -> tuple[int, int, float]:
    """Write a file's chunks, each sorted along the sky, to parts; rows, unplaced rows and mean bytes of a row."""
    from stellar.surveys.readers.chunks import count_rows, iter_chunks

    stored = stored_schema(pa.schema([column for column in schema if column.name != INDEX_COLUMN]))
    rows = unplaced = 0
    weight = 0.0
    with Parts(folder, pa.schema([INDEX_FIELD, *stored], metadata=stored.metadata), drafts) as parts:
        for chunk in iter_chunks(source, schema=schema, chunk_bytes=CHUNK_BYTES):
            table = chunk.select(stored.names).cast(stored)
            index = place(table, **options)
            order = pa.array(sky_order(index))
            placed = table.add_column(0, INDEX_FIELD, pa.array(index)).take(order).combine_chunks()
            parts.write(placed)
            rows += len(table)
            unplaced += int((index == NOWHERE).sum())
            weight += row_bytes(placed) * len(table)
    expected = count_rows(source)
    if expected is not None and expected != rows:
        raise IntegrityError(f"{source.path}: it says it has {expected} rows, {rows} were read; is it being written?")
    return rows, unplaced, weight / max(rows, 1)


class Parts:
    """Writes chunks to as many files as they need, whose names it puts into `drafts`; at least one."""

    def __init__(self, folder: Path, schema: pa.Schema, drafts: list[Path]) -> None:
        self.folder, self.schema, self.drafts = folder, schema, drafts
        self._open()

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _open(self) -> None:
        self.drafts.append(self.folder / f".{uuid.uuid4().hex}.tmp")
        self.sink = pa.OSFile(str(self.drafts[-1]), "wb")
        self.writer = pa.ipc.new_file(self.sink, self.schema)

    def _close(self) -> None:
        self.writer.close()
        self.sink.close()

    def write(self, chunk: pa.Table) -> None:
        """Write one chunk as one record batch."""
        if self.sink.tell() >= PART_BYTES:
            self._close()
            self._open()
        for batch in chunk.to_batches():
            self.writer.write_batch(batch)


def open_batches(lake: Path, found: Sequence[Staged]) -> Batches:
    """The rows of staged batches, by cell of the sky."""
    return Batches([Part(lake / path, one.batch_id) for one in found for path in one.parts])


def place(table: pa.Table, id: str, ra: str, dec: str) -> NDArray[np.int64]:
    """Order 29 index of each row, -1 where the position is not on the sky or the id is null."""
    lon, lat = (floats(table[name]) for name in (ra, dec))
    with np.errstate(invalid="ignore"):
        good = (np.abs(lon) <= _LARGEST_RA_DEG) & (np.abs(lat) <= 90)
    if table[id].null_count:
        good &= table[id].is_valid().to_numpy()
    if good.all():
        return spatial_index(lon, lat)
    index = np.full(len(table), NOWHERE, np.int64)
    index[good] = spatial_index(lon[good], lat[good])
    return index


def floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers as float64, null as NaN."""
    if column.type != pa.float64():
        column = pc.cast(column, pa.float64(), safe=False)  # a whole number too large for it is no position
    return np.asarray(column.to_numpy(), np.float64)
