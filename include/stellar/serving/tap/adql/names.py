"""What a query can name: published tables with their columns, and what stands in one FROM."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from stellar.errors import InputError
from stellar.lake.sql_text import quoted
from stellar.serving.results import Column


@dataclass(frozen=True)
class Table:
    """A table that queries can name.

    Attributes
    ----------
    name : str
        `schema.table`, without quotation marks.
    columns : tuple of Column
    sql : str
        What DuckDB knows it as.
    description : str
    position : tuple of str, optional
        Columns of right ascension and declination (degrees), where `cone()` and `polygon()` read its rows by region.
    """

    name: str
    columns: tuple[Column, ...]
    sql: str
    description: str = ""
    position: tuple[str, str] | None = None


@dataclass
class Source:
    """One table, derived table or WITH query of a FROM, under its name there."""

    alias: str
    columns: list[Column]
    sql: str
    table: Table | None = None
    #: A table function over the region that WHERE asks for, in place of `sql`.
    region: str | None = None

    def render(self) -> str:
        """As FROM has it."""
        return f"{self.region or self.sql} AS {quoted(self.alias)}"

    def find(self, name: str, exact: bool) -> Column | None:
        """The column of a name; unquoted names match in any case."""
        for column in self.columns:
            if column.name == name or (not exact and column.name.lower() == name.lower()):
                return column
        return None


@dataclass
class Scope:
    """What the columns of one SELECT are looked for in; what encloses it comes after."""

    parent: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    #: Columns (in lower case) that USING or NATURAL made one of several, with the sources that they are of.
    merged: dict[str, list[Source]] = field(default_factory=dict)

    def add(self, source: Source) -> None:
        """Put a source beside the others.

        Raises
        ------
        InputError
            When its name is taken.
        """
        if any(other.alias.lower() == source.alias.lower() for other in self.sources):
            raise InputError(f"{source.alias!r} names two tables of one FROM; give one of them another name with AS")
        self.sources.append(source)

    def find(self, name: str, exact: bool, qualifier: tuple[str, ...] = ()) -> tuple[Source, Column, str] | None:
        """Source, column, and its text in SQL; None where neither this SELECT nor one around it has it.

        Raises
        ------
        InputError
            When several sources have it.
        """
        found = [
            (source, column)
            for source in self.sources
            if not qualifier or self._is_called(source, qualifier)
            if (column := source.find(name, exact)) is not None
        ]
        if found and not qualifier and name.lower() in self.merged:
            together = self.merged[name.lower()]
            found = [pair for pair in found if all(pair[0] is not other for other in together[1:])]
            if len(found) == 1 and found[0][0] is together[0]:
                return (*found[0], quoted(found[0][1].name))
        if len(found) > 1:
            owners = " and ".join(source.alias for source, _ in found)
            raise InputError(f"column {name!r} is in {owners}; write which with a dot before it")
        if found:
            source, column = found[0]
            return source, column, f"{quoted(source.alias)}.{quoted(column.name)}"
        return self.parent.find(name, exact, qualifier) if self.parent else None

    @staticmethod
    def _is_called(source: Source, qualifier: tuple[str, ...]) -> bool:
        if len(qualifier) == 1:
            return source.alias.lower() == qualifier[0].lower()
        return source.table is not None and source.table.name.lower() == ".".join(qualifier).lower()

    def star(self, source: Source | None = None) -> list[tuple[str, Column]]:
        """SQL and column of everything that `*` (of all sources, or of one) stands for."""
        if source is not None:
            return [(f"{quoted(source.alias)}.{quoted(column.name)}", column) for column in source.columns]
        shown: list[tuple[str, Column]] = []
        for column in (c for s in self.sources[:1] for c in s.columns if c.name.lower() in self.merged):
            shown.append((quoted(column.name), column))
        told = {column.name.lower() for _, column in shown}
        for one in self.sources:
            for column in one.columns:
                low = column.name.lower()
                if low in self.merged and any(one is other for other in self.merged[low]):
                    if low not in told:
                        shown.append((quoted(column.name), column))
                        told.add(low)
                else:
                    shown.append((f"{quoted(one.alias)}.{quoted(column.name)}", column))
        return shown

    def near(self, name: str) -> str:
        """Names like one that is not there, as the end of a message."""
        return hint(name, (column.name for source in self.sources for column in source.columns))


def hint(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` where something is called nearly so."""
    lowered = {one.lower(): one for one in known}
    near = [lowered[low] for low in difflib.get_close_matches(name.lower(), lowered, n=3)]
    return f"; did you mean {', '.join(near)}?" if near else ""


def find_table(tables: Mapping[str, Table], name: str) -> Table:
    """A published table by its name in any case.

    Raises
    ------
    InputError
        When nothing is published under it.
    """
    if (table := tables.get(name.lower())) is not None:
        return table
    ends = [known for known in tables if known.rpartition(".")[2] == name.lower()]
    near = f"; did you mean {', '.join(ends)}?" if ends else hint(name, tables)
    raise InputError(f"no table {name!r} here{near or '; TAP_SCHEMA.tables lists what there is'}")


def unnamed(columns: Iterable[Column]) -> list[Column]:
    """Columns with names that differ from one another in any case: later ones get a number behind theirs."""
    taken: set[str] = set()
    made = []
    for column in columns:
        name, number = column.name, 1
        while name.lower() in taken:
            number += 1
            name = f"{column.name}_{number}"
        taken.add(name.lower())
        made.append(replace(column, name=name))
    return made
