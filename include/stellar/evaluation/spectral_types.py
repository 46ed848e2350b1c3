"""Spectral types as numbers on the MK sequence: ten subtypes to a letter, O0 is 0 and M9 is 69."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

LETTERS = "OBAFGKM"
_TYPE = re.compile(rf"\s*(?:sd|[dg])?([{LETTERS}])(\d(?:\.\d+)?)")


def mk_number(names: Sequence[str | None] | np.ndarray) -> np.ndarray:
    """Place of each type on the sequence, float64[n]; NaN for what is no MK type with a subtype.

    A luminosity class behind it and a `d`, `g` or `sd` (dwarf, giant, subdwarf) before it say nothing of the place:
    `A5V`, `gM3` and `K2.5III` are 25, 63 and 52.5.
    """
    found = [_TYPE.match(name) if isinstance(name, str) else None for name in names]
    return np.array([10 * LETTERS.index(one[1]) + float(one[2]) if one else np.nan for one in found], dtype=np.float64)


def mk_name(numbers: np.ndarray) -> np.ndarray:
    """Letter and digit of the nearest whole subtype, object[n]; None for NaN."""
    last = 10 * len(LETTERS) - 1
    places = [None if not np.isfinite(one) else int(np.clip(np.floor(one + 0.5), 0, last)) for one in numbers]
    return np.array([None if one is None else f"{LETTERS[one // 10]}{one % 10}" for one in places], dtype=object)


def subtype_errors(difference: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """`subtype_mae`, `subtype_within_2` (share) and `letter_accuracy` (share).

    Parameters
    ----------
    difference, truth : float64[n]
        Predicted minus true place on the sequence, and the true place.
    """
    said = np.floor((truth + difference + 0.5) / 10)
    return {
        "subtype_mae": float(np.abs(difference).mean()),
        "subtype_within_2": float((np.abs(difference) <= 2).mean()),
        "letter_accuracy": float((said == np.floor(truth / 10)).mean()),
    }
