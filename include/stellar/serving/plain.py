"""Values of the ledger and of Parquet as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

#: Integers beyond it lose digits in JavaScript; ids of Gaia do. They go as text.
SAFE_INTEGER = 2**53 - 1
#: Longer lists (spectra, light curves) are told by their length and first values.
SHOWN_OF_LIST = 6


def plain(value: Any) -> Any:
    """A value as JSON can hold it: times in ISO 8601, NaN and infinities null, sequences as lists, the rest as text.

    Parameters
    ----------
    value : object
        Of the ledger or of a Parquet file.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return record(value)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return str(value)


def record(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the ledger, each value as `plain` says."""
    return {str(key): plain(value) for key, value in row.items()}


def cell_value(value: Any) -> Any:
    """A value of a table as a page shows it.

    Returns
    -------
    object
        As `plain`; integers that JavaScript cannot hold as text, long lists cut short, bytes told by their length.
    """
    match value:
        case bool():
            return value
        case int():
            return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else str(value)
        case bytes():
            return f"{len(value)} bytes"
        case dict():
            return str(value)
        case list():
            first = ", ".join(str(cell_value(one)) for one in value[:SHOWN_OF_LIST])
            return f"[{first}]" if len(value) <= SHOWN_OF_LIST else f"[{first}, … {len(value)} in all]"
    return plain(value)
