"""What all plots of the pages share: figures without a display, pictures with the same bytes for the same numbers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stellar.pages import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that people with any colour vision can tell apart (Okabe & Ito 2008, Color Universal Design).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#000000")
DENSITY = "viridis"
#: Two pixels to a point: a picture of 5 inches is as wide as a phone and sharp on its screen.
DPI = 144
WIDTH, HEIGHT = 5.2, 3.9
PALETTE = 256  # colours of a picture: a third of the bytes, and no difference that one sees


def figure(width: float = WIDTH, height: float = HEIGHT, **axes: Any) -> tuple[Figure, Axes]:
    """A figure with one axes; the object interface with the Agg canvas has no global state, so tasks may share it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    return made, made.add_subplot(**axes)


def small_figure() -> tuple[Figure, Axes]:
    """A figure for one of many, with margins that are given instead of found, which is half of the work."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(2.9, 1.9), dpi=DPI)
    FigureCanvasAgg(made)
    axes = made.add_axes((0.04, 0.27, 0.92, 0.69))
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    return made, axes


def picture(drawn: Figure, title: str, alt: str, caption: str = "") -> Picture:
    """A figure as a PNG of few colours, without any note of program or time."""
    from PIL import Image

    drawn.canvas.draw()
    pixels = np.asarray(drawn.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
    image = Image.fromarray(np.ascontiguousarray(pixels)).quantize(PALETTE, dither=Image.Dither.NONE)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return Picture(title, alt, out.getvalue(), image.width, image.height, caption)


def label(text: object, longest: int = 28) -> str:
    """A name from data as a plot can show it: one line, not too long, and never read as a formula."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    line = line if len(line) <= longest else f"{line[: longest - 1]}…"
    return line.replace("$", r"\$")


def span(*values: np.ndarray, tails: float = 0.002) -> tuple[float, float]:
    """Ends of a plot's axis: the values without their outermost `tails`, and a little air."""
    known = np.concatenate([one[np.isfinite(one)] for one in values])
    if not len(known):
        return 0.0, 1.0
    low, high = (float(end) for end in np.quantile(known, [tails, 1 - tails]))
    air = 0.03 * (high - low) or max(abs(low) * 0.05, 0.5)
    return low - air, high + air


def runs(x: np.ndarray, most: int = 20, fewest: int = 20) -> list[np.ndarray]:
    """Row indices of runs of (nearly) equal size along `x`, rows without a finite value left out."""
    order = np.argsort(x, kind="stable")
    order = order[np.isfinite(x[order])]
    return [part for part in np.array_split(order, max(1, min(most, len(order) // fewest))) if len(part)]


def bins_of(x: np.ndarray, edges: Sequence[float] | None = None, most: int = 8, fewest: int = 30) -> list[np.ndarray]:
    """Row indices of ranges of `x`: between inner `edges`, or runs of equal size; empty ones left out."""
    if edges is None:
        return runs(x, most, fewest)
    place = np.searchsorted(np.asarray(edges), x, side="right")
    known = np.isfinite(x)
    found = [np.flatnonzero(known & (place == number)) for number in range(len(edges) + 1)]
    return [rows for rows in found if len(rows)]


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share that has 95% confidence (Wilson 1927, J. Am. Stat. Assoc. 22, 209)."""
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * float(np.sqrt(share * (1 - share) / n + spread / (4 * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def thinned(n: int, most: int, seed: int = 0) -> np.ndarray:
    """At most so many of `n` rows, the same each time, in their order."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
