"""Light curves of one star from several sectors or quarters as one row, whose points say which segment they are of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SEGMENT = "segment"
SEGMENT_IDS = "segment_lc_id"


def in_segments(
    table: pa.Table, objects: pa.ChunkedArray, columns: Mapping[str, str]
) -> tuple[pa.Table, pa.ChunkedArray]:
    """Rows of the same object and mission put together, in the order of their first rows.

    Parameters
    ----------
    table : pa.Table
        Sound light curves: `lc_id`, perhaps `mission`, and lists of equal length named by `columns`.
    objects : pa.ChunkedArray
        Object of each row.
    columns : mapping
        Role (`time` among them) -> name of the list.

    Returns
    -------
    table : pa.Table
        A curve of several rows has their points one row after another, by their first times, and the list `segment` of
        numbers from 0 in that order; `lc_id` names all of them, the list `segment_lc_id` has their ids, the other
        columns are those of the first. Both lists are null for a curve of one row, which is as it was.
    objects : pa.ChunkedArray
        Object of each row of it.
    """
    missions = table["mission"].to_pylist() if "mission" in table.column_names else [None] * len(table)
    groups: dict[tuple[str, str | None], list[int]] = {}
    for row, key in enumerate(zip(objects.to_pylist(), missions, strict=True)):
        groups.setdefault(key, []).append(row)
    times = [_values(one) for one in table[columns["time"]]]
    starts = [float(np.nanmin(one)) if np.isfinite(one).any() else np.inf for one in times]
    for rows in groups.values():
        rows.sort(key=lambda row: (starts[row], row))
    firsts = pa.array([rows[0] for rows in groups.values()], pa.int64())
    made = table.take(firsts)
    order = pa.array([row for rows in groups.values() for row in rows], pa.int64())
    ends = np.cumsum([len(rows) for rows in groups.values()], dtype=np.int64)
    for name in columns.values():
        joined = _joined(table[name].combine_chunks().take(order), ends)
        made = made.set_column(made.column_names.index(name), name, joined)
    numbers = [
        None if len(rows) == 1 else np.repeat(np.arange(len(rows), dtype=np.int32), [len(times[row]) for row in rows])
        for rows in groups.values()
    ]
    ids = table["lc_id"].to_pylist()
    own = [[ids[row] for row in rows] for rows in groups.values()]
    made = made.set_column(made.column_names.index("lc_id"), "lc_id", pa.array(map(_name, own), pa.string()))
    several = pa.array([one if len(one) > 1 else None for one in own], pa.list_(pa.string()))
    made = made.append_column(SEGMENT_IDS, several)
    return made.append_column(SEGMENT, pa.array(numbers, pa.list_(pa.int32()))), objects.take(firsts)


def _joined(lists: pa.Array, ends: np.ndarray) -> pa.Array:
    """Lists one behind another, of their own type: the first `ends[0]` of them, those up to `ends[1]`, and so on.

    Nulls within them stay, and so does a null list that stands alone.
    """
    sizes = np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy())])
    starts = np.concatenate([[0], ends]).astype(np.int64)[:-1]
    alone = pc.is_null(lists).to_numpy(zero_copy_only=False)[starts] & (ends - starts == 1)
    offsets = pa.array(np.concatenate([[0], sizes[ends]]).astype(np.int64))
    made = pa.LargeListArray.from_arrays(offsets, lists.flatten(), mask=pa.array(alone))
    return made.cast(lists.type)


def _values(one: pa.ListScalar) -> np.ndarray:
    return np.empty(0) if one.values is None else one.values.to_numpy(zero_copy_only=False)


def _name(ids: list[str]) -> str:
    """`tic-1-s1+s2` for the rows tic-1-s1 and tic-1-s2."""
    first = ids[0]
    stem = first[: first.rfind("-") + 1]
    return "+".join([first, *(one.removeprefix(stem) if stem else one for one in ids[1:])])
