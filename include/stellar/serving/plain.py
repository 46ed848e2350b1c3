"""Values of the ledger and of Parquet as JSON can hold them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

#: Integers beyond it lose digits in JavaScript; ids of Gaia do. They go as text.
SAFE_INTEGER = 2**53 - 1
#: Longer lists (spectra, light curves) are told by their length and first values.
SHOWN_OF_LIST = 6


def record(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the ledger; times as ISO 8601."""
    return {key: value.isoformat() if isinstance(value, dt.date) else value for key, value in row.items()}


def cell_value(value: Any) -> Any:
    """A value of a table as a page shows it.

    Returns
    -------
    object
        Integers that JavaScript cannot hold as text, numbers that are none as null, long lists cut short, bytes told
        by their length.
    """
    match value:
        case bool() | None | str():
            return value
        case int():
            return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else str(value)
        case float():
            return value if math.isfinite(value) else None
        case dt.date():
            return value.isoformat()
        case bytes():
            return f"{len(value)} bytes"
        case list():
            first = ", ".join(str(cell_value(one)) for one in value[:SHOWN_OF_LIST])
            return f"[{first}]" if len(value) <= SHOWN_OF_LIST else f"[{first}, … {len(value)} in all]"
    return str(value)
