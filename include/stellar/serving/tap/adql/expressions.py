"""Expressions of ADQL as SQL: each rule of the grammar's that means something else in DuckDB has its method here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from antlr4.tree.Tree import TerminalNode
from queryparser.adql.ADQLLexer import ADQLLexer
from queryparser.adql.ADQLParser import ADQLParser
from queryparser.adql.ADQLParserVisitor import ADQLParserVisitor

from stellar.errors import InputError
from stellar.lake.sql_text import literal
from stellar.serving.results import Column

from . import functions, geometry
from .geometry import Box, Circle, Geometry, Number, Point, Polygon
from .names import Scope, Source
from .parse import place

_PLAIN_NUMBER = re.compile(r"\s*[+-]?\s*(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_FRAMES = ("", "ICRS")
_SIGNS = (
    *(ADQLLexer.LPAREN, ADQLLexer.RPAREN, ADQLLexer.ASTERISK, ADQLLexer.PLUS, ADQLLexer.MINUS, ADQLLexer.SOLIDUS),
    *(ADQLLexer.COMMA, ADQLLexer.LTH, ADQLLexer.GTH, ADQLLexer.LEET, ADQLLexer.GRET, ADQLLexer.EQ, ADQLLexer.NOT_EQ),
    *(ADQLLexer.CONCAT, ADQLLexer.MOD_SYM, ADQLLexer.AMPERSAND, ADQLLexer.VERTBAR, ADQLLexer.TILDE, ADQLLexer.INT),
)
_WORDS = (
    *(ADQLLexer.AND, ADQLLexer.OR, ADQLLexer.NOT, ADQLLexer.NULL, ADQLLexer.IS, ADQLLexer.IN, ADQLLexer.EXISTS),
    *(ADQLLexer.BETWEEN, ADQLLexer.LIKE, ADQLLexer.ILIKE, ADQLLexer.TRUE, ADQLLexer.FALSE, ADQLLexer.COUNT),
    *(ADQLLexer.AVG, ADQLLexer.MAX, ADQLLexer.MIN, ADQLLexer.SUM, ADQLLexer.DISTINCT, ADQLLexer.ALL),
    *(ADQLLexer.ASC, ADQLLexer.DESC),
)


def fault(node: Any, message: str) -> NoReturn:
    """Refuse a part of the tree, with the place where it begins."""
    token = node.symbol if isinstance(node, TerminalNode) else node.start
    raise InputError(f"{place(token)}: {message}")


def name_of(node: Any) -> tuple[str, bool]:
    """Name of an identifier, and whether it is delimited: then its case matters."""
    text = node.getText()
    return (text[1:-1].replace('""', '"'), True) if text.startswith('"') else (text, False)


def sole(node: Any, kind: type) -> Any:
    """The node of a kind that a part of the tree consists of and of nothing else; None if it is something else."""
    while not isinstance(node, kind):
        if isinstance(node, TerminalNode) or node.getChildCount() != 1:
            return None
        node = node.getChild(0)
    return node


def nodes(context: Any, kind: type) -> Iterator[Any]:
    """A node's children of a kind."""
    return (child for child in context.getChildren() if isinstance(child, kind))


class Expressions(ADQLParserVisitor):
    """Writes expressions; what is not named here is written as it stands, word by word."""

    def __init__(self) -> None:
        self.scope = Scope()

    def subquery(self, context: ADQLParser.SubqueryContext) -> str:
        """A SELECT in parentheses, within the SELECT that is being written."""
        raise NotImplementedError

    # --- as it stands

    def visitChildren(self, node: Any) -> str:  # noqa: N802  antlr's names, here and below
        return " ".join(self.visit(child) for child in node.getChildren())

    def visitTerminal(self, node: TerminalNode) -> str:  # noqa: N802
        kind = node.symbol.type
        if kind in _WORDS:
            return str(node.getText().upper())
        if kind in _SIGNS:
            return str(node.getText())
        fault(node, f"{node.getText()!r} is not offered here")

    def visitErrorNode(self, node: Any) -> str:  # noqa: N802
        fault(node, f"{node.getText()!r} cannot stand here")

    # --- names and literals

    def column(self, context: ADQLParser.Column_referenceContext) -> tuple[Source, Column, str]:
        """What a reference names.

        Raises
        ------
        InputError
            When it names nothing, or several things.
        """
        name, exact = name_of(context.column_name())
        qualifier: tuple[str, ...] = ()
        if context.qualifier() is not None:
            parts = [child for child in _identifiers(context.qualifier())]
            qualifier = tuple(name_of(part)[0] for part in parts)
        try:
            found = self.scope.find(name, exact, qualifier)
        except InputError as error:
            fault(context, str(error))
        if found is None:
            shown = ".".join((*qualifier, name))
            if qualifier and not any(Scope._is_called(source, qualifier) for source in self.scope.sources):
                there = ", ".join(source.alias for source in self.scope.sources)
                fault(context, f"no table {'.'.join(qualifier)!r} in this FROM, which has {there}")
            fault(context, f"no column {shown!r} in this FROM{self.scope.near(name)}")
        return found

    def visitColumn_reference(self, ctx: ADQLParser.Column_referenceContext) -> str:  # noqa: N802
        return self.column(ctx)[2]

    def visitCharacter_string_literal(self, ctx: Any) -> str:  # noqa: N802
        return literal(_text(ctx))

    def visitExact_numeric_literal(self, ctx: Any) -> str:  # noqa: N802
        text = ctx.getText()
        return text if text.isdigit() else _double(text)

    def visitApproximate_numeric_literal(self, ctx: Any) -> str:  # noqa: N802
        return _double(ctx.getText())

    def visitUnsigned_hexadecimal(self, ctx: Any) -> str:  # noqa: N802
        return str(int(ctx.getText(), 16))

    # --- operators and functions

    def visitNumeric_value_expression(self, ctx: Any) -> str:  # noqa: N802
        if ctx.bitwise_xor() is not None:
            left, right = (self.visit(part) for part in ctx.numeric_value_expression())
            return f"xor({left}, {right})"
        return self.visitChildren(ctx)

    def visitMath_function(self, ctx: Any) -> str:  # noqa: N802
        kinds = (
            ADQLParser.Numeric_value_expressionContext,
            ADQLParser.Signed_integerContext,
            ADQLParser.Unsigned_decimalContext,
        )
        return functions.maths(ctx.getChild(0).getText().upper(), [self.visit(part) for part in nodes(ctx, kinds)])  # type: ignore[arg-type]

    visitTrig_function = visitMath_function  # noqa: N815

    def visitUser_defined_function(self, ctx: Any) -> str:  # noqa: N802
        name = ctx.user_defined_function_name().getText().upper()
        arguments = [parameter.value_expression() for parameter in ctx.user_defined_function_param()]
        try:
            if name in functions.SPECIAL:
                return self._special(name, ctx, arguments)
            return functions.call(name, [self.visit(argument) for argument in arguments])
        except InputError as error:
            if str(error).startswith("ADQL, "):
                raise
            fault(ctx, str(error))

    def _special(self, name: str, ctx: Any, arguments: list[Any]) -> str:
        wanted = 2 if name in ("CAST", "IN_UNIT") else 1
        if len(arguments) != wanted:
            raise InputError(f"{name} takes {wanted} argument{'s' if wanted > 1 else ''}, not {len(arguments)}")
        if name == "CAST":
            return functions.cast(self.visit(arguments[0]), self._said(arguments[1], "the type"))
        if name == "IN_UNIT":
            return self._in_unit(arguments[0], self._said(arguments[1], "the unit"))
        shape = self.shape(arguments[0])
        if name == "COORDSYS":
            return "'ICRS'"
        if name == "CENTROID":
            return geometry.value(_centre(shape))[0]
        if not isinstance(shape, Point):
            raise InputError(f"{name} takes a POINT")
        return shape.ra.sql if name == "COORD1" else shape.dec.sql

    def _said(self, node: Any, what: str) -> str:
        found = sole(node, ADQLParser.Character_string_literalContext)
        if found is None:
            fault(node, f"{what} must be a text in quotes")
        return _text(found)

    def _in_unit(self, node: Any, unit: str) -> str:
        from astropy import units

        reference = sole(node, ADQLParser.Column_referenceContext)
        held = self.column(reference)[1].unit if reference is not None else ""
        if not held:
            fault(node, "IN_UNIT takes a column that has a unit")
        try:
            factor = units.Unit(held, format="vounit").to(units.Unit(unit, format="vounit"))
        except (ValueError, TypeError, units.UnitConversionError) as error:
            fault(node, f"IN_UNIT from {held!r} to {unit!r}: {error}")
        return f"({self.visit(node)} * {float(factor)!r}::DOUBLE)"

    # --- geometry

    def visitContains(self, ctx: Any) -> str:  # noqa: N802
        return f"(CASE WHEN {self._pair(geometry.contains, ctx)} THEN 1 ELSE 0 END)"

    def visitIntersects(self, ctx: Any) -> str:  # noqa: N802
        return f"(CASE WHEN {self._pair(geometry.intersects, ctx)} THEN 1 ELSE 0 END)"

    def visitContains_predicate(self, ctx: Any) -> str:  # noqa: N802
        tested = ctx.contains() if isinstance(ctx, ADQLParser.Contains_predicateContext) else ctx.intersects()
        return f"({self.visit(tested)} = {ctx.INT().getText()})"

    visitIntersects_predicate = visitContains_predicate  # noqa: N815

    def visitArea(self, ctx: Any) -> str:  # noqa: N802
        return self._told(lambda: geometry.area(self.shape(ctx.geometry_value_expression())), ctx)

    def visitDistance(self, ctx: Any) -> str:  # noqa: N802
        if ctx.coord_value():
            left, right = (self._point(part) for part in ctx.coord_value())
            return geometry.distance(left, right)
        a1, d1, a2, d2 = (self._number(part) for part in ctx.numeric_value_expression())
        return geometry.distance(Point(a1, d1), Point(a2, d2))

    def visitGeometry_value_expression(self, ctx: Any) -> str:  # noqa: N802
        if ctx.value_expression_primary() is not None or ctx.user_defined_function() is not None:
            return self.visitChildren(ctx)
        return self._told(lambda: geometry.value(self.shape(ctx))[0], ctx)

    def _pair(self, write: Callable[[Geometry, Geometry], str], ctx: Any) -> str:
        left, right = (self.shape(part) for part in ctx.geometry_value_expression())
        return self._told(lambda: write(left, right), ctx)

    def _told(self, write: Callable[[], str], ctx: Any) -> str:
        try:
            return write()
        except InputError as error:
            if str(error).startswith("ADQL, "):
                raise
            fault(ctx, str(error))

    def shape(self, node: Any) -> Geometry:
        """The geometry that a part of the tree says.

        Raises
        ------
        InputError
            When it is none, or its frame is not ICRS.
        """
        kinds = (ADQLParser.PointContext, ADQLParser.CircleContext, ADQLParser.BoxContext, ADQLParser.PolygonContext)
        found = next((shape for kind in kinds if (shape := sole(node, kind)) is not None), None)
        if found is None:
            called = sole(node, ADQLParser.User_defined_functionContext)
            if called is not None and called.user_defined_function_name().getText().upper() == "CENTROID":
                return _centre(self.shape(called.user_defined_function_param()[0].value_expression()))
            fault(node, "a POINT, CIRCLE, BOX or POLYGON must stand here; no column holds a geometry")
        if isinstance(found, ADQLParser.CircleContext) and (centre := self._misread(found)) is not None:
            return Circle(centre, self._number(found.radius()))
        if found.coord_sys() is not None:
            frame = sole(found.coord_sys(), ADQLParser.Character_string_literalContext)
            words = _text(frame).upper().split() if frame is not None else ["?"]
            if (words[0] if words else "") not in _FRAMES:
                fault(found.coord_sys(), "coordinates are ICRS here; write 'ICRS', or leave the frame out")
        if isinstance(found, ADQLParser.PointContext):
            return self._position(found.coordinates())
        if isinstance(found, ADQLParser.CircleContext):
            centre = found.circle_center()
            middle = self._position(centre.coordinates()) if centre.coordinates() else self._point(centre.coord_value())
            return Circle(middle, self._number(found.radius()))
        if isinstance(found, ADQLParser.BoxContext):
            return self._box(found)
        return self._polygon(found)

    def _misread(self, ctx: Any) -> Point | None:
        """The centre of `CIRCLE(ra, dec, r)`, of which the grammar takes `ra` for the frame and `dec` for a point."""
        first, second = ctx.coord_sys(), ctx.circle_center().coord_value()
        if first is None or second is None or sole(second, ADQLParser.Column_referenceContext) is None:
            return None
        if sole(first, ADQLParser.Character_string_literalContext) is not None:
            return None
        return self._pair_of(first, second)

    def _box(self, ctx: Any) -> Box:
        pairs = [*nodes(ctx, ADQLParser.CoordinatesContext)]
        width, height = (self._number(part) for part in nodes(ctx, ADQLParser.Numeric_value_expressionContext))
        for side in (width, height):
            if side.value is not None and not 0 <= side.value < geometry.WIDEST_BOX_DEG:
                fault(ctx, f"a BOX has sides of 0 to {geometry.WIDEST_BOX_DEG:.0f} degrees")
        return Box(self._position(pairs[0]), width, height)

    def _polygon(self, ctx: Any) -> Polygon:
        points = [self._position(part) for part in nodes(ctx, ADQLParser.CoordinatesContext)]
        if any(number.value is None for point in points for number in (point.ra, point.dec)):
            fault(ctx, "the vertices of a POLYGON must be numbers, not columns")
        from stellar.sky.healpix import polygon_ranges

        shape = Polygon(tuple(p.ra.value or 0.0 for p in points), tuple(p.dec.value or 0.0 for p in points))
        self._told(lambda: str(polygon_ranges(shape.ra, shape.dec)), ctx)
        return shape

    def _position(self, ctx: Any) -> Point:
        return self._pair_of(ctx.coordinate1(), ctx.coordinate2())

    def _pair_of(self, first: Any, second: Any) -> Point:
        parts = first, second
        ra, dec = (self._number(part) for part in parts)
        if dec.value is not None and abs(dec.value) > 90:
            fault(second, f"a declination of {dec.value} degrees; it lies in [-90, 90]")
        references = [sole(part, ADQLParser.Column_referenceContext) for part in parts]
        if any(reference is None for reference in references):
            return Point(ra, dec)
        (source, column, _), (other, column_2, _) = (self.column(reference) for reference in references)
        return Point(ra, dec, (source.alias, column.name, column_2.name) if source is other else None)

    def _point(self, ctx: Any) -> Point:
        shape = self.shape(ctx)
        if not isinstance(shape, Point):
            fault(ctx, "a POINT must stand here")
        return shape

    def _number(self, ctx: Any) -> Number:
        sql = self.visit(ctx)
        if _PLAIN_NUMBER.fullmatch(ctx.getText()):
            value = float(ctx.getText().replace(" ", ""))
            return Number(f"{value!r}::DOUBLE" if value >= 0 else f"({value!r})::DOUBLE", value)
        return Number(f"({sql})")

    # --- SELECTs within

    def visitSubquery(self, ctx: Any) -> str:  # noqa: N802
        return self.subquery(ctx)


def _identifiers(node: Any) -> Iterator[Any]:
    """The identifiers of a qualifier, in order: schema, table, or one alone."""
    kinds = (ADQLParser.IdentifierContext, ADQLParser.Schema_nameContext)
    if isinstance(node, kinds):
        yield node
    elif not isinstance(node, TerminalNode):
        for child in node.getChildren():
            yield from _identifiers(child)


def _text(node: Any) -> str:
    return str(node.getText())[1:-1].replace("''", "'")


def _double(text: str) -> str:
    return text if "e" in text.lower() else f"{text}e0"


def _centre(shape: Geometry) -> Point:
    if isinstance(shape, Point):
        return shape
    if isinstance(shape, Circle | Box):
        return shape.centre
    raise InputError("CENTROID of a POLYGON is not offered")
