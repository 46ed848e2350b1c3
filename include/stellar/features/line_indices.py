"""Equivalent widths and band ratios of stellar lines on the grid, with errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stellar.features.rebin import Grid


@dataclass(frozen=True)
class Line:
    """A line window between two stretches of pseudo-continuum, in vacuum Angstrom.

    `source` names where the windows come from; windows published for air were moved to vacuum (Ciddor 1996, as SDSS
    does it).
    """

    name: str
    blue: tuple[float, float]
    line: tuple[float, float]
    red: tuple[float, float]
    source: str


LINES = (
    Line("ca_k", (3904.1, 3924.1), (3922.8, 3946.8), (4001.1, 4021.1), "Beers et al. 1999 (K24)"),
    Line("h_delta", (4042.8, 4082.7), (4084.7, 4123.4), (4129.7, 4162.2), "Worthey & Ottaviani 1997 (HdA)"),
    Line("cn_4160", (4085.0, 4097.5), (4143.3, 4178.3), (4245.3, 4285.3), "Worthey et al. 1994 (CN2), as a width"),
    Line("ca_4227", (4212.2, 4220.9), (4223.4, 4235.9), (4242.2, 4252.2), "Worthey et al. 1994 (Ca4227)"),
    Line("g_band", (4267.6, 4283.8), (4282.6, 4317.6), (4318.8, 4336.3), "Worthey et al. 1994 (G4300)"),
    Line("h_gamma", (4284.7, 4321.0), (4321.0, 4364.7), (4368.5, 4421.0), "Worthey & Ottaviani 1997 (HgA)"),
    Line("fe_4383", (4360.4, 4371.6), (4370.4, 4421.6), (4444.1, 4456.6), "Worthey et al. 1994 (Fe4383)"),
    Line("he_i_4471", (4445.0, 4460.0), (4463.0, 4482.0), (4490.0, 4505.0), "own windows around 4472.7"),
    Line("he_ii_4686", (4640.0, 4665.0), (4676.0, 4699.0), (4705.0, 4730.0), "own windows around 4687.0"),
    Line("h_beta", (4829.2, 4849.2), (4849.2, 4878.0), (4878.0, 4893.0), "Worthey et al. 1994 (Hbeta)"),
    Line("mg_b", (5119.1, 5144.1), (5161.6, 5194.1), (5192.8, 5207.8), "Worthey et al. 1994 (Mg b)"),
    Line("fe_5270", (5234.6, 5249.6), (5247.1, 5287.1), (5287.1, 5319.6), "Worthey et al. 1994 (Fe5270)"),
    Line("fe_5335", (5306.1, 5318.7), (5313.6, 5353.6), (5354.9, 5364.9), "Worthey et al. 1994 (Fe5335)"),
    Line("na_d", (5862.2, 5877.3), (5878.5, 5911.0), (5923.7, 5949.7), "Worthey et al. 1994 (Na D)"),
    Line("h_alpha", (6495.0, 6540.0), (6544.0, 6585.0), (6590.0, 6640.0), "own windows around 6564.6"),
    Line("na_8190", (8153.0, 8177.0), (8180.0, 8202.0), (8203.0, 8230.0), "own windows around 8185.5 and 8197.1"),
    Line("ca_8498", (8476.3, 8486.3), (8486.3, 8515.3), (8565.4, 8579.4), "Cenarro et al. 2001 (Ca1)"),
    Line("ca_8544", (8476.3, 8486.3), (8524.3, 8564.3), (8565.4, 8579.4), "Cenarro et al. 2001 (Ca2)"),
    Line("ca_8664", (8621.4, 8644.4), (8644.4, 8684.4), (8702.4, 8727.4), "Cenarro et al. 2001 (Ca3)"),
)


@dataclass(frozen=True)
class Ratio:
    """Mean flux in one band over that in another, in vacuum Angstrom."""

    name: str
    band: tuple[float, float]
    reference: tuple[float, float]
    source: str


RATIOS = (
    Ratio("tio5", (7127.9, 7136.9), (7043.9, 7047.9), "Reid et al. 1995 (TiO5), moved to vacuum"),
    Ratio("cah2", (6815.9, 6847.9), (7043.9, 7047.9), "Reid et al. 1995 (CaH2), moved to vacuum"),
    Ratio("cah3", (6961.9, 6991.9), (7043.9, 7047.9), "Reid et al. 1995 (CaH3), moved to vacuum"),
    Ratio("tio1", (6719.9, 6724.9), (6704.9, 6709.9), "Reid et al. 1995 (TiO1), moved to vacuum"),
    Ratio("tio4", (7132.0, 7137.0), (7117.0, 7122.0), "Reid et al. 1995 (TiO4), moved to vacuum"),
    Ratio("tio_8440", (8442.3, 8472.3), (8402.3, 8422.3), "Covey et al. 2007 (TiO8440)"),
    Ratio("vo_7912", (7902.2, 7982.2), (8102.2, 8152.2), "Covey et al. 2007 (VO7912)"),
    Ratio("c2_5165", (5100.0, 5166.0), (5170.0, 5230.0), "own windows at the Swan band head 5165"),
    Ratio("cn_7900", (7900.0, 7990.0), (7780.0, 7850.0), "own windows at the CN band head 7870"),
    Ratio("continuum_blue", (4000.0, 4300.0), (5500.0, 5800.0), "pseudo-colour of the flux-calibrated spectrum"),
    Ratio("continuum_red", (8000.0, 8500.0), (5500.0, 5800.0), "pseudo-colour of the flux-calibrated spectrum"),
)


def window_weights(grid: Grid, low: float, high: float) -> np.ndarray:
    """Angstrom of each bin that lie in the window, float[size]."""
    edges = grid.edges_angstrom
    return np.maximum(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0.0)


def _means(
    flux: np.ndarray, ivar: np.ndarray, weights: np.ndarray, min_coverage: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean flux in a window and its variance; NaN where too little of the window is good."""
    good = ivar > 0
    inside = np.where(good, weights, 0.0)
    total = inside.sum(axis=1)
    enough = total >= min_coverage * weights.sum()
    safe = np.where(enough & (total > 0), total, 1.0)
    mean = (inside * np.where(good, flux, 0.0)).sum(axis=1) / safe
    variance = (inside**2 / np.where(good, ivar, 1.0)).sum(axis=1) / safe**2
    lost = ~enough | (total <= 0)
    mean[lost] = variance[lost] = np.nan
    return mean, variance


def equivalent_width(
    flux: np.ndarray, ivar: np.ndarray, grid: Grid, line: Line, min_coverage: float = 0.7
) -> tuple[np.ndarray, np.ndarray]:
    """Equivalent width in Angstrom (absorption positive) and its standard error.

    The local continuum is the straight line between the means of the two side bands. Errors of line and side bands are
    propagated to first order, as if windows that touch shared no bin.

    Parameters
    ----------
    flux, ivar : float64[n, p]
        On `grid`, ivar 0 where masked; any flux unit.
    """
    blue, blue_var = _means(flux, ivar, window_weights(grid, *line.blue), min_coverage)
    red, red_var = _means(flux, ivar, window_weights(grid, *line.red), min_coverage)
    middle, middle_var = _means(flux, ivar, window_weights(grid, *line.line), min_coverage)
    at_blue, at_red, at_line = (float(np.mean(window)) for window in (line.blue, line.red, line.line))
    share = (at_line - at_blue) / (at_red - at_blue)
    continuum = (1 - share) * blue + share * red
    continuum_var = (1 - share) ** 2 * blue_var + share**2 * red_var
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = middle / continuum
        error = np.abs(ratio) * np.sqrt(middle_var / middle**2 + continuum_var / continuum**2)
    width = line.line[1] - line.line[0]
    lost = ~(continuum > 0)
    return np.where(lost, np.nan, width * (1 - ratio)), np.where(lost, np.nan, width * error)


def band_ratio(
    flux: np.ndarray, ivar: np.ndarray, grid: Grid, ratio: Ratio, min_coverage: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of mean fluxes and its standard error; NaN where the reference is not positive."""
    top, top_var = _means(flux, ivar, window_weights(grid, *ratio.band), min_coverage)
    base, base_var = _means(flux, ivar, window_weights(grid, *ratio.reference), min_coverage)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = top / base
        error = np.sqrt(top_var + value**2 * base_var) / np.abs(base)
    lost = ~(base > 0)
    return np.where(lost, np.nan, value), np.where(lost, np.nan, error)


def line_indices(flux: np.ndarray, ivar: np.ndarray, grid: Grid) -> dict[str, np.ndarray]:
    """All of `LINES` (`ew_<name>_angstrom`) and `RATIOS` (`ratio_<name>`), each with its `_err`."""
    found: dict[str, np.ndarray] = {}
    for line in LINES:
        name = f"ew_{line.name}_angstrom"
        found[name], found[f"{name}_err"] = equivalent_width(flux, ivar, grid, line)
    for ratio in RATIOS:
        name = f"ratio_{ratio.name}"
        found[name], found[f"{name}_err"] = band_ratio(flux, ivar, grid, ratio)
    return found
