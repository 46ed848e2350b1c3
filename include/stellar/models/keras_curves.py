"""Light curves of any length as what networks read: tokens of neighbouring points, a folded curve, a resampled one.

Values are relative flux about the median, divided by the curve's own spread; each point's error is kept beside it as a
weight 1 / (1 + (error / spread)^2), which tells noise from light.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.models.base import numeric_matrix
from stellar.models.keras_inputs import Arrays, Batch, Scalars
from stellar.models.spectra import list_array

FEWEST_POINTS = 4
CLIP = 8.0  # spreads
ENCODING_D = np.geomspace(0.1, 3000.0, 8)  # periods of the time encoding: from an hour's change to a survey's length
WRAP = 6  # bins of a folded curve that are repeated at either end: phase has no border
POINT_CHANNELS = 7
MAG_TO_FLUX = 0.4 * np.log(10.0)


class Curve(NamedTuple):
    """Time [m] in days from the first point, relative flux about 0 [m], its error [m]; increasing time."""

    time: np.ndarray
    value: np.ndarray
    error: np.ndarray


class Scaled(NamedTuple):
    """A curve in units of its own spread, with weights, and the log10 of the spread."""

    time: np.ndarray
    value: np.ndarray
    weight: np.ndarray
    ivar: np.ndarray
    log_spread: float


def read_curves(X: pa.Table, settings: Mapping[str, Any]) -> list[Curve]:
    """Clean curves of a table's list columns.

    Raises
    ------
    InputError
        When a column is missing, or the lists of one row differ in length (the row is named).
    """
    names = settings["columns"]
    lists: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for part in ("time", "value", "error", "quality"):
        name = names.get(part)
        if name is None or (part == "quality" and name not in X.column_names):
            continue
        column = list_array(X, name)
        flat = column.flatten().cast(pa.int64() if part == "quality" else pa.float64(), safe=False)
        flat = flat.fill_null(0 if part == "quality" else float("nan"))
        lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)  # a null is a curve without points
        lists[part] = flat.to_numpy(), np.concatenate([[0], np.cumsum(lengths)])
    bits = settings["quality_bits"]
    curves = []
    for row in range(X.num_rows):
        parts = {part: flat[offsets[row] : offsets[row + 1]] for part, (flat, offsets) in lists.items()}
        if len({len(values) for values in parts.values()}) > 1:
            sizes = ", ".join(f"{names[part]} {len(values)}" for part, values in parts.items())
            raise InputError(f"row {row}: the lists of one light curve differ in length: {sizes}")
        if "quality" in parts:
            good = (parts.pop("quality").astype(np.int64) & bits) == 0
            parts = {part: values[good] for part, values in parts.items()}
        curves.append(clean(parts["time"], parts["value"], parts.get("error"), settings))
    return curves


def clean(time: np.ndarray, value: np.ndarray, error: np.ndarray | None, settings: Mapping[str, Any]) -> Curve:
    """Finite points by time as relative flux about the median; unknown errors are the scatter of neighbours."""
    good = np.isfinite(time) & np.isfinite(value)
    if error is not None:
        good &= ~(error <= 0)
    order = np.flatnonzero(good)[np.argsort(time[good], kind="stable")]
    time, value = time[order].astype(np.float64), value[order].astype(np.float64)
    if len(time) < FEWEST_POINTS:
        return Curve(np.zeros(0), np.zeros(0), np.zeros(0))
    own = np.full(len(time), np.nan) if error is None else error[order].astype(np.float64)
    middle = np.median(value)
    if settings["value_kind"] == "mag":
        flux = np.exp(-MAG_TO_FLUX * (value - middle))
        own, value = own * MAG_TO_FLUX * flux, flux - 1
    else:
        unit = middle if middle > 0 else np.std(value) or 1.0  # a difference flux has no level of its own
        own, value = own / unit, (value - middle) / unit
    time = time - time[0]
    if settings["detrend_degree"] and time[-1] > 0 and len(time) > 3 * settings["detrend_degree"]:
        x = 2 * time / time[-1] - 1
        value = value - np.polynomial.Polynomial.fit(x, value, settings["detrend_degree"], domain=[-1, 1])(x)
    scatter = 1.4826 * np.median(np.abs(np.diff(value))) / np.sqrt(2) or 1e-6
    return Curve(time, value, np.where(np.isfinite(own), own, scatter))


def scaled(curve: Curve) -> Scaled:
    """Units of the spread: half the range between the 5th and 95th percentile over 1.645, at least half an error."""
    time, value, error = curve
    if not len(time):
        return Scaled(time, value, value, value, 0.0)
    low, high = np.percentile(value, [5, 95])
    spread = max((high - low) / 3.29, 0.5 * float(np.median(error)), 1e-7)
    relative = error / spread
    value = np.clip(value / spread, -CLIP, CLIP)
    return Scaled(time, value, 1 / (1 + relative**2), 1 / np.maximum(relative, 1e-3) ** 2, float(np.log10(spread)))


def binned(position: np.ndarray, curve: Scaled, bins: int) -> np.ndarray:
    """Float64[bins, 2]: mean by inverse variance of the points of each bin times its weight, and the weight."""
    total = np.bincount(position, weights=curve.ivar, minlength=bins)
    mean = np.bincount(position, weights=curve.ivar * curve.value, minlength=bins) / np.where(total > 0, total, 1)
    weight = total / (1 + total)
    return np.stack([mean * weight, weight], axis=1)


def folded(curve: Scaled, period: float, bins: int) -> np.ndarray:
    """Float64[bins + 2 WRAP, 2] of the curve folded at its period, its minimum at phase 0; zeros without a period."""
    if not len(curve.time) or not np.isfinite(period) or period <= 0:
        return np.zeros((bins + 2 * WRAP, 2))
    phase = np.mod(curve.time / period, 1.0)
    found = binned(np.minimum((phase * bins).astype(np.int64), bins - 1), curve, bins)
    smooth = sum(np.roll(found[:, 0], k) for k in (-1, 0, 1))
    found = np.roll(found, -int(np.argmin(smooth)), axis=0)
    return np.concatenate([found[-WRAP:], found, found[:WRAP]])


def resampled(curve: Scaled, bins: int) -> np.ndarray:
    """Float64[bins, 2] of the curve over its whole span."""
    if not len(curve.time):
        return np.zeros((bins, 2))
    span = curve.time[-1] - curve.time[0] or 1.0
    position = np.minimum(((curve.time - curve.time[0]) / span * bins).astype(np.int64), bins - 1)
    return binned(position, curve, bins)


def tokens(curve: Scaled, period: float, count: int, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [count, patch * 7 + 16] of neighbouring points, and which hold any [count].

    A point says its value, weight, the log of the time since the one before, and its phase (sine and cosine of one and
    two turns). A token adds sines and cosines of its mean time at `ENCODING_D`. A curve of more points than fit is
    averaged over runs of neighbours; one of fewer is padded.
    """
    room = count * patch
    points = np.zeros((room, POINT_CHANNELS))
    encoding = np.zeros((count, 2 * len(ENCODING_D)))
    seen = np.zeros(count)
    n = len(curve.time)
    if n:
        time, value, weight = curve.time, curve.value, curve.weight
        if n > room:
            first = np.arange(0, n, -(-n // room))
            total = np.add.reduceat(curve.ivar, first)
            time = np.add.reduceat(time, first) / np.diff(np.append(first, n))
            value = np.add.reduceat(curve.ivar * value, first) / total
            weight = total / (1 + total)
            n = len(first)
        points[:n, 0], points[:n, 1] = value * weight, weight
        points[:n, 2] = np.log10(np.diff(time, prepend=time[0]) + 1e-4) / 4
        if np.isfinite(period) and period > 0:
            angle = 2 * np.pi * time / period
            points[:n, 3:7] = np.stack([np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)], axis=1)
        starts = np.arange(0, n, patch)
        seen[: len(starts)] = 1
        middle = np.add.reduceat(time, starts) / np.diff(np.append(starts, n))
        angle = 2 * np.pi * (middle - time[0])[:, None] / ENCODING_D
        encoding[: len(starts)] = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    return np.concatenate([points.reshape(count, -1), encoding], axis=1), seen


class Curves:
    """Rows of a table as light curves; `views` names what is made of them: tokens, folded, raw."""

    def __init__(
        self,
        X: pa.Table,
        scalars: Scalars,
        settings: Mapping[str, Any],
        views: frozenset[str],
        augment: Any = None,
    ) -> None:
        self.curves = read_curves(X, settings)
        self.scalars, self.raw = scalars, scalars.read(X)
        name = settings["period"]
        self.period = numeric_matrix(X, [name])[:, 0] if name else np.full(len(self.curves), np.nan)
        self.period_position = scalars.names.index(name) if name in scalars.names else None
        self.settings, self.views, self.augment = settings, views, augment

    def __len__(self) -> int:
        return len(self.curves)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        own = self.settings
        raw = self.raw[rows]
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ("tokens", "seen", "folded", "raw", "spread")}
        for number, row in enumerate(rows):
            curve, period = self.curves[row], float(self.period[row])
            if rng is not None and self.augment is not None:
                time, value, error, stretch = self.augment(*curve, rng)
                curve, period = Curve(time, value, error), period * stretch
                if self.period_position is not None:
                    raw[number, self.period_position] += np.log10(stretch)
            units = scaled(curve)
            if "tokens" in self.views:
                found, seen = tokens(units, period, own["tokens"], own["patch"])
                parts["tokens"].append(found)
                parts["seen"].append(seen)
            if "folded" in self.views:
                parts["folded"].append(folded(units, period, own["phase_bins"]))
            if "raw" in self.views:
                parts["raw"].append(resampled(units, own["raw_bins"]))
            parts["spread"].append(np.array([(units.log_spread + 2) / 1.0]))  # about 0 for an amplitude of a percent
        inputs: Arrays = {name: np.stack(values).astype(np.float32) for name, values in parts.items() if values}
        if self.scalars.names:
            inputs["scalars"] = self.scalars.standard(raw)
        return Batch(inputs, {})
