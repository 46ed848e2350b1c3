"""Conditions and values of the grammar, by precedence: OR, AND, NOT, comparison, sum, product, sign, primary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stellar.archive.service.adql import functions as fn
from stellar.archive.service.adql.lexer import QueryError

if TYPE_CHECKING:
    from stellar.archive.service.adql.parser import Parser, Scope

_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
_SHAPES = {"POINT", "CIRCLE", "BOX", "POLYGON", "REGION"}
_FRAMES = {"", "icrs", "icrs geocenter", "fk5"}  # within the simulated sky's own errors these are one frame


def disjunction(p: Parser, scope: Scope) -> str:
    """`a OR b ...`."""
    sql = conjunction(p, scope)
    while p.take("OR"):
        sql = f"({sql} OR {conjunction(p, scope)})"
    return sql


def conjunction(p: Parser, scope: Scope) -> str:
    """`a AND b ...`."""
    sql = negation(p, scope)
    while p.take("AND"):
        sql = f"({sql} AND {negation(p, scope)})"
    return sql


def negation(p: Parser, scope: Scope) -> str:
    """`NOT a`."""
    if p.take("NOT"):
        p.deeper()
        sql = f"(NOT {negation(p, scope)})"
        p.depth -= 1
        return sql
    return comparison(p, scope)


def comparison(p: Parser, scope: Scope) -> str:
    """A value, or a comparison, BETWEEN, IN, LIKE or IS NULL of values."""
    if p.take("EXISTS"):
        p.expect("(")
        sql = p.select(scope).sql
        p.expect(")")
        return f"EXISTS ({sql})"
    sql = total(p, scope)
    if p.now.word in _COMPARISONS:
        operator = _COMPARISONS[p.next().word]
        return f"({sql} {operator} {total(p, scope)})"
    if p.take("IS"):
        negated = "NOT " if p.take("NOT") else ""
        p.expect("NULL")
        return f"({sql} IS {negated}NULL)"
    negated = "NOT " if p.now.word == "NOT" and p.take("NOT") else ""
    if p.take("BETWEEN"):
        low = total(p, scope)
        p.expect("AND")
        return f"({sql} {negated}BETWEEN {low} AND {total(p, scope)})"
    if p.take("IN"):
        return f"({sql} {negated}IN ({_members(p, scope)}))"
    like = p.take("LIKE", "ILIKE")
    if like:
        return f"({sql} {negated}{like} {total(p, scope)})"
    if negated:
        raise p.error("expected BETWEEN, IN or LIKE after NOT")
    return sql


def _members(p: Parser, scope: Scope) -> str:
    p.expect("(")
    sql = p.select(scope).sql if p.now.word == "SELECT" else ", ".join(p.listed(lambda: total(p, scope)))
    p.expect(")")
    return sql


def total(p: Parser, scope: Scope) -> str:
    """Sums, differences and joined strings."""
    sql = product(p, scope)
    while operator := p.take("+", "-", "||"):
        sql = f"({sql} {operator} {product(p, scope)})"
    return sql


def product(p: Parser, scope: Scope) -> str:
    """Products and quotients; whole numbers divide to whole numbers, as in ADQL's databases and T-SQL."""
    sql = factor(p, scope)
    while operator := p.take("*", "/", "%"):
        sql = f"({sql} {'//' if operator == '/' else operator} {factor(p, scope)})"  # // truncates integers only
    return sql


def factor(p: Parser, scope: Scope) -> str:
    """A sign before a value, or the value."""
    sign = p.take("+", "-")
    if sign:
        p.deeper()
        sql = f"({sign}{factor(p, scope)})"
        p.depth -= 1
        return sql
    return primary(p, scope)


def primary(p: Parser, scope: Scope) -> str:
    """A literal, column, function, subquery, CASE, CAST or parenthesis."""
    token = p.now
    if token.kind == "number":
        p.next()
        return _number(token.text, p)
    if token.kind == "string":
        p.next()
        return p.bind(token.text)
    if p.take("("):
        sql = p.select(scope).sql if p.now.word == "SELECT" else p.expression(scope)
        p.expect(")")
        return f"({sql})"
    if p.take("NULL"):
        return "NULL"
    if p.take("CASE"):
        return _case(p, scope)
    following = p.tokens[min(p.at + 1, len(p.tokens) - 1)]
    if token.kind == "name" and following.word == "(":
        return _call(p, scope)
    return p.resolve(scope, p.dotted())[0]


def _number(text: str, p: Parser) -> str:
    """The literal itself: the lexer let nothing but digits, a point and an exponent through."""
    if text.isdigit():
        if int(text) >= 2**63:
            raise p.error(f"{text} is beyond 64-bit integers")
        return str(int(text))
    return repr(float(text)) + ("" if "e" in repr(float(text)) else "e0")  # a double, never DuckDB's DECIMAL


def _case(p: Parser, scope: Scope) -> str:
    sql = "CASE"
    while p.take("WHEN"):
        sql += f" WHEN {p.expression(scope)}"
        p.expect("THEN")
        sql += f" THEN {p.expression(scope)}"
    if sql == "CASE":
        raise p.error("expected WHEN")
    if p.take("ELSE"):
        sql += f" ELSE {p.expression(scope)}"
    p.expect("END")
    return f"({sql} END)"


def _call(p: Parser, scope: Scope) -> str:
    name = p.next().word
    p.expect("(")
    if name in fn.AGGREGATES:
        sql = _aggregate(p, scope, name)
    elif name == "CAST":
        value = p.expression(scope)
        p.expect("AS")
        sql = f"CAST({value} AS {_type(p)})"
    elif name in ("CONTAINS", "INTERSECTS"):
        sql = _contains(p, scope)
    elif name == "DISTANCE":
        sql = _distance(p, scope)
    elif name in ("COORD1", "COORD2"):
        sql = _point(p, scope)[int(name[-1]) - 1]
    elif name in _SHAPES:
        raise p.error(f"{name} stands only inside CONTAINS or DISTANCE here")
    elif name in fn.SCALARS:
        fewest, most, spell = fn.SCALARS[name]
        args = [] if p.now.word == ")" else p.listed(lambda: p.expression(scope))
        if not fewest <= len(args) <= most:
            raise p.error(f"{name} takes {fewest}{f' to {most}' if most != fewest else ''} arguments, not {len(args)}")
        sql = spell(*args)
    else:
        known = sorted({*fn.SCALARS, *fn.AGGREGATES, "CAST", "CONTAINS", "DISTANCE"})
        raise QueryError(f"unknown function {name}; known: {', '.join(known)}")
    p.expect(")")
    return sql


def _aggregate(p: Parser, scope: Scope, name: str) -> str:
    if name.startswith("COUNT") and p.take("*"):
        return "count(*)"
    distinct = "DISTINCT " if p.take("ALL", "DISTINCT") == "DISTINCT" else ""
    return f"{fn.AGGREGATES[name]}({distinct}{p.expression(scope)})"


def _type(p: Parser) -> str:
    word = p.next().word
    if word not in fn.CAST_TYPES:
        p.at -= 1
        raise p.error(f"expected a type ({', '.join(fn.CAST_TYPES)})")
    if word == "DOUBLE":
        p.take("PRECISION")
    if p.take("("):
        p.integer("the type")
        p.expect(")")
    return fn.CAST_TYPES[word]


def _frame(p: Parser) -> None:
    if p.now.kind == "string":
        frame = p.next().text
        if frame.lower() not in _FRAMES:
            raise QueryError(f"coordinate system {frame!r}: positions are ICRS here")
        p.expect(",")


def _point(p: Parser, scope: Scope) -> tuple[str, str]:
    p.expect("POINT")
    p.expect("(")
    _frame(p)
    ra = p.expression(scope)
    p.expect(",")
    dec = p.expression(scope)
    p.expect(")")
    return ra, dec


def _contains(p: Parser, scope: Scope) -> str:
    point = _point(p, scope)
    p.expect(",")
    if p.now.word != "CIRCLE":
        raise p.error("the second shape must be a CIRCLE")
    p.expect("CIRCLE")
    p.expect("(")
    _frame(p)
    if p.now.word == "POINT":
        centre = _point(p, scope)
    else:
        ra = p.expression(scope)
        p.expect(",")
        centre = (ra, p.expression(scope))
    p.expect(",")
    radius = p.expression(scope)
    p.expect(")")
    return f"CAST({fn.distance(point, centre)} <= {radius} AS INTEGER)"


def _distance(p: Parser, scope: Scope) -> str:
    if p.now.word == "POINT":
        first = _point(p, scope)
        p.expect(",")
        return fn.distance(first, _point(p, scope))
    values = p.listed(lambda: p.expression(scope))
    if len(values) != 4:
        raise p.error("DISTANCE takes two POINTs or four numbers")
    return fn.distance((values[0], values[1]), (values[2], values[3]))
