"""All features of light curves, many at once: transforms in blocks, blocks in threads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from stellar.features.aliases import CANDIDATES, true_peak
from stellar.features.boxes import Box, box_near
from stellar.features.folding import minima, whole_cycle
from stellar.features.harmonics import fit_series
from stellar.features.lightcurve_columns import BOXES, LAGS_D, MINIMA, extractor
from stellar.features.nufft import rows_of
from stellar.features.periodogram import Grid, Window, grid_of, highest, highest_elsewhere, peaks, reach_of, refine
from stellar.features.periods import HARMONICS, Fourier, frequency_error, log10_false_alarm
from stellar.features.timescales import asymmetry, middle, quantiles, slow_scatter, structure, variance
from stellar.features.variability import Curve, excursions, flicker, fourier_shape

PREWHITENED = 3
PREWHITENING_HARMONICS = 4
DIVIDING_FREQUENCY = 0.1  # per day, between the slow and the fast peak
CYCLE_SIGMAS = 7.0
BOX_GAIN = 0.02  # of the variance, beyond what the Fourier series explains, for a box's period to be the star's
LEAST_TURNS = 3  # eclipses seen
_LAGS = np.array([0.0, *LAGS_D.values()])
_SHARES = np.array([0.02, 0.10, 0.25, 0.5, 0.75, 0.90, 0.98])


def curves_features(curves: Sequence[Curve], settings: Mapping[str, Any], threads: int = 1) -> list[dict[str, float]]:
    """`lightcurve_columns.FEATURES` of clean curves, in their order; what cannot be measured is NaN.

    Parameters
    ----------
    curves : sequence of Curve
    settings : mapping
        `fmin_per_day`, `fmax_per_day`, `samples_per_peak`, `boxes`.
    threads : int
        The values do not depend on it.
    """
    if not curves:
        return []
    grids = [_grid(curve, settings) for curve in curves]
    # curves of one size of transform share blocks; they keep their order, so the cut is the same every time
    order = sorted(range(len(curves)), key=lambda i: (grids[i].size, i))
    blocks: list[list[int]] = []
    for i in order:
        size = grids[i].size
        if blocks and len(blocks[-1]) < rows_of(size) and grids[blocks[-1][0]].size == size:
            blocks[-1].append(i)
        else:
            blocks.append([i])

    def work(block: list[int]) -> list[dict[str, float]]:
        return _block([curves[i] for i in block], [grids[i] for i in block], settings["boxes"])

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            done = list(pool.map(work, blocks))
    else:
        done = [work(block) for block in blocks]
    extract = extractor()
    values = extract.many(
        [(curve.time, curve.flux, curve.error) for curve in curves],
        sorted=True,
        check=False,
        fill_value=float("nan"),
        n_jobs=threads,
    )
    found: list[dict[str, float]] = [{} for _ in curves]
    for block, measured in zip(blocks, done, strict=True):
        for i, one in zip(block, measured, strict=True):
            extracted = dict(zip(extract.names, values[i].tolist(), strict=True))
            noise = one["noise"]
            one["amplitude_snr"] = extracted["inter_percentile_range_2"] / noise if noise > 0 else float("nan")
            found[i] = extracted | one
    return found


def _grid(curve: Curve, settings: Mapping[str, Any]) -> Grid:
    fmax = settings["fmax_per_day"]
    if curve.dense:
        fmax = min(fmax, 0.5 / curve.cadence_d)  # beyond Nyquist an even cadence only shows mirror images
    span = float(curve.time[-1] - curve.time[0])
    return grid_of(span, settings["fmin_per_day"], fmax, settings["samples_per_peak"])


def _block(curves: list[Curve], grids: list[Grid], boxes: bool) -> list[dict[str, float]]:
    times = [curve.time - curve.time[0] for curve in curves]
    window = Window(times, [1 / curve.course_error**2 for curve in curves], grids)
    courses = [curve.course for curve in curves]
    spectra = window.powers(courses)
    found = [
        _of_curve(curve, course, time, weight, power, grid, boxes)
        for curve, course, time, weight, power, grid in zip(
            curves, courses, times, window.weights, spectra, grids, strict=True
        )
    ]
    lefts = [course.copy() for course in courses]
    for number in range(1, PREWHITENED + 1):
        for row in range(len(curves)):
            one, grid, time, weight = found[row], grids[row], times[row], window.weights[row]
            if number == 1:
                _slow_and_fast(one, spectra[row], grid)
                peak = 1 / one["period_ls_d"], one["ls_power"]
            else:
                _, *peak = _peak(time, lefts[row], weight, spectra[row], grid)
            one |= _prewhitened(number, time, lefts[row], courses[row], weight, *peak)
        if number < PREWHITENED:
            spectra = window.powers(lefts)
    return found


def _peak(
    time: np.ndarray, value: np.ndarray, weight: np.ndarray, power: np.ndarray, grid: Grid
) -> tuple[int, float, float]:
    """Index of the highest peak, and its frequency and power measured on the points."""
    best = highest(power, grid.first, grid.last)
    frequency, height = refine(time, value, weight, best * grid.step, grid.step)
    return best, frequency, height


def _of_curve(
    curve: Curve,
    course: np.ndarray,
    time: np.ndarray,
    weight: np.ndarray,
    power: np.ndarray,
    grid: Grid,
    boxes: bool,
) -> dict[str, float]:
    n, span = len(time), float(time[-1])
    at = np.full(CANDIDATES, grid.first)
    at = at[: max(peaks(power, grid.first, reach_of(grid, span), at), 1)]
    # space telescopes do not wait for the night
    best, frequency, height = true_peak(time, course, weight, power, at[:1] if curve.dense else at, grid.step)
    second = float(highest_elsewhere(power, grid.first, float(best), reach_of(grid, span)))
    period = 1 / frequency
    period_err = frequency_error(n, span, height) * period**2
    # folded less than twice and a half, a curve is compared with nothing but itself
    multiple, ratio = whole_cycle(time, course, weight, frequency, span / 2.5, CYCLE_SIGMAS)
    model = np.empty(n)
    cuts = np.empty(len(_SHARES))
    quantiles(np.sort(course), _SHARES, cuts)
    at_peak = Fourier.of(*fit_series(time, course, weight, frequency, HARMONICS, model))
    explained = at_peak.explained
    if multiple > 1:
        _, _, explained = fit_series(time, course, weight, frequency / multiple, HARMONICS, model)
    box = None
    if boxes and asymmetry(cuts[0], cuts[3], cuts[6]) > 0.5:  # dips reach farther than what stands out above
        near = [frequency, *(refine(time, course, weight, k * grid.step, grid.step)[0] for k in at[1:3])]
        box = box_near(time, course, curve.course_error, near, grid.step)
    whole = period * multiple
    if box is not None and box.turns >= LEAST_TURNS and box.power > explained + BOX_GAIN:
        # one box serves two unlike eclipses best at half their period
        again, _ = whole_cycle(time, course, weight, 1 / box.period_d, span / 2.5, CYCLE_SIGMAS)
        whole = box.period_d * again
    lows = np.empty(len(MINIMA))
    minima(time, curve.flux, 1 / whole, lows)
    return {
        "n_points": float(n),
        "span_d": span,
        "cadence_d": curve.cadence_d,
        "noise": curve.noise,
        "mean_error": float(middle(curve.error)),
        "trend": curve.trend,
        "flicker_8h": flicker(curve),
        "period_ls_d": period,
        "period_ls_err_d": period_err,
        "period_d": whole,
        "period_err_d": period_err * whole / period,
        "period_multiple": whole / period,
        "fold_ratio": ratio,
        "ls_power": height,
        "ls_log10_fap": log10_false_alarm(height, n, grid.last * grid.step, variance(time)),
        "ls_second_power": second / max(height, 1e-12),
        "fourier_explained": explained,
        **fourier_shape(at_peak),
        **dict(zip(MINIMA, lows.tolist(), strict=True)),
        **excursions(curve, model if explained > 0.5 else None),
        **_timescales(time, course, cuts),
        **_box_columns(box),
    }


def _box_columns(box: Box | None) -> dict[str, float]:
    found = [] if box is None else [box.period_d, box.duration_d, box.depth, box.depth_err, box.power]
    return dict(zip(BOXES, found or [float("nan")] * len(BOXES), strict=True))


def _timescales(time: np.ndarray, course: np.ndarray, cuts: np.ndarray) -> dict[str, float]:
    lags = np.empty(len(LAGS_D))
    structure(time, course, _LAGS, lags)
    return {
        **{f"structure_{name}": value for name, value in zip(LAGS_D, lags.tolist(), strict=True)},
        "scatter_30d_means": slow_scatter(time, course, 30.0, 3),
        "scatter_200d_means": slow_scatter(time, course, 200.0, 5),
        "asymmetry_2": asymmetry(cuts[0], cuts[3], cuts[6]),
        "asymmetry_10": asymmetry(cuts[1], cuts[3], cuts[5]),
        "asymmetry_25": asymmetry(cuts[2], cuts[3], cuts[4]),
    }


def _slow_and_fast(found: dict[str, float], power: np.ndarray, grid: Grid) -> None:
    """Highest peaks below and above `DIVIDING_FREQUENCY`; NaN where the grid does not reach there."""
    border = int(DIVIDING_FREQUENCY / grid.step)
    slow, fast = (grid.first, min(border, grid.last)), (max(border + 1, grid.first), grid.last)
    for name, (first, last) in {"slow": slow, "fast": fast}.items():
        if last - first < 3:
            found[f"{name}_log10_frequency"] = found[f"{name}_power"] = float("nan")
        else:
            best = int(highest(power, first, last))
            found[f"{name}_log10_frequency"] = math.log10(best * grid.step)
            found[f"{name}_power"] = float(power[best])


def _prewhitened(
    number: int,
    time: np.ndarray,
    left: np.ndarray,
    course: np.ndarray,
    weight: np.ndarray,
    frequency: float,
    height: float,
) -> dict[str, float]:
    """Measure a peak of what is left, and take its Fourier series out of it, in place."""
    model = np.empty(len(time))
    coefficients, _, _ = fit_series(time, left, weight, frequency, PREWHITENING_HARMONICS, model)
    h = PREWHITENING_HARMONICS
    terms = coefficients.tolist()
    amplitude = [math.hypot(terms[k], terms[h + k]) for k in (1, 2, 3)]
    phase = [math.atan2(-terms[h + k], terms[k]) for k in (1, 2, 3)]
    left -= model
    base, whole = max(amplitude[0], 1e-12), variance(course)
    return {
        f"f{number}_log10_frequency": math.log10(frequency),
        f"f{number}_power": height,
        f"f{number}_log10_amplitude": math.log10(base),
        f"f{number}_r21": min(amplitude[1] / base, 1e3),
        f"f{number}_r31": min(amplitude[2] / base, 1e3),
        f"f{number}_phi21": (phase[1] - 2 * phase[0]) % (2 * math.pi),
        f"f{number}_phi31": (phase[2] - 3 * phase[0]) % (2 * math.pi),
        f"f{number}_residual": variance(left) / whole if whole > 0 else float("nan"),
    }
