"""Pictures of how well a quantity is predicted. Dense ones are two-dimensional histograms, however many the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from stellar.evaluation.pictures import COLOURS, DENSITY, WIDTH, bins_of, figure, label, picture, runs, span, wilson
from stellar.pages import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS = 60  # of a density along each axis
FEW = 2000  # up to so many rows each is a point
NARROWEST = 0.04  # share of the stars that a bar of the PIT histogram is to hold at least


def predicted_against_true(truth: np.ndarray, predicted: np.ndarray, name: str) -> Picture:
    """Predicted against true values with the density of stars."""
    made, axes = figure(WIDTH, 4.4)
    low, high = span(truth, predicted)
    density(axes, truth, predicted, (low, high), (low, high))
    axes.plot([low, high], [low, high], color=COLOURS[1], linewidth=1)
    axes.set(xlabel=f"true {label(name)}", ylabel=f"predicted {label(name)}", xlim=(low, high), ylim=(low, high))
    beyond = float(((truth < low) | (truth > high) | (predicted < low) | (predicted > high)).mean())
    alt = (
        f"Density of {len(truth):,} test examples: predicted {name} against true {name}. The line is where both agree."
    )
    return picture(made, f"Predicted against true {name}", alt, f"{beyond:.1%} of the examples lie beyond the axes.")


def density(
    axes: Axes, x: np.ndarray, y: np.ndarray, x_range: tuple[float, float], y_range: tuple[float, float]
) -> None:
    """Number of rows per cell in shades, or points where the rows are few."""
    from matplotlib.colors import LogNorm

    if len(x) <= FEW:
        axes.scatter(x, y, s=7 if len(x) > 300 else 14, alpha=0.45, linewidths=0, color=COLOURS[0])
        return
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=CELLS, range=[x_range, y_range])
    shown = np.ma.masked_equal(counts.T, 0)
    mesh = axes.pcolormesh(x_edges, y_edges, shown, cmap=DENSITY, norm=LogNorm(1, max(float(counts.max()), 2.0)))
    axes.figure.colorbar(mesh, ax=axes, label="examples per cell", shrink=0.85)


def residuals_along(x: np.ndarray, residual: np.ndarray, name: str, along: str, caption: str = "") -> Picture:
    """Residuals along a column, with their running median and the band from 16 to 84%."""
    known = np.isfinite(x) & np.isfinite(residual)
    x, residual = x[known], residual[known]
    made, axes = figure()
    x_range, y_range = span(x), span(residual, tails=0.005)
    density(axes, x, residual, x_range, y_range)
    band = np.array([[np.median(x[rows]), *np.quantile(residual[rows], [0.16, 0.5, 0.84])] for rows in runs(x)])
    axes.plot(band[:, 0], band[:, 2], color=COLOURS[1], linewidth=2, label="running median")
    axes.plot(band[:, 0], band[:, 1], color=COLOURS[1], linewidth=1.2, linestyle="--", label="16 and 84%")
    axes.plot(band[:, 0], band[:, 3], color=COLOURS[1], linewidth=1.2, linestyle="--")
    axes.axhline(0, color="grey", linewidth=1)
    axes.set(xlabel=label(along), ylabel=f"predicted − true {label(name)}", xlim=x_range, ylim=y_range)
    axes.legend(fontsize=8)
    middle = f"{band[:, 2].min():.4g} to {band[:, 2].max():.4g}"
    alt = (
        f"Residuals of {name} along {along}, {len(x):,} test examples; the running median goes from "
        f"{band[0, 2]:.4g} at the left to {band[-1, 2]:.4g} at the right, within {middle}."
    )
    return picture(made, f"Residuals of {name} by {along}", alt, caption)


def pit_edges(levels: np.ndarray) -> np.ndarray:
    """Borders of the bars of a PIT histogram: some of the levels, so that no quantile has to be guessed between two."""
    edges = [0.0]
    for level in levels:
        if level - edges[-1] >= NARROWEST and 1 - level >= NARROWEST:
            edges.append(float(level))
    return np.array([*edges, 1.0])


def pit_histogram(truth: np.ndarray, levels: np.ndarray, values: np.ndarray, name: str) -> Picture:
    """Share of the truths between quantiles, over the share that is promised, with the band of sampling noise.

    The band holds each bar of a calibrated model in 95 of 100 draws (binomial; Hamill 2001, Mon. Wea. Rev. 129, 550).

    Parameters
    ----------
    truth : float64[n]
    levels : float64[q]
    values : float64[n, q]
    """
    edges = pit_edges(levels)
    inner = [int(np.abs(levels - edge).argmin()) for edge in edges[1:-1]]
    place = (truth[:, None] > values[:, inner]).sum(axis=1)
    counts, promised, n = np.bincount(place, minlength=len(edges) - 1), np.diff(edges), len(truth)
    low, high = (binom.ppf(level, n, promised) / (n * promised) for level in (0.025, 0.975))
    made, axes = figure()
    axes.stairs(high, edges, baseline=low, fill=True, color=COLOURS[1], alpha=0.3, label="95% of calibrated models")
    axes.stairs(counts / (n * promised), edges, fill=True, color=COLOURS[5], alpha=0.25)
    axes.stairs(counts / (n * promised), edges, color=COLOURS[0], linewidth=1.8, label="observed")
    axes.axhline(1, color="grey", linewidth=1)
    top = max(float((counts / (n * promised)).max()), float(high.max()), 1.0)
    axes.set(xlabel="probability integral transform", ylabel="observed / promised", xlim=(0, 1), ylim=(0, 1.2 * top))
    axes.legend(fontsize=8, loc="upper center", ncols=2)
    outside = int(((counts / (n * promised) < low) | (counts / (n * promised) > high)).sum())
    said = f"{outside} of {len(counts)} bars lie outside the band; chance alone puts one in twenty there."
    alt = f"Histogram of where the true {name} lies in its predicted distribution, {n:,} test examples. {said}"
    return picture(made, f"PIT of {name}", alt, f"Flat is calibrated. {said}")


def coverage_of_intervals(nominal: np.ndarray, observed: np.ndarray, n: int, name: str) -> Picture:
    """Share of truths inside central intervals against the share promised, with the noise of `n` examples."""
    made, axes = figure()
    noise = 1.96 * np.sqrt(nominal * (1 - nominal) / n)
    axes.fill_between(nominal, nominal - noise, nominal + noise, color="grey", alpha=0.25, label="95% sampling noise")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot(nominal, observed, marker="o", markersize=4, color=COLOURS[0], label="observed")
    axes.set(xlabel="nominal coverage", ylabel="observed coverage", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize=8)
    gap = float(np.abs(observed - nominal).max())
    alt = f"Observed against nominal coverage of central intervals of {name}; they differ by {gap:.3f} at most."
    return picture(made, f"Coverage of central intervals of {name}", alt)


def shares_by_slice(
    x: np.ndarray,
    hit: np.ndarray,
    along: str,
    what: str,
    *,
    nominal: float | None = None,
    edges: Sequence[float] | None = None,
) -> Picture | None:
    """Share of rows with `hit` in ranges of a column, with 95% intervals and the nominal line; None without values.

    Parameters
    ----------
    x : float64[n]
        NaN where not known.
    hit : bool[n]
    what : str
        Of which the share is: `coverage`, `accuracy`.
    edges : sequence of float, optional
        Inner borders; runs of equal size where not given.
    """
    parts = bins_of(x, edges)
    if not parts:
        return None
    ends = np.array([wilson(int(hit[rows].sum()), len(rows)) for rows in parts])
    share = np.array([float(hit[rows].mean()) for rows in parts])
    middle = [float(np.median(x[rows])) for rows in parts]
    made, axes = figure(WIDTH, 3.6)
    error = np.maximum(np.abs(ends - share[:, None]).T, 0)
    axes.errorbar(middle, share, yerr=error, marker="o", capsize=3, color=COLOURS[0], linewidth=1, label="observed")
    if nominal is not None:
        axes.axhline(nominal, color=COLOURS[1], linewidth=1.2, linestyle="--", label=f"nominal {nominal:g}")
        axes.legend(fontsize=8)
    low = min(float(ends[:, 0].min()), nominal if nominal is not None else 1.0)
    axes.set(xlabel=label(along), ylabel=label(what), ylim=(max(0.0, low - 0.05), 1.02))
    lowest = int(share.argmin())
    alt = (
        f"{what} in {len(parts)} ranges of {along}: from {share.min():.3f} (near {middle[lowest]:.4g}) to "
        f"{share.max():.3f}" + (f"; promised is {nominal:g}." if nominal is not None else ".")
    )
    return picture(made, f"{what[:1].upper()}{what[1:]} by {along}", alt)


def beside_baselines(figures: Mapping[str, tuple[float, float, float]], metric: str) -> Picture:
    """One figure of the model and its baselines, each with its interval; the model comes first."""
    made, axes = figure(WIDTH, 0.45 * len(figures) + 1.2)
    names = list(figures)
    values = np.array([figures[name] for name in names], dtype=np.float64)
    error = np.maximum(np.nan_to_num(np.abs(values[:, 1:] - values[:, :1])).T, 0)
    place = np.arange(len(names))[::-1]
    colours = [COLOURS[1]] + [COLOURS[0]] * (len(names) - 1)
    for k, colour in enumerate(colours):
        axes.errorbar(values[k, 0], place[k], xerr=error[:, k : k + 1], marker="o", capsize=3, color=colour)
    axes.set_yticks(place, [label(name, 34) for name in names])
    axes.set(xlabel=label(metric), ylim=(-0.6, len(names) - 0.4))
    axes.grid(axis="x", alpha=0.3)
    said = "; ".join(f"{name} {value[0]:.4g}" for name, value in figures.items())
    return picture(made, f"{metric} beside the baselines", f"{metric}: {said}.")
