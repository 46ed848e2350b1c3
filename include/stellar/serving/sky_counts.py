"""Rows per HEALPix pixel of a snapshot, and means of its columns: each partition is counted once in its life.

What was counted of a partition lies in the home's cache under the SHA-256 of its file, so a new snapshot asks only for
the partitions that are new in it. The maintenance clears what no snapshot holds any more.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stellar.errors import InputError, IntegrityError
from stellar.lake.kept import KEPT
from stellar.lake.read import Catalog
from stellar.lake.schema import describe
from stellar.sky.healpix import INDEX_COLUMN, INDEX_ORDER, cone_ranges, merge_ranges
from stellar.sky.pixels import in_ranges

from .sky import Part, Shown, parts, snapshot

if TYPE_CHECKING:
    import sqlalchemy as sa

    from stellar.settings import Settings

#: Folder of the cache; `stellar.engine.maintain` knows it.
CACHE = "sky"
#: Counts are kept for pixels of this order (786,432 on the sky, 14 arcmin wide); coarser ones are added up from them.
FINEST = 8
COARSEST = 2
#: Without an order asked for, the finest one with at most so many pixels with rows: 0.5 MB for the browser.
MOST_PIXELS = 50_000
#: Decoding Parquet leaves Python's lock alone.
THREADS = 4


class Counts(NamedTuple):
    """Pixels (ascending) of order `FINEST` with rows, how many, how many of those have a value, and their sum."""

    pixels: NDArray[np.int64]
    rows: NDArray[np.int64]
    valid: NDArray[np.int64]
    total: NDArray[np.float64]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self)


def columns(engine: sa.Engine, settings: Settings, key: str) -> list[dict[str, str]]:
    """Columns of a snapshot that have a mean: name, type, unit, ucd, description.

    Raises
    ------
    InputError
        When there is no such snapshot or its files were removed.
    """
    schema = Catalog(_root(snapshot(engine, settings, key))).schema
    kinds = {field.name: field.type for field in schema}
    return [one for one in describe(schema) if one["name"] != INDEX_COLUMN and _is_number(kinds[one["name"]])]


def density(
    engine: sa.Engine,
    settings: Settings,
    key: str,
    order: int | None = None,
    column: str | None = None,
    near: tuple[float, float, float] | None = None,
) -> dict[str, Any]:
    """Rows per HEALPix pixel of a snapshot and, for a column, its mean in each.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    settings : Settings
        Of the home; counts are kept in its cache.
    key : str
        Of the snapshot, or the beginning of it.
    order : int, optional
        Of the pixels, 2 to 8; else the finest one with at most 50,000 pixels.
    column : str, optional
        A numeric (or boolean) column, whose mean is wanted. Rows without a value do not count in it.
    near : tuple of float, optional
        RA, Dec and radius in degrees: only the pixels there (and some beyond) are wanted.

    Returns
    -------
    dict
        `snapshot`, `order`, `column`, `rows` (in these pixels), `pixels` (uint32), `values` (float32: rows, or
        means), `valid` (uint32, with a column: rows that have a value), the last three as base64 of little-endian
        arrays.

    Raises
    ------
    InputError
        When there is no such snapshot, column, order or cone, or the snapshot's files were removed.
    IntegrityError
        When a file is missing or has other rows than the ledger says.
    """
    if order is not None and not COARSEST <= order <= FINEST:
        raise InputError(f"no order {order} in the map; give {COARSEST} to {FINEST}")
    shown = snapshot(engine, settings, key)
    found = KEPT.get(
        ("density", str(settings.home), shown.key, column),
        lambda: _counted(shown, parts(engine, shown.key), settings.cache / CACHE, column),
        lambda counts: counts.nbytes,
    )
    order = _fitting(found.pixels) if order is None else order
    found = coarser(found, order)
    if near is not None:
        ranges = cone_ranges(*near)
        # a pixel lies there when some index of it does
        shift = 2 * (INDEX_ORDER - order)
        here = in_ranges(
            found.pixels, merge_ranges(np.stack([ranges[:, 0] >> shift, ((ranges[:, 1] - 1) >> shift) + 1], 1))
        )
        found = Counts(*(array[here] for array in found))
    about = {"snapshot": shown.key, "order": order, "column": column, "rows": int(found.rows.sum())}
    if column is None:
        return about | {"pixels": _packed(found.pixels, "<u4"), "values": _packed(found.rows, "<f4")}
    has = found.valid > 0
    mean = found.total[has] / found.valid[has]
    return about | {
        "pixels": _packed(found.pixels[has], "<u4"),
        "values": _packed(mean, "<f4"),
        "valid": _packed(found.valid[has], "<u4"),
    }


def coarser(counts: Counts, order: int) -> Counts:
    """Counts of pixels of order `FINEST` added up for those of a coarser one."""
    return _added(counts.pixels >> 2 * (FINEST - order), counts.rows, counts.valid, counts.total)


def _counted(shown: Shown, own: Sequence[Part], cache: Path, column: str | None) -> Counts:
    root = _root(shown)
    catalog = Catalog(root)
    if column is not None:
        _check_column(catalog, column)
    some = [part for part in own if part.rows]
    with ThreadPoolExecutor(THREADS) as pool:
        each = list(pool.map(lambda part: _of_part(part, root / str(part.file), cache, column), some))
    return _joined(each)  # cells finer than the pixels share one


def _of_part(part: Part, path: Path, cache: Path, column: str | None) -> Counts:
    """Counts of a partition, from the cache where they are there and agree with the ledger."""
    suffix = "rows" if column is None else f"mean-{hashlib.sha256(column.encode()).hexdigest()[:16]}"
    kept = cache / part.file_sha256[:2] / f"{part.file_sha256}.{suffix}-{FINEST}.npy"
    try:
        table = np.load(kept)
        if table.ndim == 2 and int(table[1].sum()) == part.rows:
            return _from_table(table)
    except (OSError, ValueError, EOFError):  # not there, or cut short: it is counted again
        pass
    counts = _count(path, column)
    if int(counts.rows.sum()) != part.rows:
        raise IntegrityError(f"{path}: has {counts.rows.sum()} rows, the ledger says {part.rows}; run `stellar verify`")
    _keep(kept, np.stack(counts[:2]).astype(np.uint32) if column is None else np.stack(counts).astype(np.float64))
    return counts


def _from_table(table: NDArray[Any]) -> Counts:
    """Counts as they are kept: pixels and rows alone, or all four (every number in them is below 2**53)."""
    pixels, rows = table[0].astype(np.int64), table[1].astype(np.int64)
    if len(table) == 2:
        return Counts(pixels, rows, rows, np.zeros(len(rows)))
    return Counts(pixels, rows, table[2].astype(np.int64), table[3])


def _keep(path: Path, table: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with draft.open("wb") as file:
        np.save(file, table)
    draft.replace(path)


def _count(path: Path, column: str | None) -> Counts:
    """Counts of a file, row group after row group: so little is decoded at a time that memory is used again."""
    names = [INDEX_COLUMN] if column is None else [INDEX_COLUMN, column]
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            groups = range(file.num_row_groups)
            each = [_of_rows(file.read_row_group(one, names, use_threads=False), column) for one in groups]
    except FileNotFoundError:
        raise IntegrityError(f"{path}: partition is missing; `stellar verify` lists what is damaged") from None
    except pa.ArrowInvalid as error:
        raise IntegrityError(f"{path}: not a readable Parquet file: {error}") from error
    return _joined(each)


def _of_rows(table: pa.Table, column: str | None) -> Counts:
    pixels = _numbers(table[INDEX_COLUMN]) >> 2 * (INDEX_ORDER - FINEST)
    if column is None:
        starts = _starts(pixels)
        rows = np.diff(starts, append=len(pixels))
        return _added(pixels[starts], rows, rows, np.zeros(len(rows)))
    values = _numbers(pc.fill_null(table[column].cast(pa.float64()), np.nan))
    valid = np.isfinite(values)
    return _added(pixels, np.ones(len(pixels), np.int64), valid.astype(np.int64), np.where(valid, values, 0.0))


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of numbers without nulls; Arrow's own `to_numpy` would import pandas, which the first map waits for."""
    chunks = [np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, np.int64), *chunks])


def _joined(each: Sequence[Counts]) -> Counts:
    """Counts of parts that may share pixels."""
    if not each:
        return Counts(*(np.empty(0, np.int64) for _ in range(3)), np.empty(0))
    return _added(*(np.concatenate(arrays) for arrays in zip(*each, strict=True)))


def _starts(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run of equal values begins."""
    changes = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return np.flatnonzero(changes)


def _added(pixels: NDArray[np.int64], *values: NDArray[Any]) -> Counts:
    """Values added up by pixel."""
    if (pixels[1:] < pixels[:-1]).any():
        order = np.argsort(pixels, kind="stable")
        pixels, values = pixels[order], tuple(one[order] for one in values)
    if not len(pixels):
        return Counts(pixels, *values)
    starts = _starts(pixels)
    if len(starts) == len(pixels):  # nothing to add up
        return Counts(pixels, *values)
    return Counts(pixels[starts], *(np.add.reduceat(one, starts) for one in values))


def _fitting(pixels: NDArray[np.int64]) -> int:
    for order in range(FINEST, COARSEST, -1):
        if len(np.unique(pixels >> 2 * (FINEST - order))) <= MOST_PIXELS:
            return order
    return COARSEST


def _packed(values: NDArray[Any], kind: str) -> str:
    return base64.b64encode(values.astype(kind).tobytes()).decode()


def _root(shown: Shown) -> Path:
    if shown.root is None:
        raise InputError(
            f"the files of snapshot {shown.key[:16]} of {shown.dataset} were removed to save space; "
            "its cells are still known, its rows are not"
        )
    return shown.root


def _check_column(catalog: Catalog, column: str) -> None:
    schema = catalog.schema
    numbers = [field.name for field in schema if _is_number(field.type) and field.name != INDEX_COLUMN]
    if column not in numbers:
        raise InputError(f"no column {column!r} of numbers in {catalog.root}; there are {', '.join(numbers) or 'none'}")


_KINDS: tuple[Callable[[pa.DataType], bool], ...] = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)


def _is_number(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in _KINDS)
