"""Rows that a person let out of quarantine: which they are, and which of their faults are overruled.

A row is known by its values, so a decision holds for the row that was looked at and for no other: brought again with
other values it is judged anew. A decision overrules one reason; if the row has another fault as well, it stays in
quarantine with that one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.engine.keys import digest
from stellar.engine.rows import bucket_of
from stellar.engine.step import Partition
from stellar.profile import Curated
from stellar.sky.healpix import margin_ranges

#: Parameter of the step: a list of ``{"row", "reason", "id", "place"}``; absent where nothing was released.
RELEASED = "released"
#: Columns of a quarantined row that say where it came from and why it is there: no values of its survey.
ADDED = ("batch_id", "reason", "file_name", "file_row")

Overruled = Mapping[int, set[str]]


def row_ids(rows: pa.Table) -> list[str]:
    """SHA-256 (64 hex) of each row's values, whichever batch brought it and whichever columns others of its table have.

    Missing values and NaN do not count, so a column that a survey adds later changes no row that lacks it.
    """
    names = sorted(set(rows.column_names) - set(ADDED))
    return [digest({name: _plain(one[name]) for name in names if _is_there(one[name])}) for one in rows.to_pylist()]


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) if _is_there(one) else None for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items() if _is_there(one)}
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def why_kept(config: Curated, reason: str) -> str | None:
    """Why a row that was refused for `reason` cannot be released; None when it can.

    A rule of `reject` and a range are judgements, which a person may overrule. What a row lacks, or what cannot be
    read, nobody can put into the catalogue by a decision: that is mended where the row comes from.
    """
    if reason in {rule.rule for rule in config.reject}:
        return None
    column, _, what = reason.partition(": ")
    if what.startswith("outside ") and config.layout == "rows" and column in ("ra", "dec"):
        return "it would have no place on the sky"
    if what.startswith("outside ") and column == config.id:
        return "a row needs an id that is one"
    if what.startswith("outside ") and any(
        one.name == column and one.outside == "quarantine" for one in config.columns
    ):
        return None
    if what.startswith("position "):
        return "it has no place on the sky"
    if what == "is missing":
        return f"it has no {column}, which every row of curated.{config.dataset} needs"
    if what.startswith("cannot be read"):
        return f"its {column} cannot be read"
    if what.startswith("another row of this id"):
        return "its id names another row already"
    return "what it was made from could not be read"


class Releases:
    """The released rows of one step, and which rows of a table they are; what cannot be released does not count."""

    def __init__(self, released: Sequence[Mapping[str, Any]], config: Curated) -> None:
        named = ((str(one["row"]), str(one["reason"])) for one in released)
        self._wanted = {(row, reason) for row, reason in named if why_kept(config, reason) is None}
        self._reasons = pa.array(sorted({reason for _, reason in self._wanted}), pa.string())

    def overruled(self, raw: pa.Table, faults: pa.ChunkedArray | pa.Array, before: Overruled) -> dict[int, set[str]]:
        """Row -> reasons that are overruled, `before` included, now that `faults` is what each row is refused for."""
        found = {row: set(reasons) for row, reasons in before.items()}
        if not self._wanted:
            return found
        rows = np.flatnonzero(np.asarray(pc.is_in(faults, value_set=self._reasons)))
        names = row_ids(raw.take(pa.array(rows)))
        for row, name, reason in zip(rows.tolist(), names, faults.take(pa.array(rows)).to_pylist(), strict=True):
            if (name, reason) in self._wanted:
                found.setdefault(row, set()).add(reason)
        return found


def of_partition(partition: Partition, params: Mapping[str, Any], margin_arcsec: float) -> dict[str, Any]:
    """Parameters of a step for one partition: only the released rows that lie in it or in its margin.

    So a decision changes the keys of the partitions that the row touches, and no others are built again.
    """
    kept = {name: value for name, value in params.items() if name != RELEASED}
    near = [one for one in params.get(RELEASED, ()) if _touches(partition, one, margin_arcsec)]
    return {**kept, RELEASED: near} if near else kept


def _touches(partition: Partition, one: Mapping[str, Any], margin_arcsec: float) -> bool:
    if partition.bucket is not None:
        return one["id"] is not None and int(bucket_of(pa.array([one["id"]]), partition.buckets)[0]) == partition.bucket
    cell, place = partition.cell, one["place"]
    if cell is None or place is None:
        return False
    around = margin_ranges(cell, margin_arcsec)
    return bool(cell.contains(place) or ((around[:, 0] <= place) & (place < around[:, 1])).any())
