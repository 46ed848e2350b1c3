"""FITS tables of any size, read as a stream (FITS standard 4.0, sections 3 and 7)."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.chunks_fitscolumns import FitsColumn, columns_of
from stellar.surveys.readers.chunks_schema import Limits
from stellar.surveys.readers.chunks_sources import SourceFile, read_exactly, unpacked

_BLOCK = 2880
_LONGEST_HEADER = 16 << 20  # bytes; more is no header
_STEP = 4 << 20  # bytes skipped or copied at a time


def schema(source: SourceFile) -> pa.Schema:
    """Columns of the table, with unit (TUNITn), UCD (TUCDn) and description (TCOMMn)."""
    with _table(source) as (_, header):
        return pa.schema([column.to_arrow() for column in columns_of(header, source)])


def count_rows(source: SourceFile) -> int:
    """NAXIS2 of the table."""
    with _table(source) as (_, header):
        return int(header["NAXIS2"])


def chunks(source: SourceFile, columns: list[str], limits: Limits) -> Iterator[pa.Table]:
    """Rows in tables of about the limit's size.

    Raises
    ------
    InputError
        When the file is cut, or a varying-length cell points out of the heap.
    """
    with _table(source) as (stream, header):
        wanted = [column for column in columns_of(header, source) if column.name in set(columns)]
        width, rows = int(header["NAXIS1"]), int(header["NAXIS2"])
        layout = np.dtype(
            {
                "names": [column.name for column in wanted],
                "formats": [column.layout for column in wanted],
                "offsets": [column.offset for column in wanted],
                "itemsize": width,
            }
        )
        if any(column.varying for column in wanted) and rows:
            yield from _with_heap(source, stream, header, wanted, layout, limits)
            return
        step = limits.rows_of(max(width, 1))
        for start in range(0, rows, step):
            count = min(step, rows - start)
            data = read_exactly(stream, count * width, source.path)
            if len(data) < count * width:
                raise _cut(source, start + len(data) // width, rows)
            cells = np.frombuffer(data, layout) if width else np.zeros(count, layout)
            yield _arrow(cells, wanted, None, start, source).select(columns)


def _arrow(
    cells: npt.NDArray[np.void],
    wanted: list[FitsColumn],
    heap: npt.NDArray[np.uint8] | None,
    start: int,
    source: SourceFile,
) -> pa.Table:
    return pa.table({column.name: column.to_array(cells[column.name], heap, start, source) for column in wanted})


def _with_heap(
    source: SourceFile, stream: BinaryIO, header: Any, wanted: list[FitsColumn], layout: np.dtype, limits: Limits
) -> Iterator[pa.Table]:
    """Chunks of a table with varying-length columns, whose values lie behind all rows.

    The file is mapped; a compressed one is unpacked to a temporary file first (in TMPDIR).
    """
    width, rows = int(header["NAXIS1"]), int(header["NAXIS2"])
    size = width * rows + int(header["PCOUNT"])
    with tempfile.TemporaryFile() as scratch:
        if isinstance(stream, io.BufferedReader):
            have = source.path.stat().st_size - stream.tell()
            if have >= size:
                data = np.memmap(source.path, np.uint8, "r", stream.tell(), (size,))
        else:
            have = _copy(stream, scratch, size, source)
            if have >= size:
                data = np.memmap(scratch, np.uint8, "r", 0, (size,))
        if have < size:
            raise _cut(source, min(have // width, rows), rows)
        heap = data[int(header.get("THEAP", width * rows)) :]
        step = limits.rows_of(size / rows)
        for first in range(0, rows, step):
            todo = [(first, min(first + step, rows))]
            while todo:
                start, stop = todo.pop()
                cells = data[start * width : stop * width].view(layout)
                # many cells may point at the same large piece of the heap
                large = sum(column.heap_bytes(cells[column.name]) for column in wanted) > 4 * limits.bytes
                if large and stop - start > 1:
                    todo += [((start + stop) // 2, stop), (start, (start + stop) // 2)]
                    continue
                yield _arrow(cells, wanted, heap, start, source)


def _copy(stream: BinaryIO, target: Any, size: int, source: SourceFile) -> int:
    done = 0
    while done < size and (piece := read_exactly(stream, min(_STEP, size - done), source.path)):
        target.write(piece)
        done += len(piece)
    target.flush()
    return done


def _cut(source: SourceFile, row: int, rows: int) -> InputError:
    return InputError(f"{source}: ends after row {row} of {rows}: the file is cut; fetch it again")


@contextmanager
def _table(source: SourceFile) -> Iterator[tuple[BinaryIO, Any]]:
    """The stream at the first byte of the table's rows, and the table's header."""
    seen: list[str] = []
    with unpacked(source.path) as stream:
        while (header := _header(stream, source)) is not None:
            name = str(header.get("EXTNAME", "")).strip()
            kind = str(header.get("XTENSION", "IMAGE")).strip()
            seen.append(f"{len(seen)} {name} {kind}".replace("  ", " "))
            if _is_wanted(source, header, kind, name, len(seen) - 1):
                yield stream, header
                return
            _skip(stream, _data_size(header), source)
    which = f"no extension {source.part!r}" if source.part else "no table extension"
    raise InputError(f"{source}: {which}; it has {'; '.join(seen) or 'nothing'}")


def _is_wanted(source: SourceFile, header: Any, kind: str, name: str, number: int) -> bool:
    if source.part is not None and source.part not in (str(number), name) and source.part.upper() != name.upper():
        return False
    is_table = kind in ("BINTABLE", "TABLE", "A3DTABLE") and not header.get("ZIMAGE", False)
    if source.part is not None and not is_table:
        raise InputError(f"{source}: extension {number} is {kind} and no table")
    if is_table and header.get("ZTABLE", False):
        raise InputError(f"{source}: a tile-compressed table; unpack it with funpack first")
    return is_table


def _header(stream: BinaryIO, source: SourceFile) -> Any:
    """The next header, None at the end of the file."""
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    cards = bytearray()
    while True:
        block = read_exactly(stream, _BLOCK, source.path)
        if not cards and (not block.strip(b"\0 ") or block[:8] not in (b"SIMPLE  ", b"XTENSION")):
            return None  # the end, or what some writers leave behind it
        cards += block
        if len(block) < _BLOCK or len(cards) > _LONGEST_HEADER:
            raise InputError(f"{source}: a header has no END card: the file is cut or damaged; fetch it again")
        if any(block[i : i + 80].rstrip() == b"END" for i in range(0, _BLOCK, 80)):
            break
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            header = fits.Header.fromstring(bytes(cards).decode("latin-1"))
            for key in ("NAXIS", "BITPIX", *(f"NAXIS{i + 1}" for i in range(int(header["NAXIS"])))):
                if int(header[key]) < 0 and key != "BITPIX":
                    raise ValueError(f"{key} is {header[key]}")
        except (KeyError, ValueError, TypeError, OSError, fits.VerifyError) as fault:
            raise InputError(f"{source}: a header cannot be read: {fault}; fetch the file again") from None
    return header


def _data_size(header: Any) -> int:
    """Bytes of an HDU's data with its padding (FITS 4.0, equations 1 and 2)."""
    axes = [int(header[f"NAXIS{i + 1}"]) for i in range(int(header["NAXIS"]))]
    if not axes:
        return 0
    if axes[0] == 0 and header.get("GROUPS", False):
        axes = axes[1:]
    values = int(header.get("PCOUNT", 0)) + int(np.prod(axes, dtype=object))
    size = abs(int(header["BITPIX"])) // 8 * int(header.get("GCOUNT", 1)) * values
    return -(-size // _BLOCK) * _BLOCK


def _skip(stream: BinaryIO, size: int, source: SourceFile) -> None:
    if isinstance(stream, io.BufferedReader):
        stream.seek(size, io.SEEK_CUR)
        return
    while size > 0 and (piece := read_exactly(stream, min(_STEP, size), source.path)):
        size -= len(piece)
