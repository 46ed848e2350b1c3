"""What dust takes of a star's light in each band, by its E(B-V) on the scale of Schlegel, Finkbeiner & Davis (1998)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stellar.photometry.bands import band, load_bands

Floats = npt.NDArray[np.float64]
#: Relative error of E(B-V) of the map of Schlegel, Finkbeiner & Davis (1998), ApJ 500, 525, abstract: 16 per cent.
EBV_RELATIVE_ERROR = 0.16
BP, RP = "GAIA/GAIA3.Gbp", "GAIA/GAIA3.Grp"
# A change of colour changes the reddening by 0.2 E(B-V) of it, so that up to E(B-V) = 2 these iterations are enough.
_ITERATIONS = 20
_SETTLED_MAG, _CONVERGED_MAG = 1e-6, 1e-3


def gaia_coefficient(name: str, colour: npt.ArrayLike, a0: npt.ArrayLike) -> Floats:
    """A / A0 of a Gaia band, float64[n]: the polynomial of `gaia_law` in `config/bands.yaml`.

    Parameters
    ----------
    colour : float64[n]
        Intrinsic BP - RP in mag, taken to the ends of the range that the law was made for.
    a0 : float64[n]
        Extinction at 550 nm in mag, likewise.
    """
    law = load_bands().gaia_law
    x = np.clip(np.asarray(colour, float), *law.colour_range)
    a = np.clip(np.asarray(a0, float), *law.a0_range)
    one = np.ones(np.broadcast(x, a).shape)
    terms = (one, x, x**2, x**3, a, a**2, a**3, x * a, x**2 * a, x * a**2)
    return np.asarray(sum(c * term for c, term in zip(law.coefficients[name], terms, strict=True)))


def per_ebv(name: str, colour: npt.ArrayLike, ebv: npt.ArrayLike) -> Floats:
    """A / E(B-V) in a band, float64[n].

    Parameters
    ----------
    colour : float64[n]
        Intrinsic Gaia BP - RP in mag, NaN where unknown: Gaia's bands are so broad that their extinction depends on it,
        and is then unknown. Other bands do without.
    ebv : float64[n]
        E(B-V) in mag.
    """
    fixed = band(name).extinction_per_ebv
    if fixed is not None:
        return np.full(np.shape(np.asarray(ebv, float)), fixed)
    a0 = load_bands().gaia_law.a0_per_ebv
    return a0 * gaia_coefficient(name, colour, a0 * np.asarray(ebv, float))


def intrinsic_colour(bp_rp: npt.ArrayLike, ebv: npt.ArrayLike) -> Floats:
    """BP - RP without reddening, float64[n]: the colour whose own reddening makes it the observed one.

    NaN where there is no such colour: behind so much dust (E(B-V) above about 3) that the law gives no single answer.
    """
    observed, reddening = np.asarray(bp_rp, float), np.asarray(ebv, float)
    colour, before = observed - reddening, observed
    for _ in range(_ITERATIONS):
        before = colour
        colour = observed - reddening * (per_ebv(BP, colour, reddening) - per_ebv(RP, colour, reddening))
        if not (np.abs(colour - before) > _SETTLED_MAG).any():
            break
    return np.where(np.abs(colour - before) < _CONVERGED_MAG, colour, np.nan)


def dereddened(
    value: npt.ArrayLike, error: npt.ArrayLike, factor: npt.ArrayLike, ebv: npt.ArrayLike, ebv_err: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """A magnitude or colour less its extinction or reddening, and its error, float64[n] each.

    Parameters
    ----------
    value, error : float64[n]
    factor : float64[n]
        A / E(B-V) of a magnitude (`per_ebv`); of a colour the difference of its bands'.
    ebv, ebv_err : float64[n]
        The error counts fully; that of the factor is not known and left out.
    """
    k, e, s = (np.asarray(one, float) for one in (factor, ebv, ebv_err))
    return np.asarray(value, float) - k * e, np.hypot(np.asarray(error, float), k * s)
