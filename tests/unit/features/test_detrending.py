"""What is injected comes back, trends go away, and gaps are borders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.features.detrending import lone_outliers, stretches, trend

NOISE = 3e-4
WINDOW = 5.0


def times(days=27.4, gap=(12.9, 14.2), cadence=0.02):
    time = np.arange(0, days, cadence)
    return time[(time < gap[0]) | (time > gap[1])]


def drift(time, seed):
    """A slow course of some per cent, and a step at the gap."""
    random = np.random.default_rng(seed)
    wave = 0.01 * np.sin(2 * np.pi * time / random.uniform(20, 40) + random.uniform(0, 6))
    return (1 + random.uniform(-0.02, 0.02) * (time / 13 - 1) ** 2 + wave) * np.where(time > 13.5, 1.02, 1.0)


def noise(time, seed):
    return np.random.default_rng(seed).normal(0, NOISE, len(time))


def without(kind, flux):
    """The curve without its trend, as relative flux, whether it came as fluxes or as magnitudes."""
    time = times()
    if kind == "flux":
        return flux / trend(time, flux, WINDOW)
    magnitude = 12 - 2.5 * np.log10(flux)
    flat = magnitude - trend(time, magnitude, WINDOW)
    return 10 ** (-0.4 * (flat - np.median(flat)))


@settings(deadline=None, max_examples=25)
@given(
    st.floats(0.1, 5 / 3), st.floats(0.002, 0.2), st.floats(0, 6.28), st.integers(0, 2**32 - 1),
    st.sampled_from(["flux", "mag"]),
)  # fmt: skip
def test_a_sinusoid_keeps_its_amplitude(period, size, phase, seed, kind):
    """To 3% and four times the error of its fit, for periods up to a third of the window."""
    time = times()
    signal = size * np.sin(2 * np.pi * time / period + phase)
    flat = without(kind, (1 + signal + noise(time, seed)) * drift(time, seed))
    angle = 2 * np.pi * time / period
    design = np.c_[np.sin(angle), np.cos(angle), np.ones(len(time))]
    found = np.linalg.lstsq(design, flat, rcond=None)[0]
    error = NOISE * np.sqrt(2 / len(time))
    assert np.hypot(*found[:2]) / found[2] == pytest.approx(size, rel=0.03, abs=4 * error + 5e-5)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["flux", "mag"]))
def test_a_trend_goes_away(seed, kind):
    """Of a trend of some per cent, with a step at the gap, less than 0.2% is left anywhere, and 0.05% in the mean."""
    time = times()
    slow = drift(time, seed)
    assert np.ptp(slow) > 0.01
    flat = without(kind, (1 + noise(time, seed)) * slow)
    left = flat / (1 + noise(time, seed))
    assert np.abs(left / np.median(left) - 1).max() < 0.002
    assert np.std(left) < 5e-4


@settings(deadline=None, max_examples=20)
@given(
    st.floats(1.2, 6.0), st.floats(0.05, 0.3), st.floats(0.003, 0.6), st.integers(0, 2**32 - 1),
    st.sampled_from(["flux", "mag"]),
)  # fmt: skip
def test_an_eclipse_keeps_its_depth(period, length, depth, seed, kind):
    """To 2% and four times the noise of its mean, for eclipses up to a sixteenth of the window."""
    time = times()
    eclipsed = (time + 0.3) % period < length
    flat = without(kind, (1 - depth * eclipsed + noise(time, seed)) * drift(time, seed))
    found = np.median(flat[~eclipsed]) - np.median(flat[eclipsed])
    slack = 4 * NOISE / np.sqrt(max(eclipsed.sum(), 1)) + 3e-4
    assert found == pytest.approx(depth, rel=0.02, abs=slack)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 1.5), st.floats(0.02, 0.2), st.integers(0, 2**32 - 1), st.sampled_from(["flux", "mag"]))
def test_a_flare_keeps_its_height(height, decay, seed, kind):
    """To 2% and four times the noise; flares rise at once and decay exponentially."""
    time = times()
    random = np.random.default_rng(seed)
    begins = random.choice(time[100:-100], 3, replace=False)
    flares = sum(height * np.where(time >= one, np.exp(-(np.maximum(time - one, 0)) / decay), 0) for one in begins)
    flat = without(kind, (1 + flares + noise(time, seed)) * drift(time, seed))
    peak = int(np.argmax(flares))
    assert flat[peak] - 1 == pytest.approx(flares[peak], rel=0.02, abs=5 * NOISE + 1e-3)
    assert np.median(flat) == pytest.approx(1, abs=5e-4)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**32 - 1), st.floats(-0.3, 0.3))
def test_nothing_is_carried_across_a_gap(seed, step):
    """What one stretch does leaves the other's course as it was, to the bit."""
    time = times()
    value = 1 + noise(time, seed)
    moved = np.where(time > 13.5, value * (1 + step) + 0.01 * np.sin(time), value)
    before = time < 13.5
    assert (trend(time, value, WINDOW)[before] == trend(time, moved, WINDOW)[before]).all()
    alone = trend(time[before], value[before], WINDOW)
    assert (alone == trend(time, value, WINDOW)[before]).all()


@settings(deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_stretches_cover_every_point_once_and_hold_no_gap(steps, seed):
    time = np.cumsum(steps)
    segment = np.random.default_rng(seed).integers(0, 3, len(steps))
    parts = stretches(time, 0.5, segment)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(time)))
    for part in parts:
        assert (
            (np.diff(part) > 0).all() and (np.diff(time[part]) <= 0.5).all() and len(set(segment[part].tolist())) == 1
        )
    # no fewer points than could be: what is within a gap's length of a stretch's ends is of it, or of another segment
    assert len(parts) == sum(1 + int((np.diff(time[segment == one]) > 0.5).sum()) for one in np.unique(segment))
    assert stretches(np.empty(0)) == []
    assert [part.tolist() for part in stretches(np.array([0.0, 0.1, 2.0]))] == [[0, 1], [2]]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_segments_that_overlap_are_fitted_each_alone(seed):
    time, later = times(), times() + 0.003
    values = [drift(one, seed) + 0.01 * np.sin(2 * np.pi * one) + noise(one, seed) for one in (time, later)]
    values[1][1000] += 0.5
    together, value = np.concatenate([time, later]), np.concatenate(values)
    order = np.argsort(together, kind="stable")
    segment = np.repeat([0, 1], len(time))[order]
    course = trend(together[order], value[order], WINDOW, segment=segment)
    for number, (one, own) in enumerate(zip((time, later), values, strict=True)):
        assert course[segment == number] == pytest.approx(trend(one, own, WINDOW), rel=1e-12)
    out = lone_outliers(together[order], value[order], "flux", segment=segment)
    assert np.flatnonzero(out[segment == 1]).tolist() == [1000]


def test_a_short_stretch_keeps_what_it_has():
    time = np.arange(0, 3, 0.02)
    wave = 1 + 0.1 * np.sin(2 * np.pi * time / 3)
    assert len(set(trend(time, wave, WINDOW).tolist())) == 1, "shorter than the window: a constant"
    assert trend(np.arange(0, 8, 0.02), np.arange(0, 8, 0.02), WINDOW) == pytest.approx(np.arange(0, 8, 0.02), abs=1e-6)
    assert trend(np.empty(0), np.empty(0), WINDOW).shape == (0,)


def test_nonsense_is_refused():
    time = np.arange(10.0)
    for window in (0, -1, np.nan, np.inf):
        with pytest.raises(InputError, match="give a positive number"):
            trend(time, time, window)
    with pytest.raises(InputError, match="sort the curve"):
        trend(time[::-1], time, 2)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["flux", "mag"]))
def test_clipping_takes_lone_points_and_leaves_eclipses_and_flares(seed, kind):
    random = np.random.default_rng(seed)
    time = times()
    flux = 1 + noise(time, seed)
    eclipsed = (time + 0.3) % 2.7 < 0.1
    flare = (time > 5.0) & (time < 5.08)
    flux = flux * (1 - 0.2 * eclipsed)
    flux[flare] += 0.3
    quiet = np.flatnonzero(~eclipsed & ~flare)
    quiet = quiet[(quiet > 3) & (quiet < len(time) - 4)]
    quiet = quiet[~(eclipsed | flare)[quiet - 1] & ~(eclipsed | flare)[quiet + 1]]
    rays, holes = random.choice(quiet[::10], 5, replace=False), random.choice(quiet[5::10], 5, replace=False)
    flux[rays] += 0.05
    flux[holes] -= 0.05
    value = flux if kind == "flux" else 12 - 2.5 * np.log10(flux)
    out = lone_outliers(time, value, kind)
    assert out[rays].all() and not out[holes].any(), "of itself only the brighter side is clipped"
    both = lone_outliers(time, value, kind, brighter=5, fainter=5)
    assert both[rays].all() and both[holes].all()
    for one in (out, both):
        assert not one[eclipsed].any() and not one[flare].any()
        assert one.sum() <= 15, "of quiet points beyond 5 sigma there are hardly any"
    assert not lone_outliers(time, value, kind, brighter=None).any()
    assert not lone_outliers(time, np.ones(len(time)), kind).any()
