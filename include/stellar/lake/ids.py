"""Rows by their ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stellar.errors import InputError, IntegrityError

from .arrays import to_arrow, to_numpy
from .hashes import hash64
from .id_index import Source, find_index, make_index, remove_index
from .kept import footer
from .search import Searchable, Where, searchable

MANIFEST = "manifest.json"
#: Reading this many row groups costs less than an index.
FEW_GROUPS = 8
_ID_NAMES = ("id", "object_id", "source_id")


def by_id(
    where: Where,
    ids: Iterable[int | str] | pa.Array | NDArray[np.int64],
    columns: Sequence[str] | None = None,
    *,
    id_column: str | None = None,
    cache: Path | None = None,
) -> pa.Table:
    """Rows of given ids, in the order of the ids.

    The first question of a catalogue makes an index of its ids (a second or two for 20 million rows), unless the
    footers of its files say where the ids are; later ones read only the row groups that hold them.

    Parameters
    ----------
    where : Catalog, path or str
        An open `Catalog`, its folder, or the name of a dataset of the home; of any layout.
    ids : iterable of int or str, or array
        An id that no row has is left out, one that is asked for twice counts once, and of one that several rows have
        all come, as stored.
    columns : sequence of str, optional
        All when not given.
    id_column : str, optional
        The dataset's own when not given.
    cache : Path, optional
        Folder that indexes are kept in; `<home>/cache/ids` when not given. May be deleted at any time.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    InputError
        When there is no such dataset or column, its id column is not known, or the ids are of another type.
    """
    opened = searchable(where)
    name = id_column or id_column_of(opened)
    wanted, field = opened.chosen(columns), opened.chosen([name]).field(0)
    asked = _asked(ids, field)
    parts, places = [wanted.empty_table()], [np.empty(0, np.int64)]
    for number, group in _groups(Source(opened, name, cache or _default_cache()), asked) if len(asked) else ():
        found, place = _rows_of(opened, number, group, wanted, field, asked)
        parts.append(found)
        places.append(place)
    order = np.argsort(np.concatenate(places), kind="stable")
    return pa.concat_tables(parts).take(to_arrow(order))


def groups_of(
    where: Where, ids: Iterable[int | str] | pa.Array, *, id_column: str, cache: Path
) -> list[tuple[str | Path, int]]:
    """(file, row group) of all row groups that may hold rows of given ids; those of strings may be of numbers.

    Raises
    ------
    InputError
        When the ids are of another type than the column.
    """
    opened = searchable(where)
    asked = _asked(ids, opened.chosen([id_column]).field(0))
    groups = _groups(Source(opened, id_column, cache), asked) if len(asked) else []
    return [(opened.files[number], group) for number, group in groups]


@lru_cache(maxsize=64)
def id_column_of(opened: Searchable) -> str:
    """The column that identifies a catalogue's rows: as its manifest, its columns' UCDs or their names tell.

    Raises
    ------
    InputError
        When none of them does.
    """
    manifest = opened.catalog.root / MANIFEST
    told = json.loads(manifest.read_text(encoding="utf-8")).get("id_columns") if manifest.exists() else None
    if told and told[0] in opened.names:  # the pairs of a cross-match have two; they are looked up by their left one
        return str(told[0])
    main = {b"meta.id", b"meta.main"}
    marked = [f.name for f in opened.catalog.schema if main <= set((f.metadata or {}).get(b"ucd", b"").split(b";"))]
    if len(marked) == 1:
        return marked[0]
    for name in _ID_NAMES:
        if name in opened.names:
            return name
    raise InputError(
        f"{opened.catalog.root}: which column identifies its rows is not known; say id_column=, one of "
        f"{', '.join(opened.names)}"
    )


def _asked(ids: Iterable[int | str] | pa.Array | NDArray[np.int64], field: pa.Field) -> pa.Array:
    """Distinct ids as the column's type, in the order asked."""
    if isinstance(ids, str | int):
        raise InputError(f"ids are a list: write [{ids!r}]")
    type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    try:
        given = ids if isinstance(ids, pa.Array) else pa.array(ids if isinstance(ids, np.ndarray) else list(ids))
        if pa.types.is_floating(given.type):
            raise InputError(f"ids of {field.name} are {type_}; numbers with a point lose digits of large ones")
        return given.cast(type_).drop_null().unique()
    except (pa.ArrowException, OverflowError) as error:
        raise InputError(f"ids of {field.name} are {type_}: {error}") from None


def _groups(source: Source, asked: pa.Array) -> list[tuple[int, int]]:
    """(number of the file, row group) of all row groups that may hold ids."""
    if (index := find_index(source)) is None:
        if (told := _by_statistics(source, asked)) is not None:
            return told
        index = make_index(source)
    hashes = hash64(asked)
    try:
        return index.groups(hashes)
    except (IntegrityError, OSError, ValueError):  # damaged, or removed by another process
        remove_index(index)
        return make_index(source).groups(hashes)


def _by_statistics(source: Source, asked: pa.Array) -> list[tuple[int, int]] | None:
    """Row groups whose least and greatest id have some between them; None when those are too many to read.

    They are few where ids follow the sky (as Gaia's do) and in small datasets.
    """
    files = [footer(path) for path in source.opened.files]
    counts = [len(one.starts) - 1 for one in files]
    if pa.types.is_integer(asked.type):
        wanted = np.sort(to_numpy(asked).astype(np.int64, copy=False))
        spans = np.concatenate([np.empty((0, 2), np.int64), *(one.spans(source.id_column) for one in files)])
        some = np.searchsorted(wanted, spans[:, 0]) < np.searchsorted(wanted, spans[:, 1], side="right")
    else:
        some = np.ones(sum(counts), bool)
    if some.sum() > max(FEW_GROUPS, 2 * len(asked)):
        return None
    places = [(number, group) for number, count in enumerate(counts) for group in range(count)]
    return [places[i] for i in np.flatnonzero(some)]


def _rows_of(
    opened: Searchable, number: int, group: int, wanted: pa.Schema, id_field: pa.Field, asked: pa.Array
) -> tuple[pa.Table, NDArray[np.int64]]:
    """Rows of one row group that have an id asked for, and which one each has."""
    about = footer(opened.files[number])
    with about.open() as file:
        ids = about.read(file, group, pa.schema([id_field])).column(0).cast(asked.type)
        place = pc.index_in(ids, value_set=asked)
        rows = to_numpy(pc.indices_nonzero(place.is_valid())).astype(np.int64)
        if len(rows):
            found = opened.rows(about, file, group, rows, wanted, {id_field.name: ids.take(to_arrow(rows))})
            return found, to_numpy(place.take(to_arrow(rows))).astype(np.int64)
    return wanted.empty_table(), np.empty(0, np.int64)


def _default_cache() -> Path:
    from .home import open_lake

    return open_lake().settings.cache / "ids"
