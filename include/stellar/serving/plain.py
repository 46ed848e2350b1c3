"""Rows of the ledger as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any


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
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return str(value)
