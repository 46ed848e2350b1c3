"""Which columns of an output came from which columns of its inputs, as its step declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from stellar.engine.step import ColumnSource, Step
from stellar.sky.healpix import INDEX_COLUMN

#: Column -> (input dataset, its column, what is done with it).
Sources = dict[str, list[tuple[str, str, str]]]


def sources_of(step: Step, names: Iterable[str]) -> Sources:
    """What each of some output columns is made of; those that the step says nothing of are left out.

    A column is found by its name, else by the first pattern that fits.
    """
    found: Sources = {}
    for name in names:
        given, star = _declared(step.columns, name)
        if name == INDEX_COLUMN or not given:
            continue
        told = [(step.inputs[one.role].dataset, star if one.column == "*" else one.column, one.how) for one in given]
        found[name] = list(dict.fromkeys(told))
    return found


def _declared(columns: Mapping[str, Sequence[ColumnSource]], name: str) -> tuple[Sequence[ColumnSource], str]:
    if name in columns:
        return columns[name], name
    for pattern, given in columns.items():
        before, star, after = pattern.partition("*")
        if star and len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after):
            return given, name[len(before) : len(name) - len(after)]
    return (), ""


def record(connection: sa.Connection, key: str, sources: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Keep them in the ledger with a snapshot; said before, it changes nothing."""
    rows = [
        {"snapshot": key, "name": name, "dataset": one[0], "column": one[1], "how": one[2]}
        for name, given in sources.items()
        for one in {(one[0], one[1]): one for one in given}.values()
    ]
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO lineage.column_edge (snapshot, column_name, input_dataset, input_column, transformation)"
                " VALUES (:snapshot, :name, :dataset, :column, :how) ON CONFLICT DO NOTHING"
            ),
            rows,
        )
