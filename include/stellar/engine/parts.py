"""Reading staged batches: the rows of any range of the sky out of sorted chunks, by exact reads.

A mapped file would be simpler, but the kernel maps up to megabytes around every slice that is touched, and all of that
counts as memory of the process. So it is kept where the buffers of each chunk begin, and a slice's bytes are read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stellar.errors import IntegrityError
from stellar.json_files import write_json
from stellar.sky.healpix import INDEX_ORDER

#: Index of a row without a place on the sky.
NOWHERE = -1
#: Column that says which batch a row without a place came from.
BATCH = "batch_id"
#: Raise it when what is kept of a part has another form.
FORM = 2
# Rows below the bounds of these cells are counted as soon as a part is there: a layout asks for most of them.
_GRID_ORDER = 3
_GRID = np.arange(12 * 4**_GRID_ORDER + 1, dtype=np.int64) << (2 * (INDEX_ORDER - _GRID_ORDER))

#: Reads so many bytes from a place of a file; into a buffer of that size, where one is given.
Read = Callable[..., memoryview]
Piece = tuple[str, str, int]


class Part:
    """One file of a staged batch. What was learnt of it is kept in a file beside it, so that it is asked for once.

    That is the layout of its chunks, how many rows of each lie below some indices, and hashes of ranges of rows.
    """

    def __init__(self, path: Path, batch_id: str) -> None:
        self.path, self.batch_id, self.name = path, batch_id, path.name.removesuffix(".arrow")
        self._fresh = False

    def learn(self) -> None:
        """Learn what is asked of every part, and keep it."""
        self.below(_GRID[:1])
        self.keep()

    def forget(self) -> None:
        """Forget what was kept of a part of this name."""
        self._file.unlink(missing_ok=True)

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns, `_healpix_29` first."""
        with pa.OSFile(str(self.path)) as source:
            return pa.ipc.open_file(source).schema

    def below(self, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows with an index below each of some, of each chunk: shape (bounds, chunks)."""
        known, ranks = self._known
        at = np.minimum(np.searchsorted(known, bounds), len(known) - 1)
        if (known[at] != bounds).any():
            known, ranks = self._learn(np.union1d(known, bounds))
            at = np.searchsorted(known, bounds)
        return ranks[at].astype(np.int64)

    def count(self, low: int, high: int) -> int:
        """Rows between two indices."""
        return int(np.diff(self.below(np.array([low, high])).sum(axis=1))[0])

    def sha256(self, low: int, high: int) -> str:
        """Hash of the rows between two indices, in their order here."""
        return self.hash_all([(low, high)])[0]

    def hash_all(self, ranges: Sequence[tuple[int, int]]) -> list[str]:
        """Hash of the rows of each of some ranges of indices, in their order here."""
        hashes = self._about["hashes"]
        new = [one for one in dict.fromkeys(ranges) if f"{one[0]}-{one[1]}" not in hashes]
        if new:
            found = self._hash_plain(new) if self.is_plain else [self._hash_rows(*one) for one in new]
            hashes.update({f"{low}-{high}": sha256 for (low, high), sha256 in zip(new, found, strict=True)})
            self._fresh = True
        return [hashes[f"{low}-{high}"] for low, high in ranges]

    def _hash_rows(self, low: int, high: int) -> str:
        sha256 = hashlib.sha256()
        for rows in self.slices(low, high):
            add_rows(sha256, rows)
        return sha256.hexdigest()

    def _hash_plain(self, ranges: Sequence[tuple[int, int]]) -> list[str]:
        """`_hash_rows` of many ranges, where all columns are plain numbers: each is read whole, chunk after chunk."""
        found = [hashlib.sha256() for _ in ranges]
        below = self.below(np.array(ranges, np.int64).ravel()).reshape(len(ranges), 2, -1)
        with self._open() as read:
            for number, chunk in enumerate(self._about["chunks"]):
                first, beyond = below[:, 0, number], below[:, 1, number]
                some = np.flatnonzero(beyond > first).tolist()
                for type_, start in zip(self.schema.types, chunk["starts"][1::2] if some else [], strict=False):
                    width = type_.byte_width
                    column = read(start, width * chunk["rows"])
                    for one in some:
                        found[one].update(column[width * first[one] : width * beyond[one]])
        return [one.hexdigest() for one in found]

    @cached_property
    def is_plain(self) -> bool:
        """Whether all columns are plain numbers without nulls: two buffers each, the first of which is not there."""
        return all(_is_number(type_) for type_ in self.schema.types) and all(
            max(chunk["starts"][::2]) < 0 <= min(chunk["starts"][1::2]) for chunk in self._about["chunks"]
        )

    def slices(self, low: int, high: int) -> Iterator[pa.RecordBatch]:
        """Rows of each chunk that has some between two indices."""
        first, beyond = self.below(np.array([low, high]))
        with self._open() as read:
            for number in np.flatnonzero(beyond > first).tolist():
                starts = iter(self._about["chunks"][number]["starts"])
                rows = int(first[number]), int(beyond[number])
                columns = [_array(read, type_, starts, *rows) for type_ in self.schema.types]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def read_into(self, columns: Sequence[NDArray[Any]], place: int, below: NDArray[np.int64]) -> int:
        """Put the rows between two indices, of which `below` has the ranks, into columns of plain numbers.

        From a place of them on; returns the place after them.
        """
        first, beyond = below
        views = [memoryview(column.view(np.uint8)) for column in columns]
        with self._open() as read:
            for number in np.flatnonzero(beyond > first).tolist():
                begin, rows = int(first[number]), int(beyond[number] - first[number])
                for column, view, start in zip(
                    columns, views, self._about["chunks"][number]["starts"][1::2], strict=True
                ):
                    width = column.itemsize
                    read(start + width * begin, width * rows, view[width * place : width * (place + rows)])
                place += rows
        return place

    def keep(self) -> None:
        """Keep what was learnt."""
        if self._fresh:
            known, ranks = self._known
            kept = {"bounds": known, "ranks": ranks}
            below = {name: base64.b64encode(found.tobytes()).decode() for name, found in kept.items()}
            write_json(self._file, self._about | {"below": below})
            self._fresh = False

    @cached_property
    def _about(self) -> dict[str, Any]:
        try:
            about = json.loads(self._file.read_text(encoding="utf-8"))
            if (about["form"], about["of"]) == (FORM, self._identity):
                bounds, ranks = (base64.b64decode(about["below"][name]) for name in ("bounds", "ranks"))
                known = np.frombuffer(bounds, np.int64)
                self.__dict__["_known"] = known, np.frombuffer(ranks, np.int32).reshape(len(known), -1)
                return {name: about[name] for name in ("form", "of", "chunks", "hashes")}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # nothing was kept yet, or it was by an older version, or of another file
        self._fresh = True
        self.__dict__.pop("_known", None)
        return {"form": FORM, "of": self._identity, "chunks": _chunks_of(self.path), "hashes": {}}

    @cached_property
    def _known(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Indices, ascending, and how many rows of each chunk lie below each."""
        self._about  # noqa: B018 - brings what was kept
        return self.__dict__["_known"] if "_known" in self.__dict__ else self._learn(_GRID)

    @cached_property
    def _identity(self) -> list[int]:
        """What tells this file from another that took its name: what is known of one is wrong of the other."""
        try:
            return _identity_of(self.path.stat())
        except FileNotFoundError:
            raise IntegrityError(f"{self.path}: staged rows are missing; import again") from None

    @property
    def _file(self) -> Path:
        return self.path.with_suffix(".pieces.json")

    def _learn(self, bounds: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Count the rows below some indices; the indices of one chunk are in memory at a time."""
        chunks = self._about["chunks"]
        ranks = np.empty((len(bounds), len(chunks)), np.int32)
        with self._open() as read:
            for number, chunk in enumerate(chunks):
                index = np.frombuffer(read(chunk["starts"][1], 8 * chunk["rows"]), np.int64)
                ranks[:, number] = np.searchsorted(index, bounds)
        self._fresh = True
        self.__dict__["_known"] = bounds, ranks
        return bounds, ranks

    @contextmanager
    def _open(self) -> Iterator[Read]:
        def read(start: int, size: int, into: memoryview | None = None) -> memoryview:
            buffer = memoryview(np.empty(size, np.uint8)) if into is None else into
            done = size if start < 0 else 0  # Arrow leaves buffers of columns without values out
            while done < size:  # one call reads 2 GiB at most
                more = os.preadv(file, [buffer[done:]], start + done)
                if not more:
                    raise IntegrityError(f"{self.path}: staged rows are damaged, the file ends too early; import again")
                done += more
            return buffer

        try:
            with self.path.open("rb", buffering=0) as source:
                file = source.fileno()
                if _identity_of(os.fstat(file)) != self._about["of"]:
                    raise IntegrityError(f"{self.path}: was staged anew while it was read; start again")
                yield read
        except FileNotFoundError:
            raise IntegrityError(f"{self.path}: staged rows are missing; import again") from None


def _identity_of(about: os.stat_result) -> list[int]:
    return [about.st_ino, about.st_size, about.st_mtime_ns]


def _chunks_of(path: Path) -> list[dict[str, Any]]:
    """Rows of each chunk of a part, and where in the file its columns' buffers begin (-1: there is no such buffer)."""
    try:
        with pa.memory_map(str(path)) as source:
            whole = source.read_buffer()
        reader = pa.ipc.open_file(pa.BufferReader(whole))
        chunks = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise IntegrityError(f"{path}: staged rows are missing or damaged ({error}); import again") from None

    def start(buffer: pa.Buffer | None) -> int:
        if buffer is None or not buffer.size:
            return -1
        place = int(buffer.address - whole.address)
        if not 0 <= place <= whole.size - buffer.size:
            raise IntegrityError(f"{path}: staged rows are packed in a way that is not read here; import again")
        return place

    return [
        {"rows": chunk.num_rows, "starts": [start(one) for column in chunk.columns for one in column.buffers()]}
        for chunk in chunks
    ]


def _array(read: Read, type_: pa.DataType, starts: Iterator[int], first: int, beyond: int) -> pa.Array:
    """Rows `first` to `beyond` of a column whose buffers begin at `starts`, in the order of `pyarrow.Array.buffers`.

    Buffers are those of https://arrow.apache.org/docs/format/Columnar.html#buffer-listing-for-each-layout; they are
    read from a row on at which bits, too, begin a byte.
    """
    offset = first % 8
    base, rows = first - offset, beyond - first + offset

    def bits() -> pa.Buffer | None:
        start = next(starts)
        return None if start < 0 else pa.py_buffer(read(start + base // 8, -(-rows // 8)))

    def values(width: int, begin: int, count: int) -> memoryview:
        start = next(starts)
        return read(start + width * begin if start >= 0 else start, width * count)

    buffers, children = [bits()], None
    if pa.types.is_null(type_):
        return pa.nulls(beyond - first)
    if pa.types.is_struct(type_):
        children = [_array(read, type_.field(number).type, starts, base, beyond) for number in range(type_.num_fields)]
    elif pa.types.is_boolean(type_):
        buffers.append(bits())
    elif pa.types.is_string(type_) or pa.types.is_binary(type_):
        ends = np.frombuffer(values(4, base, rows + 1), np.int32)
        buffers += [pa.py_buffer(ends - ends[0]), pa.py_buffer(values(1, int(ends[0]), int(ends[-1] - ends[0])))]
    elif pa.types.is_list(type_) or pa.types.is_map(type_):
        ends = np.frombuffer(values(4, base, rows + 1), np.int32)
        buffers.append(pa.py_buffer(ends - ends[0]))
        between = int(ends[0]), int(ends[-1])
        if pa.types.is_list(type_):
            children = [_array(read, type_.value_type, starts, *between)]
        else:
            next(starts)  # entries of a map are never null
            pair = [type_.key_field, type_.item_field]  # put together here: a map does not heed where its entries begin
            parts = [_array(read, one.type, starts, *between) for one in pair]
            children = [pa.StructArray.from_arrays(parts, fields=pair)]
    else:
        buffers.append(pa.py_buffer(values(type_.byte_width, base, rows)))
    return pa.Array.from_buffers(type_, beyond - first, buffers, offset=offset, children=children)


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _dtype(type_: pa.DataType) -> Any:
    return np.dtype(type_.to_pandas_dtype())


def add_rows(sha256: Any, rows: pa.RecordBatch) -> None:
    """Add rows to a hash: by their buffers where columns are plain numbers, else by their canonical IPC form."""
    for column in rows.columns:
        if not column.null_count and _is_number(column.type):
            sha256.update(column.to_numpy().data)
        else:
            # taking the rows makes their buffers start at them, whatever the chunk that they were cut from
            own = column.take(pa.array(np.arange(len(column))))
            sha256.update(pa.record_batch([own], names=["c"]).serialize())


class Batches:
    """Rows of many parts, those of one dataset's staged batches: by range of indices."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = {part.name: part for part in parts}
        self._pieces: dict[tuple[int, int], list[Piece]] = {}

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns, `_healpix_29` first."""
        return next(iter(self.parts.values())).schema

    def below(self, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows with a place whose index is below each of some, which are not negative."""
        counted = (part.below(np.append(bounds, 0)).sum(axis=1) for part in self.parts.values())
        return sum((one[:-1] - one[-1] for one in counted), np.zeros(len(bounds), np.int64))

    def prepare(self, ranges: Sequence[tuple[int, int]], threads: int) -> None:
        """Count and hash the rows of many ranges, so that `pieces` need not read them."""
        bounds = np.array(ranges, np.int64).reshape(-1, 2)

        def one(part: Part) -> list[tuple[int, Piece]]:
            below = part.below(bounds.ravel()).sum(axis=1).reshape(-1, 2)
            counts = below[:, 1] - below[:, 0]
            some = np.flatnonzero(counts).tolist()
            hashes = part.hash_all([ranges[n] for n in some])
            part.keep()
            return [(n, (part.name, sha256, int(counts[n]))) for n, sha256 in zip(some, hashes, strict=True)]

        self._pieces = {one: [] for one in ranges}
        with ThreadPoolExecutor(threads) as pool:
            for found in pool.map(one, self.parts.values()):
                for number, piece in found:
                    self._pieces[ranges[number]].append(piece)

    def pieces(self, low: int, high: int) -> list[Piece]:
        """(part, SHA-256 of its rows, how many) of each part with rows between two indices."""
        if (low, high) not in self._pieces:
            counts = ((part, part.count(low, high)) for part in self.parts.values())
            self._pieces[low, high] = [(part.name, part.sha256(low, high), rows) for part, rows in counts if rows]
        return self._pieces[low, high]

    def read(self, low: int, high: int, names: Iterable[str] | None = None) -> pa.Table:
        """Rows between two indices, chunk after chunk, of the parts that have some where `names` gives those."""
        parts = self._parts(names)
        if not all(part.is_plain for part in parts):
            return pa.Table.from_batches([rows for part in parts for rows in part.slices(low, high)], self.schema)
        bounds = np.array([low, high])
        below = [part.below(bounds) for part in parts]
        rows = sum(int((beyond - first).sum()) for first, beyond in below)
        columns = [np.empty(rows, _dtype(type_)) for type_ in self.schema.types]
        done = 0
        for part, ranks in zip(parts, below, strict=True):
            done = part.read_into(columns, done, ranks)
        return pa.table([pa.array(column) for column in columns], schema=self.schema)

    def unplaced(self, names: Iterable[str] | None = None) -> pa.Table:
        """Rows without a place; the last column, `batch_id`, has the batch of each."""
        found = [self.schema.append(pa.field(BATCH, pa.string())).empty_table()]
        for part in self._parts(names):
            rows = pa.Table.from_batches(part.slices(NOWHERE, 0), self.schema)
            found.append(rows.append_column(BATCH, pa.array([part.batch_id] * len(rows), pa.string())))
        return pa.concat_tables(found)

    def _parts(self, names: Iterable[str] | None) -> list[Part]:
        """Those parts, in the order of all."""
        if names is None:
            return [*self.parts.values()]
        wanted = {*names}
        if lacking := sorted(wanted - self.parts.keys()):
            raise IntegrityError(f"staged part {lacking[0]} is not one of this dataset's; plan it again")
        return [part for name, part in self.parts.items() if name in wanted]
