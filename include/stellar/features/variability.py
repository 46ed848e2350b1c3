"""One light curve at a time: cleaning, and what its points say beside the period."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import median_filter, uniform_filter1d

from stellar.features.detrending import lone_outliers
from stellar.features.detrending import trend as slow_course
from stellar.features.harmonics import rise_fraction
from stellar.features.periods import Fourier
from stellar.features.stitching import stitch_points
from stellar.features.timescales import point_to_point, usual_step
from stellar.kernels import kernel

MAD_TO_SIGMA = 1.4826
LEAST_ERROR = 0.1  # of the median error: the errors of one survey's points are alike
_MAGNITUDE = -0.4 * math.log(10)  # ln flux of one magnitude
_NO_FLAGS = np.empty(0, np.int64)
MOST_FREQUENCIES = 10_000_000  # of a periodogram: 800 MB, and a century of the densest grid


@dataclass(frozen=True)
class Curve:
    """Clean light curve: days, relative flux (median 1), its error, the height of the trend taken out.

    `dense` curves have points closer together than stars change: space photometry. `logarithmic` ones came as
    magnitudes. Of curves of several segments `how` says what was done with each, and `moved` by how much (`stitching`).
    """

    time: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    trend: float
    cadence_d: float
    dense: bool
    logarithmic: bool = False
    how: tuple[str, ...] = ()
    moved: tuple[float, ...] = ()

    @property
    def course(self) -> np.ndarray:
        """What periods are looked for in: ln flux of magnitudes, as they were measured; flux - 1 of fluxes."""
        return np.log(self.flux) if self.logarithmic else self.flux - 1.0

    @property
    def course_error(self) -> np.ndarray:
        """Error of `course`."""
        return self.error / self.flux if self.logarithmic else self.error

    @property
    def noise(self) -> float:
        """Scatter from point to point, robust: what is left of the noise whatever the star does slowly."""
        return float(point_to_point(self.flux))


@kernel
def usable_points(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, flags: np.ndarray, bits: int, magnitudes: bool
) -> tuple:
    """Points that are finite, with a positive error and none of the quality bits set, in order of time.

    Parameters
    ----------
    time, value, error : float64[n]
    flags : int64[n] or int64[0]
    bits : int
    magnitudes : bool
        Turn magnitudes into fluxes relative to the median magnitude's (Pogson).

    Returns
    -------
    time, flux, error : float64[m]
        Flux and error over the median flux, where that is positive.
    level : float
        The median flux; NaN without points.
    """
    n = len(time)
    t, v, e = np.empty(n), np.empty(n), np.empty(n)
    kept = 0
    ordered = True
    for i in range(n):
        if len(flags) and flags[i] & bits:
            continue
        if np.isfinite(time[i]) and np.isfinite(value[i]) and np.isfinite(error[i]) and error[i] > 0:
            t[kept], v[kept], e[kept] = time[i], value[i], error[i]
            if kept and t[kept] < t[kept - 1]:
                ordered = False
            kept += 1
    t, v, e = t[:kept], v[:kept], e[:kept]
    if kept == 0:
        return t, v, e, np.nan
    if not ordered:
        order = np.argsort(t, kind="mergesort")
        t, v, e = t[order], v[order], e[order]
    if magnitudes:
        middle = np.median(v)
        for i in range(kept):
            v[i] = np.exp(_MAGNITUDE * (v[i] - middle))
            e[i] = -_MAGNITUDE * v[i] * e[i]
    level = np.median(v)
    if level > 0:
        for i in range(kept):
            v[i] /= level
            e[i] /= level
        # one point that claims to be far surer than all others would be the whole curve
        least = LEAST_ERROR * np.median(e)
        for i in range(kept):
            e[i] = max(e[i], least)
    return t, v, e, level


@kernel
def sure_points(error: np.ndarray) -> np.ndarray:
    """Whether each point's error is at most five times the usual one, bool[n]."""
    return error <= 5 * np.median(error)


def clean(
    time: np.ndarray,
    value: np.ndarray,
    error: np.ndarray,
    quality: np.ndarray | None,
    *,
    kind: str,
    bits: int,
    settings: Mapping[str, Any],
    segment: np.ndarray | None = None,
) -> Curve | str:
    """Clean curve, or the name of the rule that takes the whole curve out.

    The steps are mild, because what they take cannot come back: bad points by quality bits, points whose error is five
    times the usual one, and (dense curves only) single points far from both neighbours, which no star can do between
    two cadences; then a parabola over the whole span. Points of several segments (`segment`, int64[n], sectors say) are
    brought to one scale first, and each loses a parabola of its own.

    `settings` may ask for more: a robust spline instead of the parabola (`detrend_window_d`), and lone points to be
    clipped (`clip_brighter`, `clip_fainter`, in standard deviations), which eclipses and flares survive.
    """
    flags = _NO_FLAGS if quality is None else quality
    how: tuple[str, ...] = ()
    moved: tuple[float, ...] = ()
    if segment is not None:
        good = None if quality is None else (flags & bits) == 0
        whole = stitch_points(time, value, error, segment, "mag" if kind == "mag" else "flux", good)
        time, value, error, segment, flags = whole.time, whole.value, whole.error, whole.segment, _NO_FLAGS
        how, moved = whole.how, tuple(whole.moved.tolist())
    t, v, e, level = usable_points(time, value, error, flags, bits, kind == "mag")
    if len(t) < settings["min_points"]:
        return "too_few_points"
    if not level > 0:
        return "median_flux_not_positive"
    span = float(t[-1] - t[0])
    if span * settings["fmax_per_day"] < 2:
        return "span_too_short"
    if span * settings["fmax_per_day"] * settings["samples_per_peak"] > MOST_FREQUENCIES:
        return "span_too_long"  # a time of 0 among Julian dates, or times in seconds
    cadence = float(usual_step(t))
    dense = cadence < settings["dense_cadence_d"]
    kept = sure_points(e)
    if dense:
        kept &= ~isolated_outliers(v)
    if not kept.all():
        t, v, e = t[kept], v[kept], e[kept]
        segment = None if segment is None else segment[kept]
    if len(t) < settings["min_points"] or not t[-1] - t[0] > 0:
        return "too_few_points"
    baseline = _baseline(t, v, segment, settings, dense=dense)
    trend = 0.0 if baseline is None else float(np.ptp(baseline))
    if baseline is not None:
        v = v / np.maximum(baseline, 0.1)
    limits = settings.get("clip_brighter"), settings.get("clip_fainter")
    if limits != (None, None):
        kept = ~lone_outliers(t, v, "flux", brighter=limits[0], fainter=limits[1], segment=segment)
        t, v, e = t[kept], v[kept], e[kept]
        if len(t) < settings["min_points"] or not t[-1] - t[0] > 0:
            return "too_few_points"
    return Curve(t, v, e, trend, cadence, dense, kind == "mag", how, moved)


def _baseline(
    time: np.ndarray, flux: np.ndarray, segment: np.ndarray | None, settings: Mapping[str, Any], *, dense: bool
) -> np.ndarray | None:
    """What is to be divided out of a curve, float64[n]; None where nothing is."""
    if settings.get("detrend_window_d"):
        return slow_course(time, flux, settings["detrend_window_d"], segment=segment)
    degree = settings["detrend_degree"]
    if not dense or not degree > 0:
        return None
    if segment is None:
        return robust_polynomial(time, flux, degree)
    baseline = np.ones(len(flux))
    for number in np.unique(segment):
        part = segment == number
        if part.sum() > 3 * degree and np.ptp(time[part]) > 0:
            own = robust_polynomial(time[part], flux[part], degree)
            baseline[part] = own / max(float(np.median(own)), 0.1)  # the segment's level is the stitching's
    return baseline


def isolated_outliers(value: np.ndarray, sigmas: float = 6.0) -> np.ndarray:
    """Bool[n]: points far from the middle of both neighbours, which themselves agree with each other."""
    out = np.zeros(len(value), dtype=bool)
    if len(value) < 5:
        return out
    middle = (value[:-2] + value[2:]) / 2
    jump = value[1:-1] - middle
    scale = MAD_TO_SIGMA * np.median(np.abs(jump)) or np.inf
    agree = np.abs(value[2:] - value[:-2]) < 3 * scale
    out[1:-1] = (np.abs(jump) > sigmas * scale) & agree
    return out


def robust_polynomial(time: np.ndarray, value: np.ndarray, degree: int, iterations: int = 3) -> np.ndarray:
    """Polynomial over the whole span with mean 1, fitted with 3-sigma rejection; eclipses and flares do not bend it."""
    x = 2 * (time - time[0]) / (time[-1] - time[0]) - 1
    design = np.polynomial.legendre.legvander(x, degree)
    kept = np.ones(len(value), dtype=bool)
    baseline = np.ones(len(value))
    for _ in range(iterations):
        coefficients = np.linalg.lstsq(design[kept], value[kept], rcond=None)[0]
        baseline = design @ coefficients
        residual = value - baseline
        spread = MAD_TO_SIGMA * np.median(np.abs(residual[kept] - np.median(residual[kept])))
        kept = np.abs(residual) <= max(3 * spread, 1e-12)
        if kept.sum() < len(value) // 2:
            break
    return baseline


def flicker(curve: Curve, window_h: float = 8.0) -> float:
    """Scatter faster than `window_h` hours beyond the noise, relative flux (after the F8 of Bastien et al. 2013).

    Null for curves that are not dense.
    """
    if not curve.dense:
        return float("nan")
    points = max(round(window_h / 24 / curve.cadence_d), 3)
    fast = curve.flux - uniform_filter1d(curve.flux, points, mode="nearest")
    spread = MAD_TO_SIGMA * np.median(np.abs(fast - np.median(fast)))
    return float(np.sqrt(max(spread**2 - curve.noise**2, 0.0)))


def runs(flag: np.ndarray, shortest: int) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each run of true values at least `shortest` long."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], flag.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edge[::2], edge[1::2], strict=True) if b - a >= shortest]


def excursions(curve: Curve, periodic: np.ndarray | None) -> dict[str, float]:
    """Flares and dips: runs of three points beyond 3 sigma, the peak beyond 6, above and below the star's own course.

    The course is a running median of half a day over what the Fourier series (`periodic`, where it describes the curve)
    leaves. Null for curves that are not dense.
    """
    names = ("flare_count", "flare_amplitude", "dip_count", "dip_depth")
    if not curve.dense:
        return dict.fromkeys(names, float("nan"))
    left = curve.course if periodic is None else curve.course - periodic
    window = max(round(0.5 / curve.cadence_d) | 1, 5)
    left = left - median_filter(left, size=window, mode="nearest")
    sigma = MAD_TO_SIGMA * np.median(np.abs(left)) or np.inf
    found: dict[str, float] = {}
    for sign, (count, height) in zip((1, -1), (names[:2], names[2:]), strict=True):
        peaks = [float((sign * left[a:b]).max()) for a, b in runs(sign * left > 3 * sigma, 3)]
        peaks = [peak for peak in peaks if peak > 6 * sigma]
        found[count], found[height] = float(len(peaks)), max(peaks, default=0.0)
    return found


def fourier_shape(fourier: Fourier) -> dict[str, float]:
    """Amplitude ratios and phase differences of the classical kind (Simon & Lee 1981), with errors, and the rise.

    `phi_k1` = phi_k - k phi_1 in [0, 2 pi), cosine convention; `rise_fraction` is the part of the cycle from minimum to
    maximum of the fitted series.
    """
    a, ea, p, ep = fourier.amplitude, fourier.amplitude_err, fourier.phase, fourier.phase_err
    amplitudes, errors, phases, phase_errors = a.tolist(), ea.tolist(), p.tolist(), ep.tolist()
    base = max(amplitudes[0], 1e-300)
    found = {"fourier_amplitude": amplitudes[0], "fourier_amplitude_err": errors[0]}
    for k in (2, 3, 4):
        ratio = amplitudes[k - 1] / base
        found[f"r{k}1"] = min(ratio, 1e3)
        found[f"r{k}1_err"] = min(math.hypot(errors[k - 1], ratio * errors[0]) / base, 1e3)
    for k in (2, 3):
        found[f"phi{k}1"] = (phases[k - 1] - k * phases[0]) % (2 * math.pi)
        found[f"phi{k}1_err"] = min(math.hypot(phase_errors[k - 1], k * phase_errors[0]), math.pi)
    found["rise_fraction"] = rise_fraction(a, p)
    return found
