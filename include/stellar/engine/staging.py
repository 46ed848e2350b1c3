"""Staging: a table on disk becomes one batch whose chunks are sorted along the sky, ready to be cut into cells.

A batch is one or more uncompressed Arrow files (parts) with `_healpix_29` as first column (-1 where a row has no place
on the sky or no id); each of their record batches, the chunks, is sorted by it. So the rows of any cell are one slice
of each chunk, found by binary search in a mapped file, and memory stays bounded however large the table is. A file is
staged once: as long as its path, size and times stay the same, its batch is found again.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stellar.engine.keys import digest
from stellar.errors import IntegrityError
from stellar.lake.schema import INDEX_FIELD, stored_schema
from stellar.lake.write import file_sha256, row_bytes
from stellar.sky.healpix import INDEX_COLUMN, spatial_index

if TYPE_CHECKING:
    from stellar.surveys.readers.chunks import SourceFile

#: Raise it when a batch of the same file would come out differently.
STAGER = 1
#: A chunk holds about this many bytes; two or three copies of one are in memory per thread.
CHUNK_BYTES = 32 << 20
#: A part is complete with this many bytes; what reads all of one has it in memory.
PART_BYTES = 192 << 20
#: After so much was read, parts are mapped anew: the kernel maps far more around each slice than is asked for.
READ_BYTES = 24 << 20
NOWHERE = -1
#: Column that says which batch a row without a place came from.
BATCH = "batch_id"
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
    folder = lake / folder_of(dataset)
    kept = folder / "signs" / f"{_sign(source, schema, options)}.json"
    if (known := _known(lake, dataset, kept)) is not None:
        return known
    kept.parent.mkdir(parents=True, exist_ok=True)
    drafts: list[Path] = []
    try:
        rows, unplaced, size = _write(source, schema, options, folder, drafts)
        sha256 = file_sha256(source.path)
        if _sign(source, schema, options) != kept.stem:
            raise IntegrityError(f"{source.path}: was written while it was read; import it again when it is complete")
        batch_id = digest(["staged", STAGER, dataset, source.to_dict(), sha256, _form(schema, options)])
        parts = [folder / f"{batch_id}.{number:03d}.arrow" for number in range(len(drafts))]
        for draft, part in zip(drafts, parts, strict=True):
            part.with_suffix(".pieces.json").unlink(missing_ok=True)
            draft.replace(part)
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
    _write_json(folder / f"{batch_id}.json", asdict(staged))
    _write_json(kept, {"batch_id": batch_id})
    return staged


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


def _write_json(path: Path, value: Any) -> None:
    fresh = path.with_name(f".{uuid.uuid4().hex}.tmp")
    fresh.write_text(json.dumps(value, sort_keys=True), encoding="utf-8")
    fresh.replace(path)


def _form(schema: pa.Schema, options: Mapping[str, str]) -> list[Any]:
    return [[str(column.name), str(column.type)] for column in schema] + [sorted(options.items()), CHUNK_BYTES]


def _sign(source: SourceFile, schema: pa.Schema, options: Mapping[str, str]) -> str:
    """What stays the same as long as nobody touches a file (its change time cannot be set back)."""
    about = source.path.stat()
    times = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
    return digest(["file", STAGER, source.to_dict(), times, _form(schema, options)])


def _known(lake: Path, dataset: str, kept: Path) -> Staged | None:
    try:
        return read_staged(lake, dataset, json.loads(kept.read_text(encoding="utf-8"))["batch_id"])
    except (FileNotFoundError, ValueError, KeyError, IntegrityError):
        return None


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
            order = pa.array(np.argsort(index))
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


class Part:
    """One part of a staged batch, mapped into memory when it is first read. What was read counts as memory."""

    def __init__(self, path: Path, batch_id: str) -> None:
        self.path, self.batch_id, self.name = path, batch_id, path.name.removesuffix(".arrow")
        self._known: dict[str, list[Any]] | None = None
        self._fresh = False

    @cached_property
    def chunks(self) -> list[tuple[pa.RecordBatch, NDArray[np.int64]]]:
        """Each chunk with its order 29 indices."""
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(self.path)))
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise IntegrityError(f"{self.path}: staged rows are missing or damaged ({error}); import again") from None
        found = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        return [(chunk, chunk.column(0).to_numpy()) for chunk in found]

    @property
    def known(self) -> dict[str, list[Any]]:
        """Range of indices -> number of rows, SHA-256 of them (None: not asked yet); kept in a file beside the part."""
        if self._known is None:
            try:
                self._known = json.loads(self._file.read_text(encoding="utf-8"))
            except (FileNotFoundError, ValueError):
                self._known = {}
        return self._known

    @property
    def _file(self) -> Path:
        return self.path.with_suffix(".pieces.json")

    def slices(self, low: int, high: int) -> list[pa.RecordBatch]:
        """Rows of each chunk that has some between two indices."""
        places = ((chunk, *np.searchsorted(index, [low, high])) for chunk, index in self.chunks)
        return [chunk.slice(first, last - first) for chunk, first, last in places if first < last]

    def count(self, low: int, high: int) -> int:
        """Rows between two indices."""
        return int(self._piece(low, high)[0])

    def sha256(self, low: int, high: int) -> str:
        """Hash of the rows between two indices, in their order here."""
        piece = self._piece(low, high)
        if piece[1] is None:
            sha256 = hashlib.sha256()
            for rows in self.slices(low, high):
                add_rows(sha256, rows)
            piece[1] = sha256.hexdigest()
            self._fresh = True
        return str(piece[1])

    def _piece(self, low: int, high: int) -> list[Any]:
        piece = self.known.get(f"{low}-{high}")
        if piece is None:
            rows = sum(int(np.diff(np.searchsorted(index, [low, high]))[0]) for _, index in self.chunks)
            piece = self.known[f"{low}-{high}"] = [rows, None]
            self._fresh = True
        return piece

    def close(self) -> None:
        """Let go of the memory."""
        self.__dict__.pop("chunks", None)

    def keep(self) -> None:
        """Keep what was counted and hashed, so that the next plan need not read the rows; let go of the memory."""
        self.close()
        if self._fresh:
            _write_json(self._file, self.known)
            self._fresh = False


class Batches:
    """Staged batches of one dataset: their rows by cell of the sky."""

    def __init__(self, lake: Path, dataset: str, ids: Sequence[str]) -> None:
        staged = [read_staged(lake, dataset, batch_id) for batch_id in sorted(ids)]
        self.rows = sum(one.rows for one in staged)
        self.bytes = sum(one.rows * one.row_bytes for one in staged)
        self.unplaced_rows = sum(one.unplaced for one in staged)
        parts = [Part(lake / path, one.batch_id) for one in staged for path in one.parts]
        self.parts = {part.name: part for part in parts}
        self._read = 0

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns, `_healpix_29` first."""
        with pa.memory_map(str(next(iter(self.parts.values())).path)) as source:
            return pa.ipc.open_file(source).schema

    def count(self, low: int, high: int) -> int:
        """Rows between two indices."""
        return sum(part.count(low, high) for part in self.parts.values())

    def below(self, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows with a place whose index is below each of some; one part at a time is in memory."""
        total = np.zeros(len(bounds), np.int64)
        for part in self.parts.values():
            total += [part.count(0, int(bound)) if bound else 0 for bound in bounds]
            part.close()
        return total

    def prepare(self, bounds: Sequence[tuple[int, int]], threads: int) -> None:
        """Hash the rows of many ranges, part by part, so that no more than a part per thread is in memory."""

        def one(part: Part) -> None:
            for low, high in bounds:
                if part.count(low, high):
                    part.sha256(low, high)
            part.keep()

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, self.parts.values()))

    def close(self) -> None:
        """Let go of the memory of all parts."""
        self._read = 0
        for part in self.parts.values():
            part.close()

    def hashes(self, low: int, high: int) -> list[list[str]]:
        """(part, SHA-256 of its rows) of each part with rows between two indices."""
        return [[name, part.sha256(low, high)] for name, part in self.parts.items() if part.count(low, high)]

    def read(self, low: int, high: int) -> pa.Table:
        """Rows between two indices, chunk after chunk."""
        if self._read > READ_BYTES:
            self.close()
        rows = [piece for part in self.parts.values() for piece in part.slices(low, high)]
        table = pa.Table.from_batches(rows, self.schema)
        self._read += table.nbytes
        return table

    def unplaced(self) -> pa.Table:
        """Rows without a place; the last column, `batch_id`, has the batch of each."""
        found = [self.schema.append(pa.field(BATCH, pa.string())).empty_table()]
        for part in self.parts.values():
            rows = pa.Table.from_batches(part.slices(NOWHERE, 0), self.schema)
            found.append(rows.append_column(BATCH, pa.array([part.batch_id] * len(rows), pa.string())))
        return pa.concat_tables(found)


def add_rows(sha256: Any, rows: pa.RecordBatch) -> None:
    """Add rows to a hash: by their buffers where columns are plain numbers, else by their canonical IPC form."""
    for column in rows.columns:
        type_ = column.type
        if not column.null_count and (pa.types.is_integer(type_) or pa.types.is_floating(type_)):
            sha256.update(column.to_numpy().data)
        else:
            # taking the rows makes their buffers start at them, whatever the chunk that they were cut from
            own = column.take(pa.array(np.arange(len(column))))
            sha256.update(pa.record_batch([own], names=["c"]).serialize())
