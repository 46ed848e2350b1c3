"""Recursive descent over the grammar, straight to DuckDB SQL.

Nothing of the query's text reaches the database as text: keywords and functions are re-spelt from our own tables,
names are those of the whitelisted schema (quoted), and every literal becomes a bound parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stellar.archive.service.adql.lexer import QueryError, Token, tokens

Columns = Mapping[str, str]  # lower-case name -> name as published
Tables = Mapping[str, tuple[str, Columns]]  # lower-case public name -> (relation in DuckDB, columns)

MAX_DEPTH = 40  # nested parentheses and subqueries
_CLAUSES = {
    "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "OFFSET", "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL",
    "ON", "USING", "AND", "OR", "NOT", "AS", "IN", "BETWEEN", "LIKE", "ILIKE", "IS", "NULL", "ASC", "DESC", "UNION",
    "SELECT", "CASE", "WHEN", "THEN", "ELSE", "END", "DISTINCT", "ALL", "TOP", "EXCEPT", "INTERSECT", "WITH", "INTO",
}  # fmt: skip


@dataclass
class Translated:
    """DuckDB SQL, its parameters, names of the output columns, and for plain columns their (table, column)."""

    sql: str
    params: list[object]
    names: list[str]
    sources: list[tuple[str, str] | None]


@dataclass
class Scope:
    """Relations of one FROM clause: alias -> (public table name, columns), and the scope around a subquery."""

    tables: dict[str, tuple[str, Columns]] = field(default_factory=dict)
    parent: Scope | None = None
    outputs: dict[str, str] = field(default_factory=dict)  # names of the select list, for ORDER BY and GROUP BY


def translate(query: str, tables: Tables) -> Translated:
    """Translate one query over the given tables.

    Raises
    ------
    QueryError
        For anything outside the grammar, unknown tables, columns and functions.
    """
    parser = Parser(tokens(query), tables)
    result = parser.select(None)
    parser.expect_end()
    return result


class Parser:
    def __init__(self, found: list[Token], tables: Tables) -> None:
        self.tokens, self.tables, self.at, self.depth = found, tables, 0, 0
        self.params: list[object] = []

    # -- tokens ------------------------------------------------------------------------------------------------
    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    def next(self) -> Token:
        token = self.now
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def take(self, *words: str) -> str:
        """Step over the next token if it is one of the words; its word or an empty string."""
        return self.next().word if self.now.word in words and self.now.kind != "end" else ""

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise self.error(f"expected {word}")

    def expect_end(self) -> None:
        if self.now.kind != "end":
            raise self.error("the query should end here; one SELECT is taken")

    def error(self, reason: str) -> QueryError:
        found = repr(self.now.text) if self.now.kind != "end" else "the end of the query"
        return QueryError(f"{reason}, found {found} at position {self.now.at}")

    def bind(self, value: object) -> str:
        """A placeholder for a literal; numbered, so that a translation may move or repeat it."""
        self.params.append(value)
        return f"${len(self.params)}"

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} levels of nesting")

    # -- SELECT ------------------------------------------------------------------------------------------------
    def select(self, parent: Scope | None) -> Translated:
        self.deeper()
        self.expect("SELECT")
        distinct = self.take("ALL", "DISTINCT") == "DISTINCT"
        top = self.integer("TOP") if self.take("TOP") else None
        scope = Scope(parent=parent)
        start = self.at
        self.skip_to_from()
        self.expect("FROM")
        relation = self.from_clause(scope)
        after_from, self.at = self.at, start
        columns, names, sources = self.select_list(scope)
        if self.now.word != "FROM":
            raise self.error("expected FROM")
        self.at = after_from
        scope.outputs = {name.lower(): name for name in names}
        sql = f"SELECT {'DISTINCT ' if distinct else ''}{', '.join(columns)} FROM {relation}"  # noqa: S608
        sql += self.tail(scope)
        if top is not None:
            sql += f" LIMIT {top}"
        if self.take("OFFSET"):
            sql += f" OFFSET {self.integer('OFFSET')}"
        self.depth -= 1
        return Translated(sql, self.params, names, sources)

    def integer(self, what: str) -> int:
        token = self.next()
        if token.kind != "number" or not token.text.isdigit() or int(token.text) > 2**62:
            self.at -= 1
            raise self.error(f"expected a whole number after {what}")
        return int(token.text)

    def skip_to_from(self) -> None:
        nested = 0
        while self.now.kind != "end" and not (nested == 0 and self.now.word == "FROM"):
            nested += {"(": 1, ")": -1}.get(self.next().word, 0)
            if nested < 0:
                break

    def tail(self, scope: Scope) -> str:
        sql = ""
        if self.take("WHERE"):
            sql += f" WHERE {self.expression(scope)}"
        if self.take("GROUP"):
            self.expect("BY")
            sql += " GROUP BY " + ", ".join(self.listed(lambda: self.group_item(scope)))
        if self.take("HAVING"):
            sql += f" HAVING {self.expression(scope)}"
        if self.take("ORDER"):
            self.expect("BY")
            sql += " ORDER BY " + ", ".join(self.listed(lambda: self.order_item(scope)))
        return sql

    def listed(self, item) -> list[str]:
        found = [item()]
        while self.take(","):
            found.append(item())
        return found

    def group_item(self, scope: Scope) -> str:
        return self.output_name(scope) or self.expression(scope)

    def order_item(self, scope: Scope) -> str:
        if self.now.kind == "number" and self.now.text.isdigit():
            place = self.integer("ORDER BY")
            if not 1 <= place <= len(scope.outputs):
                raise self.error(f"ORDER BY {place}: there are {len(scope.outputs)} columns")
            expression = str(place)
        else:
            expression = self.output_name(scope) or self.expression(scope)
        return f"{expression} {self.take('ASC', 'DESC') or 'ASC'} NULLS LAST"

    def output_name(self, scope: Scope) -> str:
        """A name of the select list standing alone; columns of the tables come first."""
        token, following = self.now, self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if token.kind not in ("name", "quoted") or following.word in (".", "("):
            return ""
        known = any(token.text.lower() in columns for _, columns in scope.tables.values())
        if known or token.text.lower() not in scope.outputs:
            return ""
        return _quote(scope.outputs[self.next().text.lower()])

    def select_list(self, scope: Scope) -> tuple[list[str], list[str], list[tuple[str, str] | None]]:
        columns: list[str] = []
        names: list[str] = []
        sources: list[tuple[str, str] | None] = []

        def add(sql: str, name: str, source: tuple[str, str] | None) -> None:
            taken, unique, number = {n.lower() for n in names}, name, 2
            while unique.lower() in taken:
                unique, number = f"{name}_{number}", number + 1
            columns.append(f"{sql} AS {_quote(unique)}")
            names.append(unique)
            sources.append(source)

        while True:
            if not self.star(scope, add):
                start = self.at
                plain, source = self.plain_column(scope)
                self.at = start
                sql = self.expression(scope)
                add(sql, self.alias() or plain or self.default_name(start), source)
            if not self.take(","):
                return columns, names, sources

    def star(self, scope: Scope, add) -> bool:
        start = self.at
        alias = None
        if self.now.kind in ("name", "quoted") and self.now.word not in _CLAUSES:
            parts = self.dotted(stop_at_star=True)
            alias = ".".join(parts).lower() if self.now.word == "*" else None
        if self.now.word != "*" or (alias is None and self.at != start):
            self.at = start
            return False
        if alias is not None and alias not in scope.tables:
            raise self.error(f"unknown table or alias {alias!r}")
        self.next()
        for key in [alias] if alias else list(scope.tables):
            table, columns = scope.tables[key]
            for name in columns.values():
                add(f"{_quote(key)}.{_quote(name)}", name, (table, name))
        return True

    def dotted(self, stop_at_star: bool = False) -> list[str]:
        parts = [self.identifier()]
        while self.now.word == ".":
            self.next()
            if stop_at_star and self.now.word == "*":
                break
            parts.append(self.identifier())
        return parts

    def identifier(self) -> str:
        if self.now.kind not in ("name", "quoted") or self.now.word in _CLAUSES:
            raise self.error("expected a name")
        return self.next().text

    def plain_column(self, scope: Scope) -> tuple[str, tuple[str, str] | None]:
        """Name and (table, column) of a select item that is nothing but a column, else empty; moves over it."""
        if self.now.kind not in ("name", "quoted") or self.now.word in _CLAUSES:
            return "", None
        parts = self.dotted()
        if self.now.kind == "op" and self.now.word != ",":
            return "", None
        try:
            sql, source = self.resolve(scope, parts)
        except QueryError:
            return "", None
        return sql.rpartition(".")[2].strip('"'), source

    def default_name(self, start: int) -> str:
        token, following = self.tokens[start], self.tokens[start + 1]
        if token.kind == "name" and following.word == "(":
            is_count = token.word.startswith("COUNT") and self.tokens[start + 2].word == "*"
            return "COUNT_ALL" if is_count else token.word
        return "column"

    def alias(self) -> str:
        if self.take("AS"):
            return self.identifier()
        if self.now.kind in ("name", "quoted") and self.now.word not in _CLAUSES:
            return self.identifier()
        return ""

    # -- FROM --------------------------------------------------------------------------------------------------
    def from_clause(self, scope: Scope) -> str:
        sql = self.relation(scope)
        while True:
            if self.take(","):
                sql += f" CROSS JOIN {self.relation(scope)}"
                continue
            side = self.take("INNER", "LEFT", "RIGHT", "FULL", "CROSS")
            if side in ("LEFT", "RIGHT", "FULL"):
                self.take("OUTER")
            if not self.take("JOIN"):
                if side:
                    raise self.error("expected JOIN")
                return sql
            sql += f" {side or 'INNER'} JOIN {self.relation(scope)}"
            if side == "CROSS":
                continue
            if self.take("ON"):
                sql += f" ON ({self.expression(scope)})"
            elif self.take("USING"):
                sql += f" ON ({self.using(scope)})"
            else:
                raise self.error("expected ON or USING")

    def using(self, scope: Scope) -> str:
        self.expect("(")
        names = self.listed(self.identifier)
        self.expect(")")
        *left, right = scope.tables
        equal = []
        for name in names:
            key = next((k for k in left if name.lower() in scope.tables[k][1]), None)
            if key is None or name.lower() not in scope.tables[right][1]:
                raise self.error(f"USING ({name}): not a column of both tables")
            one, other = scope.tables[key][1][name.lower()], scope.tables[right][1][name.lower()]
            equal.append(f"{_quote(key)}.{_quote(one)} = {_quote(right)}.{_quote(other)}")
        return " AND ".join(equal)

    def relation(self, scope: Scope) -> str:
        if self.take("("):
            inner = self.select(scope.parent)
            self.expect(")")
            alias = self.alias()
            if not alias:
                raise self.error("a subquery in FROM needs a name")
            return self.enter(scope, alias, f"({inner.sql})", "", {name.lower(): name for name in inner.names})
        name = ".".join(self.dotted())
        if name.lower() not in self.tables:
            raise QueryError(f"unknown table {name!r}; known: {', '.join(sorted(self.tables))}")
        relation, columns = self.tables[name.lower()]
        alias = self.alias() or name
        return self.enter(scope, alias, relation, name.lower(), columns)

    def enter(self, scope: Scope, alias: str, relation: str, table: str, columns: Columns) -> str:
        if alias.lower() in scope.tables:
            raise QueryError(f"two tables are called {alias!r}; give one an alias")
        scope.tables[alias.lower()] = (table, columns)
        return f"{relation} AS {_quote(alias.lower())}"

    def resolve(self, scope: Scope, parts: list[str]) -> tuple[str, tuple[str, str] | None]:
        """SQL and (table, column) of a column name with or without its table."""
        *table, column = parts
        key, column = ".".join(table).lower(), column.lower()
        level: Scope | None = scope
        while level is not None:
            aliases = [key] if key in level.tables else [a for a in level.tables if a.rpartition(".")[2] == key]
            candidates = aliases if table else list(level.tables)
            found = [a for a in candidates if column in level.tables[a][1]]
            if len(found) > 1 and not table:
                raise QueryError(f"column {column!r} is in several tables: write {found[0]}.{column}")
            if found:
                public, columns = level.tables[found[0]]
                source = (public, columns[column]) if public else None
                return f"{_quote(found[0])}.{_quote(columns[column])}", source
            level = level.parent
        raise QueryError(f"unknown column {'.'.join(parts)!r} in {', '.join(scope.tables) or 'no table'}")

    # -- expressions: see expressions.py -----------------------------------------------------------------------
    def expression(self, scope: Scope) -> str:
        from stellar.archive.service.adql.expressions import disjunction

        self.deeper()
        sql = disjunction(self, scope)
        self.depth -= 1
        return sql


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
