"""What the kernels of this room share."""

from __future__ import annotations

import math

import numpy as np

from stellar.kernels import kernel

ROUNDING = 1e-13  # of the largest value: less scatter than that is none
_SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(10))
_COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(11))


@kernel
def waves(cycles: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> None:
    """Cosine and sine of 2 pi x for each x, exact to 1e-14; no branches, so that the loop is vector code.

    Taylor series within a quarter turn either side of zero, then the double angle.
    """
    for i in range(len(cycles)):
        x = (cycles[i] - np.rint(cycles[i])) * np.pi
        q = x * x
        s, c = _SINE[9], _COSINE[10]
        s = _SINE[8] + q * s
        s = _SINE[7] + q * s
        s = _SINE[6] + q * s
        s = _SINE[5] + q * s
        s = _SINE[4] + q * s
        s = _SINE[3] + q * s
        s = _SINE[2] + q * s
        s = _SINE[1] + q * s
        s = x + x * q * s
        c = _COSINE[9] + q * c
        c = _COSINE[8] + q * c
        c = _COSINE[7] + q * c
        c = _COSINE[6] + q * c
        c = _COSINE[5] + q * c
        c = _COSINE[4] + q * c
        c = _COSINE[3] + q * c
        c = _COSINE[2] + q * c
        c = _COSINE[1] + q * c
        c = 1.0 + q * c
        sine[i] = 2 * s * c
        cosine[i] = 1 - 2 * s * s
