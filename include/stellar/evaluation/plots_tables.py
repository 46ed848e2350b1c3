"""Pictures of a table's columns and of where its rows lie on the sky."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stellar.evaluation.pictures import COLOURS, DENSITY, WIDTH, figure, label, picture, small_figure
from stellar.pages import Picture

if TYPE_CHECKING:
    from matplotlib.colorbar import Colorbar


def histogram(counts: np.ndarray, edges: np.ndarray, name: str, unit: str, caption: str) -> Picture:
    """Rows per range of a column.

    Parameters
    ----------
    counts : int[k]
    edges : float64[k + 1]
    """
    made, axes = small_figure()
    axes.stairs(counts / max(int(counts.sum()), 1), edges, fill=True, color=COLOURS[5])
    axes.set_xlabel(label(unit or name, 36), fontsize=8)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.get_offset_text().set_fontsize(7)
    top = int(np.argmax(counts))
    alt = f"Histogram of {name} from {edges[0]:.5g} to {edges[-1]:.5g}, highest near {edges[top : top + 2].mean():.5g}."
    return picture(made, name, alt, caption)


def sky_map(density: np.ndarray, rows: int) -> Picture:
    """Rows per square degree over the whole sky in Mollweide's projection, east to the left.

    Parameters
    ----------
    density : float64[h, w]
        Of equal steps of declination (south first) and of right ascension from 180 degrees over 0 to 180 (falling).
    """
    from matplotlib.colors import LogNorm
    from matplotlib.patheffects import withStroke

    made, axes = figure(5.6, 3.6, projection="mollweide")
    height, width = density.shape
    longitude, latitude = np.linspace(-np.pi, np.pi, width + 1), np.linspace(-np.pi / 2, np.pi / 2, height + 1)
    shown = np.ma.masked_less_equal(density, 0)
    low, high = _ends(density)
    mesh = axes.pcolormesh(longitude, latitude, shown, cmap=DENSITY, norm=LogNorm(low, high), rasterized=True)
    bar = made.colorbar(mesh, ax=axes, label="rows per square degree", orientation="horizontal", shrink=0.7, aspect=30)
    _plain_ticks(bar, low, high)
    outline = [withStroke(linewidth=2.5, foreground="white")]  # labels stand on the map
    hours = axes.set_xticks(np.radians([-120, -60, 0, 60, 120]), ["120°", "60°", "0°", "300°", "240°"], fontsize=8)
    for one in hours:
        one.label1.set_path_effects(outline)
    axes.set_yticks(np.radians([-60, -30, 0, 30, 60]), ["−60°", "−30°", "0°", "30°", "60°"], fontsize=8)
    axes.grid(alpha=0.3)
    share = float((np.cos((latitude[1:] + latitude[:-1]) / 2) * (density > 0).mean(axis=1)).sum())
    share /= float(np.cos((latitude[1:] + latitude[:-1]) / 2).sum())
    alt = f"Sky map of {rows:,} rows; they cover {share:.1%} of the sky."
    return picture(made, "On the sky", alt, "Equatorial coordinates in Mollweide's projection, east to the left.")


def sky_zoom(density: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> Picture:
    """Rows per square degree in a part of the sky, east to the left.

    Parameters
    ----------
    density : float64[h, w]
    ra : float64[w + 1]
        Borders in degrees, rising, also beyond 360 or below 0.
    dec : float64[h + 1]
    """
    from matplotlib.colors import LogNorm

    # cells of one scale along both axes, as far as the page has room for
    across = (ra[-1] - ra[0]) * max(float(np.cos(np.radians((dec[0] + dec[-1]) / 2))), 0.1)
    made, axes = figure(WIDTH, float(np.clip(3.6 * (dec[-1] - dec[0]) / across, 1.6, 5.5)) + 0.7)
    low, high = _ends(density)
    shown = np.ma.masked_less_equal(density, 0)
    mesh = axes.pcolormesh(ra, dec, shown, cmap=DENSITY, norm=LogNorm(low, high))
    _plain_ticks(made.colorbar(mesh, ax=axes, label="rows per square degree", shrink=0.85), low, high)
    axes.set(xlabel="right ascension [deg]", ylabel="declination [deg]", xlim=(ra[-1], ra[0]), ylim=(dec[0], dec[-1]))
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value % 360:g}")
    alt = f"Sky map from {dec[0]:.4g} to {dec[-1]:.4g} degrees of declination around {(ra[0] + ra[-1]) / 2 % 360:.4g}."
    return picture(made, "On the sky, nearer", alt)


def _plain_ticks(bar: Colorbar, low: float, high: float) -> None:
    """Up to five round numbers along a logarithmic bar."""
    wanted = np.geomspace(low, high, 5)
    ticks = sorted({one for one in (float(f"{one:.1g}") for one in wanted) if low <= one <= high}) or [low]
    bar.minorticks_off()
    bar.set_ticks(ticks, labels=[f"{one:,.10g}" for one in ticks])
    bar.ax.tick_params(labelsize=8)


def _ends(density: np.ndarray) -> tuple[float, float]:
    filled = density[density > 0]
    if not len(filled):
        return 0.1, 1.0
    low, high = float(filled.min()), float(filled.max())
    return low, max(high, low * 1.01)


def shares(matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str, along: str) -> Picture:
    """Shares of rows that have a value, as shades and per cent.

    Parameters
    ----------
    matrix : float64[r, c]
        NaN where there are no rows.
    """
    made, axes = figure(max(WIDTH, 0.42 * len(columns) + 2.0), 0.3 * len(rows) + 1.5)
    image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    names = [label(one, 14) for one in columns]
    upright = max((len(name) for name in names), default=0) > 3 and len(names) > 6
    axes.set_xticks(np.arange(len(names)), names, rotation=90 if upright else 0, fontsize=8)
    axes.set_yticks(np.arange(len(rows)), [label(one, 22) for one in rows], fontsize=8)
    axes.set_xlabel(label(along), fontsize=9)
    if len(columns) <= 16:
        for (row, column), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                colour = "white" if value > 0.6 else "black"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    made.colorbar(image, ax=axes, label="share of the rows", shrink=0.9)
    known = matrix[np.isfinite(matrix)]
    said = f"; from {known.min():.1%} to {known.max():.1%}" if len(known) else ""
    alt = f"{title}: share of rows with a value of {len(rows)} columns along {along}{said}."
    return picture(made, title, alt, "Numbers are per cent of the rows.")
