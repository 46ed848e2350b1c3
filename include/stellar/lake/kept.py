"""What searches ask of partition files again and again, kept in memory: footers and decoded index columns.

A snapshot's files never change, so nothing here goes stale; files of others may, and are known by their size and time.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stellar.errors import IntegrityError

T = TypeVar("T")
#: Most bytes that are kept; 256 MiB hold the index column of 33 million rows.
KEPT_BYTES = 256 << 20
_ENDS = np.iinfo(np.int64)


class Kept:
    """Values by key; the least recently used are dropped beyond a number of bytes. Threads may share one.

    Parameters
    ----------
    limit_bytes : int
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """The value of a key, made where it is not kept; two threads may make one at once, and either is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        value = make()
        with self._lock:
            if key not in self._values:
                self._values[key] = value, size(value)
                self.bytes += size(value)
            while self.bytes > self.limit_bytes:
                _, (_, dropped) = self._values.popitem(last=False)
                self.bytes -= dropped
        return value

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._values.clear()
            self.bytes = 0


KEPT = Kept(KEPT_BYTES)


@dataclass(frozen=True, slots=True)
class Footer:
    """A partition file's footer.

    `starts` int64[groups + 1]: first row of each row group, and one beyond the last. `names`: columns; `leaves`: number
    of each plain (not nested) one among Parquet's.
    """

    path: str
    identity: tuple[Hashable, ...]
    metadata: pq.FileMetaData
    starts: NDArray[np.int64]
    names: frozenset[str]
    leaves: dict[str, int]

    def spans(self, column: str) -> NDArray[np.int64]:
        """Least and greatest value of an integer column in each row group; everything where that is not known.

        Returns
        -------
        ndarray of int64, shape (groups, 2)
        """
        return KEPT.get((*self.identity, "spans", column), lambda: self._spans(column), array_bytes)

    @contextmanager
    def open(self) -> Iterator[pq.ParquetFile]:
        """The file, to `read` row groups from."""
        with _explained(self.path), pq.ParquetFile(self.path, metadata=self.metadata, pre_buffer=False) as file:
            yield file

    def read(self, file: pq.ParquetFile, group: int, wanted: pa.Schema, *, nulls: bool = False) -> pa.Table:
        """Columns of one row group, each in one chunk, decoded on the caller's thread.

        Parameters
        ----------
        file : pyarrow.parquet.ParquetFile
            As `open` gives it.
        group : int
        wanted : pyarrow.Schema
            What comes back. Columns of other types (another kind of string) are cast.
        nulls : bool
            Whether a column that the file lacks is null (a raw batch may lack some).

        Raises
        ------
        IntegrityError
            When the file lacks a column, unless that is null.
        """
        present = [name for name in wanted.names if name in self.names]
        if not nulls and len(present) < len(wanted):
            lacking = ", ".join(name for name in wanted.names if name not in self.names)
            raise IntegrityError(f"{self.path}: has no {lacking}, unlike the dataset; run `stellar verify`")
        table = file.read_row_group(group, columns=present, use_threads=False)
        rows = int(self.starts[group + 1] - self.starts[group])
        arrays = [
            _as_field(table, field) if field.name in self.names else pa.nulls(rows, field.type) for field in wanted
        ]
        return pa.table(arrays, schema=wanted)

    def _spans(self, column: str) -> NDArray[np.int64]:
        found = np.empty((self.metadata.num_row_groups, 2), np.int64)
        at = self.leaves.get(column)
        for group in range(len(found)):
            known = self.metadata.row_group(group).column(at).statistics if at is not None else None
            whole = known is not None and known.has_min_max and isinstance(known.min, int)
            found[group] = (known.min, known.max) if known is not None and whole else (_ENDS.min, _ENDS.max)
        return found


def footer(path: str | Path) -> Footer:
    """A partition file's footer, read once as long as the file stays what it is.

    Parameters
    ----------
    path : str or Path
        A file here as text; a path in an object store is that of a copy here.

    Raises
    ------
    IntegrityError
        When the file is missing or is no Parquet file.
    """
    with _explained(path):
        here = os.fspath(path)
        if isinstance(path, str):
            about = os.stat(here)  # noqa: PTH116 - a search of a millisecond does not make a Path of each file
            identity: tuple[Hashable, ...] = (here, about.st_mtime_ns, about.st_size, about.st_ino)
        else:
            identity = (here,)  # a copy of an object, whose name says which version it is of
    return KEPT.get((*identity, "footer"), lambda: _footer(here, identity), _footer_bytes)


def _footer(path: str, identity: tuple[Hashable, ...]) -> Footer:
    with _explained(path):
        metadata = pq.read_metadata(path)
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    leaves = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
    return Footer(path, identity, metadata, starts, frozenset(metadata.schema.to_arrow_schema().names), leaves)


def _as_field(table: pa.Table, field: pa.Field) -> pa.Array:
    column = table[field.name]
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return array if array.type == field.type else array.cast(field.type)


def _footer_bytes(one: Footer) -> int:
    # Decoded, a footer takes several times what it takes in the file.
    return 4 * one.metadata.serialized_size + one.starts.nbytes + 300 * len(one.leaves)


def array_bytes(array: NDArray[Any]) -> int:
    """Bytes that an array takes."""
    return array.nbytes + 200


@contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise IntegrityError(f"{path}: partition is missing; `stellar verify` lists what is damaged") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise IntegrityError(f"{path}: not a readable Parquet file: {error}") from error
