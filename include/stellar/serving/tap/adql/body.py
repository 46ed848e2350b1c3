"""What a translated SELECT consists of."""

from __future__ import annotations

from dataclasses import dataclass, field

from stellar.serving.results import Column


@dataclass
class Body:
    """A SELECT, or several put together: text without what orders and cuts it, and what does."""

    sql: str
    columns: list[Column]
    order: str = ""
    limit: int | None = None
    offset: int | None = None
    is_select: bool = True

    def render(self, most: int | None = None) -> str:
        """As SQL, of at most so many rows."""
        limit = min((n for n in (self.limit, most) if n is not None), default=None)
        text = f"{self.sql} {self.order}".rstrip()
        text += f" LIMIT {limit}" if limit is not None else ""
        return text + (f" OFFSET {self.offset}" if self.offset else "")


@dataclass(frozen=True)
class Translated:
    """A query in DuckDB's SQL.

    Attributes
    ----------
    columns : list of Column
        What it returns, with unit, UCD and description where a column is one of a table's as it is. Its type is told by
        the result.
    tables : frozenset of str
        Names of the tables that it reads.
    """

    body: Body
    withs: tuple[str, ...]
    columns: list[Column]
    tables: frozenset[str] = field(default_factory=frozenset)

    def sql(self, most: int | None = None) -> str:
        """The statement, of at most so many rows."""
        head = f"WITH {', '.join(self.withs)} " if self.withs else ""
        return head + self.body.render(most)
