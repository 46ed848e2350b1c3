"""ADQL's SELECTs as DuckDB's: published tables and columns by name, a cone that WHERE asks for read by region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from antlr4.tree.Tree import TerminalNode
from queryparser.adql.ADQLLexer import ADQLLexer
from queryparser.adql.ADQLParser import ADQLParser

from stellar.errors import InputError
from stellar.lake.sql_text import quoted
from stellar.serving.results import Column

from . import geometry
from .body import Body, Translated
from .conditions import asked_contains, conjuncts
from .expressions import Expressions, fault, name_of, nodes, sole
from .geometry import Box, Circle, Point, Polygon
from .names import Scope, Source, Table, find_table, hint, unnamed
from .parse import parse

_SETS = {ADQLLexer.UNION: "UNION", ADQLLexer.EXCEPT: "EXCEPT", ADQLLexer.INTERSECT: "INTERSECT", ADQLLexer.ALL: "ALL"}
_FLAT = (
    ADQLParser.Query_expressionContext,
    ADQLParser.Non_join_query_expressionContext,
    ADQLParser.Query_termContext,
    ADQLParser.Non_join_query_termContext,
)
#: Aggregates whose result has the unit of what they are of.
_SAME_UNIT = ("AVG", "MAX", "MIN", "SUM")


def translate(text: str, tables: Mapping[str, Table]) -> Translated:
    """DuckDB's SQL of an ADQL query.

    Parameters
    ----------
    text : str
    tables : mapping
        What may be named: `schema.table` in lower case -> Table.

    Raises
    ------
    InputError
        Where it is no query, or names what there is not: line, column, and what to write.
    """
    tree = parse(text)
    translator = _Translator(tables)
    try:
        body = translator.body(tree.query_expression())
    except RecursionError:
        raise InputError("the query is nested too deeply; take it apart with WITH") from None
    return Translated(body, tuple(translator.withs), body.columns, frozenset(translator.read))


class _Translator(Expressions):
    def __init__(self, tables: Mapping[str, Table]) -> None:
        super().__init__()
        self._tables = tables
        self._named: dict[str, list[Column]] = {}
        self.withs: list[str] = []
        self.read: set[str] = set()

    # --- SELECTs put together

    def body(self, context: Any) -> Body:
        """A query expression. Operators bind as in SQL, whatever the grammar's tree: INTERSECT before the others."""
        words = self._flat(context)
        parts = [word for word in words if isinstance(word, Body)]
        if len(parts) == 1:
            return parts[0]
        widths = {len(part.columns) for part in parts}
        if len(widths) > 1:
            fault(context, f"the SELECTs put together have {' and '.join(map(str, sorted(widths)))} columns")
        last = parts[-1]
        # ORDER BY and OFFSET at the end are of all of them; the grammar gives them to the last.
        order, offset = (last.order, last.offset) if last.is_select else ("", None)
        if last.is_select:
            last.order, last.offset = "", None
        sql = " ".join(word if isinstance(word, str) else f"({word.render()})" for word in words)
        plain = [
            replace(column, unit="", ucd="") if _differ(parts, k) else column for k, column in enumerate(last.columns)
        ]
        named = [replace(column, name=first.name) for column, first in zip(plain, parts[0].columns, strict=True)]
        return Body(sql, named, order, None, offset, is_select=False)

    def _flat(self, node: Any) -> list[Any]:
        if isinstance(node, TerminalNode):
            return [_SETS[node.symbol.type]]
        if isinstance(node, ADQLParser.Non_join_query_primaryContext):
            if node.query_specification() is not None:
                return [self._specification(node.query_specification())]
            inner = self.body(node.non_join_query_expression())
            return [replace(inner, is_select=False)]
        if isinstance(node, _FLAT):
            return [item for child in node.getChildren() for item in self._flat(child)]
        fault(node, "a SELECT must stand here")

    def _specification(self, context: Any) -> Body:
        for group in nodes(context, ADQLParser.With_queryContext):
            name, columns = None, []
            for child in group.getChildren():
                if isinstance(child, ADQLParser.Query_nameContext):
                    name, columns = child, []
                elif isinstance(child, ADQLParser.Column_nameContext):
                    columns.append(name_of(child)[0])
                elif isinstance(child, ADQLParser.Query_specificationContext) and name is not None:
                    self._with(name, columns, self._within(child))
        return self._select(context.select_query())

    def _within(self, context: Any) -> Body:
        outer, self.scope = self.scope, Scope()
        try:
            return self._specification(context)
        finally:
            self.scope = outer

    def _with(self, node: Any, names: list[str], body: Body) -> None:
        name = name_of(node)[0]
        if name.lower() in self._named:
            fault(node, f"WITH names {name!r} twice")
        if names and len(names) != len(body.columns):
            fault(node, f"{name} has {len(names)} names for {len(body.columns)} columns")
        columns = (
            [replace(column, name=given) for column, given in zip(body.columns, names, strict=True)]
            if names
            else body.columns
        )
        self._named[name.lower()] = columns
        listed = ", ".join(quoted(column.name) for column in columns)
        self.withs.append(f"{quoted(name)}({listed}) AS ({body.render()})")

    def subquery(self, context: ADQLParser.SubqueryContext) -> str:
        """A SELECT within an expression: it sees the columns of the one around it."""
        outer, self.scope = self.scope, Scope(self.scope)
        try:
            return f"({self.body(context.query_expression()).render()})"
        finally:
            self.scope = outer

    # --- one SELECT

    def _select(self, context: Any) -> Body:
        parent = self.scope.parent
        self.scope = Scope(parent)
        table = context.table_expression()
        tree = [self._source(reference) for reference in table.from_clause().table_reference()]
        where = self._where(table.where_clause())
        shown = self._list(context.select_list())
        columns = unnamed(column for _, column in shown)
        items = ", ".join(f"{sql} AS {quoted(column.name)}" for (sql, _), column in zip(shown, columns, strict=True))
        quantifier = f"{context.set_quantifier().getText().upper()} " if context.set_quantifier() else ""
        rendered = ", ".join(" ".join(p.render() if isinstance(p, Source) else p for p in part) for part in tree)
        sql = f"SELECT {quantifier}{items} FROM {rendered}{where}"  # noqa: S608
        if table.group_by_clause() is not None:
            keys = table.group_by_clause().grouping_column_reference_list().grouping_column_reference()
            sql += f" GROUP BY {', '.join(self._key(key, columns) for key in keys)}"
        if table.having_clause() is not None:
            sql += f" HAVING {self.visit(table.having_clause().search_condition())}"
        order = ""
        if table.order_by_clause() is not None:
            keys = table.order_by_clause().sort_specification_list().sort_specification()
            order = f"ORDER BY {', '.join(self._sort(key, columns) for key in keys)}"
        limit = int(context.set_limit().unsigned_decimal().getText()) if context.set_limit() else None
        offset = int(table.offset_clause().unsigned_decimal().getText()) if table.offset_clause() else None
        return Body(sql, columns, order, limit, offset)

    def _list(self, context: Any) -> list[tuple[str, Column]]:
        shown: list[tuple[str, Column]] = []
        for child in context.getChildren():
            if isinstance(child, TerminalNode):
                shown += self.scope.star() if child.symbol.type == ADQLLexer.ASTERISK else []
            elif child.qualifier() is not None:
                qualifier = child.qualifier().getText().replace('"', "").split(".")
                found = [s for s in self.scope.sources if Scope._is_called(s, tuple(qualifier))]
                if not found:
                    fault(child, f"no table {'.'.join(qualifier)!r} in this FROM")
                shown += self.scope.star(found[0])
            else:
                shown.append(self._derived(child.derived_column(), len(shown) + 1))
        return shown

    def _derived(self, context: Any, number: int) -> tuple[str, Column]:
        value = context.value_expression()
        sql = self.visit(value)
        reference = sole(value, ADQLParser.Column_referenceContext)
        column = self.column(reference)[1] if reference is not None else self._made(value, number)
        if context.as_clause() is not None:
            column = replace(column, name=name_of(context.as_clause().column_name())[0])
        return sql, column

    def _made(self, value: Any, number: int) -> Column:
        """Name of a column that is computed, and what is known of it."""
        shape = sole(value, ADQLParser.Geometry_value_expressionContext)
        if shape is not None and shape.value_expression_primary() is None and shape.user_defined_function() is None:
            xtype = geometry.value(self.shape(shape))[1]
            return Column(xtype, xtype=xtype, unit="deg", ucd="pos" if xtype == "point" else "pos.outline;obs.field")
        aggregate = sole(value, ADQLParser.Set_function_specificationContext)
        if aggregate is not None:
            general = aggregate.general_set_function()
            kind = general.set_function_type().getText().upper() if general is not None else "COUNT"
            inner = general and sole(general.value_expression(), ADQLParser.Column_referenceContext)
            unit = self.column(inner)[1].unit if inner is not None and kind in _SAME_UNIT else ""
            return Column(kind.lower(), unit=unit, ucd="meta.number" if kind == "COUNT" else "")
        if sole(value, ADQLParser.DistanceContext) is not None:
            return Column("distance", unit="deg", ucd="pos.angDistance")
        if sole(value, ADQLParser.AreaContext) is not None:
            return Column("area", unit="deg**2", ucd="phys.angArea")
        for kind in (
            ADQLParser.Math_functionContext,
            ADQLParser.Trig_functionContext,
            ADQLParser.User_defined_functionContext,
        ):
            if (called := sole(value, kind)) is not None:
                return Column(called.getChild(0).getText().lower())
        return Column(f"column_{number}")

    def _key(self, context: Any, columns: list[Column]) -> str:
        """A key of GROUP BY: of the tables, else one that the SELECT's list names."""
        return self._of_list(context.value_expression(), columns, first=False) or self.visit(context)

    def _sort(self, context: Any, columns: list[Column]) -> str:
        key = context.sort_key()
        way = f" {context.ordering_specification().getText().upper()}" if context.ordering_specification() else ""
        text = key.getText()
        if text.isdigit():
            if not 1 <= int(text) <= len(columns):
                fault(key, f"ORDER BY {text}: the list has {len(columns)} columns")
            return text + way
        return (self._of_list(key, columns, first=True) or self.visit(key)) + way

    def _of_list(self, node: Any, columns: list[Column], *, first: bool) -> str | None:
        """A lone name that the SELECT's list gives; before the tables' own (`first`), or where they lack it."""
        reference = sole(node, ADQLParser.Column_referenceContext)
        if reference is None or reference.qualifier() is not None:
            return None
        name, exact = name_of(reference.column_name())
        if not first and any(source.find(name, exact) for source in self.scope.sources):
            return None
        for column in columns:
            if column.name == name or (not exact and column.name.lower() == name.lower()):
                return quoted(column.name)
        return None

    # --- FROM

    def _source(self, context: Any) -> list[Any]:
        """A table reference, left to right: sources, and the words between them."""
        if context.getChild(0) is not None and isinstance(context.getChild(0), TerminalNode):
            return ["(", *self._source(context.joined_table()), ")"]
        if getattr(context, "JOIN", None) and context.JOIN() is not None:
            return self._join(context)
        if isinstance(context, ADQLParser.Joined_tableContext):
            return ["(", *self._source(context.joined_table()), ")"]
        source = self._derived_table(context) if context.derived_table() is not None else self._table(context)
        try:
            self.scope.add(source)
        except InputError as error:
            fault(context, str(error))
        return [source]

    def _table(self, context: Any) -> Source:
        node = context.table_name()
        schema = name_of(node.schema_name())[0] if node.schema_name() is not None else ""
        name = name_of(node.identifier())[0]
        given = context.correlation_specification()
        alias = name_of(given.correlation_name())[0] if given is not None else name
        if not schema and name.lower() in self._named:
            return Source(alias, self._named[name.lower()], quoted(name))
        try:
            table = find_table(self._tables, f"{schema}.{name}" if schema else name)
        except InputError as error:
            fault(node, f"{error}{hint(name, self._named)}")
        self.read.add(table.name)
        return Source(alias, list(table.columns), table.sql, table)

    def _derived_table(self, context: Any) -> Source:
        outer, self.scope = self.scope, Scope()
        try:
            body = self.body(context.derived_table().table_subquery().subquery().query_expression())
        finally:
            self.scope = outer
        alias = name_of(context.correlation_specification().correlation_name())[0]
        return Source(alias, body.columns, f"({body.render()})")

    def _join(self, context: Any) -> list[Any]:
        left, right = context.table_reference()
        before = len(self.scope.sources)
        words = self._source(left)
        middle = len(self.scope.sources)
        joined = self._source(right)
        sources = self.scope.sources
        kind = (
            " ".join(child.getText().upper() for child in context.join_type().getChildren())
            if context.join_type()
            else ""
        )
        given = context.join_specification()
        if context.NATURAL() is not None:
            names = [c.name for s in sources[before:middle] for c in s.columns if _has(sources[middle:], c.name)]
            names = list(dict.fromkeys(names))
            if not names or given is not None:
                fault(context, "NATURAL JOIN takes neither ON nor USING" if names else "NATURAL JOIN: no common column")
            how = self._using(context, names, sources[before:middle], sources[middle:])
        elif given is None:
            fault(context, "JOIN needs ON or USING; for every pair of rows write both tables with a comma")
        elif given.named_columns_join() is not None:
            listed = given.named_columns_join().join_column_list().column_name_list().column_name()
            names = [name_of(name)[0] for name in listed]
            how = self._using(context, names, sources[before:middle], sources[middle:])
        else:
            how = f"ON {self.visit(given.join_condition().search_condition())}"
        return [*words, f"{kind} JOIN".strip(), *joined, how]

    def _using(self, context: Any, names: list[str], left: list[Source], right: list[Source]) -> str:
        found = []
        for name in names:
            sides = [[(s, c) for s in side if (c := s.find(name, False))] for side in (left, right)]
            if not all(sides):
                fault(context, f"USING: both sides must have {name!r}")
            found.append(sides[0][0][1].name)
            together = self.scope.merged.setdefault(name.lower(), [])
            together += [source for side in sides for source, _ in side if all(source is not one for one in together)]
        return f"USING ({', '.join(map(quoted, found))})"

    # --- WHERE

    def _where(self, context: Any) -> str:
        if context is None:
            return ""
        parts = []
        for factor in conjuncts(context.search_condition()):
            parts.append(self._by_region(factor) or self.visit(factor))
        return f" WHERE {' AND '.join(f'({part})' for part in parts)}"

    def _by_region(self, factor: Any) -> str | None:
        """What is left of a condition that a source of the FROM answers by reading a region; None if none does.

        Its rows are then exactly those in the region. Where it is at the outer side of a join the condition also drops
        the rows that found no partner, and still has to.
        """
        asked = asked_contains(factor)
        if asked is None:
            return None
        inner, outer = (self.shape(part) for part in asked.geometry_value_expression())
        if not isinstance(inner, Point) or inner.columns is None or not isinstance(outer, Circle | Box | Polygon):
            return None
        alias, *position = inner.columns
        source = next((s for s in self.scope.sources if s.alias == alias), None)
        if source is None or source.table is None or source.region or source.table.position != tuple(position):
            return None
        if isinstance(outer, Box):
            try:
                outer = geometry.polygon_of(outer)
            except InputError:
                return None
        source.region = geometry.region(outer, source.table.name)
        return f"{inner.ra.sql} IS NOT NULL" if source.region else None


def _has(sources: list[Source], name: str) -> bool:
    return any(source.find(name, False) for source in sources)


def _differ(parts: list[Body], number: int) -> bool:
    return len({part.columns[number].unit for part in parts}) > 1
