"""MK spectral types as numbers: ten subtypes a letter, O0 at 0, B0 at 10, … M9 at 69."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

LETTERS = "OBAFGKM"
# Dwarfs go from K5 to K7 to M0: K6, K8 and K9 are not types of their own (Keenan & McNeil 1989, ApJS 71, 245;
# Kirkpatrick, Henry & McCarthy 1991, ApJS 77, 417). Numbers in between stay, since types are averaged.
UNUSED = (56, 58, 59)
USED = np.array([k for k in range(10 * len(LETTERS)) if k not in UNUSED])
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
    """Letter and digit of the nearest type in use, halves upward: 41.5 is `G2`, 58.6 `M0`; beyond the ends the end."""
    middles = (USED[1:] + USED[:-1]) / 2
    nearest = int(USED[np.searchsorted(middles, number, side="right")])
    return f"{LETTERS[nearest // 10]}{nearest % 10}"
