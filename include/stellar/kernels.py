"""How kernels are compiled: by numba, once for a processor, without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

# Sums may be taken in any order and fused, so that loops become vector code; NaN and infinity keep their meaning.
_FREEDOMS = {"contract", "reassoc", "nsz", "arcp"}


def kernel(function: Callable[..., Any]) -> Any:
    """Have a function compiled at its first call; kept on disk where there is a place for it."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": _FREEDOMS}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the sources' folder nor the user's cache can be written
        return numba.njit(**options)(function)
