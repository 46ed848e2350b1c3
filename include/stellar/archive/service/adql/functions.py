"""Functions of the language: how many arguments each takes and what it is in DuckDB.

ADQL 2.1 (IVOA, https://www.ivoa.net/documents/ADQL/20231215/) names the mathematical ones and the geometry; Gaia's
archive adds GAIA_HEALPIX_INDEX, SkyServer the T-SQL spellings.
"""

from __future__ import annotations

from collections.abc import Callable

# A Gaia source_id holds the nested HEALPix pixel of level 12 above its lowest 35 bits.
# https://gea.esac.esa.int/archive/documentation/GDR3/Gaia_archive/chap_datamodel/sec_dm_main_source_catalogue/
GAIA_LEVEL, GAIA_FACTOR = 12, 34359738368


def _plain(name: str) -> Callable[..., str]:
    return lambda *args: f"{name}({', '.join(args)})"


def _gaia_healpix(level: str, source_id: str) -> str:
    return f"({source_id} // CAST({GAIA_FACTOR} * power(4, {GAIA_LEVEL} - ({level})) AS BIGINT))"


def _truncate(value: str, places: str = "0") -> str:
    return f"(trunc(({value}) * power(10, {places})) / power(10, {places}))"


_SAME_NAME = (
    *("ABS", "SQRT", "EXP", "LOG10", "SIGN", "FLOOR", "LOWER", "UPPER", "DEGREES", "RADIANS"),
    *("SIN", "COS", "TAN", "ASIN", "ACOS", "ATAN", "COT"),
)

# name: (fewest arguments, most arguments, translation)
SCALARS: dict[str, tuple[int, int, Callable[..., str]]] = {
    **{name: (1, 1, _plain(name.lower())) for name in _SAME_NAME},
    "CEILING": (1, 1, _plain("ceil")),
    "LOG": (1, 1, _plain("ln")),
    "LEN": (1, 1, _plain("length")),
    "ATAN2": (2, 2, _plain("atan2")),
    "POWER": (2, 2, _plain("power")),
    "MOD": (2, 2, lambda a, b: f"(({a}) % ({b}))"),
    "ROUND": (1, 2, _plain("round")),
    "TRUNCATE": (1, 2, _truncate),
    "PI": (0, 0, _plain("pi")),
    "COALESCE": (1, 8, _plain("coalesce")),
    "ISNULL": (2, 2, _plain("coalesce")),
    "GAIA_HEALPIX_INDEX": (2, 2, _gaia_healpix),
}

AGGREGATES: dict[str, str] = {
    "COUNT": "count",
    "COUNT_BIG": "count",
    "MIN": "min",
    "MAX": "max",
    "SUM": "sum",
    "AVG": "avg",
    "STDDEV": "stddev_samp",
    "STDEV": "stddev_samp",
    "VARIANCE": "var_samp",
}

CAST_TYPES: dict[str, str] = {
    "SMALLINT": "SMALLINT",
    "INTEGER": "INTEGER",
    "INT": "INTEGER",
    "BIGINT": "BIGINT",
    "REAL": "REAL",
    "FLOAT": "DOUBLE",
    "DOUBLE": "DOUBLE",
    "CHAR": "VARCHAR",
    "VARCHAR": "VARCHAR",
}


def distance(point: tuple[str, str], other: tuple[str, str]) -> str:
    """Great-circle distance in degrees of two (ra, dec) expressions, by the haversine (good at small separations)."""
    (ra1, dec1), (ra2, dec2) = point, other
    half = (
        f"pow(sin(radians(({dec2}) - ({dec1})) / 2), 2) + cos(radians({dec1})) * cos(radians({dec2}))"
        f" * pow(sin(radians(({ra2}) - ({ra1})) / 2), 2)"
    )
    return f"degrees(2 * asin(least(1.0, sqrt({half}))))"
