"""ADQL's functions as DuckDB's, and what is offered beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stellar.errors import InputError

#: ADQL 2.1, 2.3: numeric and trigonometric functions. `{0}` is the first argument.
MATHS: dict[str, str] = {
    "ABS": "abs({0})",
    "CEILING": "ceil({0})",
    "DEGREES": "degrees({0})",
    "EXP": "exp({0})",
    "FLOOR": "floor({0})",
    "LOG": "ln({0})",
    "LOG10": "log10({0})",
    "MOD": "(({0}) % ({1}))",
    "PI": "pi()",
    "POWER": "pow({0}, {1})",
    "RADIANS": "radians({0})",
    "RAND": "random()",
    "ROUND": "round({0})",
    "SQRT": "sqrt({0})",
    "TRUNCATE": "trunc({0})",
    "ACOS": "acos({0})",
    "ASIN": "asin({0})",
    "ATAN": "atan({0})",
    "ATAN2": "atan2({0}, {1})",
    "COS": "cos({0})",
    "COT": "cot({0})",
    "SIN": "sin({0})",
    "TAN": "tan({0})",
}
#: With the number of decimals as second argument.
_PLACES = {
    "ROUND": "(round(({0}) * pow(10, {1})) / pow(10, {1}))",
    "TRUNCATE": "(trunc(({0}) * pow(10, {1})) / pow(10, {1}))",
}
#: CAST of ADQL 2.1, 4.5.1, and the lengths of text that it may have.
_TYPES = {
    "SMALLINT": "SMALLINT",
    "INTEGER": "INTEGER",
    "BIGINT": "BIGINT",
    "REAL": "REAL",
    "DOUBLE PRECISION": "DOUBLE",
    "DOUBLE": "DOUBLE",
    "CHAR": "VARCHAR",
    "VARCHAR": "VARCHAR",
    "TIMESTAMP": "TIMESTAMP",
}
#: CAST to BIGINT. A float is cut off as such; anything else by way of 38 digits, which hold every BIGINT exactly. The
#: list holds the value once, however deep casts are nested in one another.
_BIGINT = (
    "list_transform([{0}], lambda v: CASE WHEN typeof(v) IN ('DOUBLE', 'FLOAT')"
    " THEN CAST(trunc(CAST(v AS DOUBLE)) AS BIGINT)"
    " ELSE CAST(trunc(CAST(v AS DECIMAL(38, 18))) AS BIGINT) END)[1]"
)


def maths(name: str, arguments: Sequence[str]) -> str:
    """A call of one of `MATHS`, whose number of arguments the grammar has checked."""
    if name in _PLACES and len(arguments) == 2:
        return _PLACES[name].format(*arguments)
    return MATHS[name].format(*arguments)


def cast(value: str, type_: str) -> str:
    """`CAST(value AS type)`; a number becomes whole by cutting off, as ADQL has it.

    Raises
    ------
    InputError
        When the type is none of ADQL's.
    """
    name, _, length = type_.upper().replace(")", "").partition("(")
    name, length = " ".join(name.split()), length.strip()
    if name not in _TYPES or (length and (name not in ("CHAR", "VARCHAR") or not length.isdigit())):
        raise InputError(f"CAST to {type_}: no such type; use {', '.join(_TYPES)}")
    if name == "BIGINT":
        return _BIGINT.format(value)
    if name in ("SMALLINT", "INTEGER"):
        return f"CAST(trunc(CAST({value} AS DOUBLE)) AS {_TYPES[name]})"
    made = f"CAST({value} AS {_TYPES[name]})"
    if name == "TIMESTAMP":
        return made
    return f"left({made}, {int(length)})" if length else made


def _exactly(count: int, text: str) -> Callable[[str, Sequence[str]], str]:
    def write(name: str, arguments: Sequence[str]) -> str:
        if len(arguments) != count:
            raise InputError(f"{name} takes {count} argument{'s' if count > 1 else ''}, not {len(arguments)}")
        return text.format(*arguments)

    return write


def _coalesce(name: str, arguments: Sequence[str]) -> str:
    if not arguments:
        raise InputError(f"{name} takes at least one argument")
    return f"coalesce({', '.join(arguments)})"


#: What the grammar sees as functions of a user.
CALLS: dict[str, Callable[[str, Sequence[str]], str]] = {
    "LOWER": _exactly(1, "lower({0})"),
    "UPPER": _exactly(1, "upper({0})"),
    "COALESCE": _coalesce,
    "NULLIF": _exactly(2, "nullif({0}, {1})"),
}
#: Written by the translator itself, since they ask for geometries, types or units.
SPECIAL = ("CAST", "COORD1", "COORD2", "CENTROID", "COORDSYS", "IN_UNIT")


def call(name: str, arguments: Sequence[str]) -> str:
    """A call of one of `CALLS`.

    Raises
    ------
    InputError
        When there is no such function, or it takes another number of arguments.
    """
    if name not in CALLS:
        offered = ", ".join(sorted({*CALLS, *SPECIAL}))
        raise InputError(f"no function {name} here; beside ADQL's numeric and geometric ones there are {offered}")
    return CALLS[name](name, arguments)
