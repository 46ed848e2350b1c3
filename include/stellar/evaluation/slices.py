"""The same metrics by slices of the sky and of the data: magnitude, S/N, galactic latitude, class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from stellar.errors import InputError

# Edges that suit the surveys; a model's config may give its own.
DEFAULT_EDGES: dict[str, tuple[float, ...]] = {
    "magnitude": (0, 12, 14, 16, 18, 30),
    "snr": (0, 5, 10, 20, 50, 1e6),
    "abs_galactic_lat_deg": (0, 15, 30, 60, 90.001),
}


def slice_rows(values: np.ndarray, edges: Sequence[float]) -> list[tuple[str, np.ndarray]]:
    """Label and row indices per half-open bin [low, high), then "missing" for rows without a finite value.

    Rows outside the edges go to "outside", so the slices always add up to all rows. Empty slices are left out.
    """
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise InputError(f"slice edges {list(edges)} must increase, and be at least two")
    v = np.asarray(values, dtype=np.float64)
    bins = np.digitize(v, edges) - 1
    bins[(bins < 0) | (bins >= len(edges) - 1)] = len(edges) - 1
    bins[~np.isfinite(v)] = len(edges)
    labels = [f"[{low:g}, {high:g})" for low, high in pairwise(edges)] + ["outside", "missing"]
    found = ((label, np.flatnonzero(bins == number)) for number, label in enumerate(labels))
    return [(label, rows) for label, rows in found if len(rows)]


def slice_metrics(
    metric: Callable[[np.ndarray], Mapping[str, Any]],
    columns: Mapping[str, np.ndarray],
    edges: Mapping[str, Sequence[float]] | None = None,
    *,
    minimum: int = 10,
) -> list[dict[str, Any]]:
    """Metrics of each slice in long form.

    Parameters
    ----------
    metric : callable
        `metric(rows: int[m]) -> {name: figure}` on the rows of a slice.
    columns : mapping
        Slice name to its float[n] values (`magnitude`, `snr`, `abs_galactic_lat_deg`, ...).
    edges : mapping, optional
        Edges per name; `DEFAULT_EDGES` for those not given.
    minimum : int
        Slices with fewer rows are listed with their count and no figures: too few to say anything.

    Returns
    -------
    list of dict
        `slice` (name), `range` (label), `n`, `metrics` (dict or None).
    """
    found = []
    for name, values in columns.items():
        limits = (edges or {}).get(name, DEFAULT_EDGES.get(name))
        if limits is None:
            raise InputError(f"slice {name} has no edges; give them, or use one of {', '.join(DEFAULT_EDGES)}")
        for label, rows in slice_rows(values, limits):
            figures = dict(metric(rows)) if len(rows) >= minimum else None
            found.append({"slice": name, "range": label, "n": len(rows), "metrics": figures})
    return found
