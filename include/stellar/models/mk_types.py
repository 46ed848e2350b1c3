"""MK spectral types as numbers: ten subtypes a letter, O0 at 0, B0 at 10, … M9 at 69."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

LETTERS = "OBAFGKM"
# LAMOST writes dM0 and gM3 for dwarfs and giants, the SDSS templates sdF3 and sd:F0 for subdwarfs.
_TYPE = re.compile(rf"\s*(?:sd:?|d|g)?([{LETTERS}])(\d(?:\.\d)?)")


def subtype_number(name: str | None) -> float:
    """Number of a type: `G2V` is 42, `B9.5III` 19.5, `dM0` 60; NaN for what is no MK type with a digit.

    Of a range (`F3/F5V`) it is the first.
    """
    found = _TYPE.match(name or "")
    return 10.0 * LETTERS.index(found[1]) + float(found[2]) if found else float("nan")


def subtype_numbers(names: Iterable[str | None]) -> np.ndarray:
    """`subtype_number` of each, float64[n]."""
    return np.array([subtype_number(name) for name in names], dtype=np.float64)


def subtype_name(number: float) -> str:
    """Letter and digit of the nearest type, halves upward: 41.5 is `G2`; below O0 is `O0`, above M9 is `M9`."""
    nearest = int(np.clip(np.floor(number + 0.5), 0, 10 * len(LETTERS) - 1))
    return f"{LETTERS[nearest // 10]}{nearest % 10}"
