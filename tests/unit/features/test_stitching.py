"""Segments on one scale: amplitudes stay, steps go, and what was done is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.features.stitching import MEDIAN, OVERLAP, REFERENCE, REFUSED, Segment, stitch, stitch_points

CADENCE = 0.02


def segment(label, begin, days, shape, kind, step, seed, noise=1e-3):
    """Points of a star of relative flux `shape(time)`: a flux is scaled by `step`, a magnitude moved by it."""
    time = np.arange(begin, begin + days, CADENCE)
    flux = shape(time) + np.random.default_rng(seed).normal(0, noise, len(time))
    if kind == "flux":
        return Segment(label, time, flux * step, np.full(len(time), noise * step))
    return Segment(label, time, 12 - 2.5 * np.log10(flux) + step, np.full(len(time), noise))


def amplitude(time, value, period):
    """Semi-amplitude of the sinusoid of a period, over the mean."""
    phase = 2 * np.pi * time / period
    sine, cosine, mean = np.linalg.lstsq(np.c_[np.sin(phase), np.cos(phase), np.ones(len(time))], value, rcond=None)[0]
    return np.hypot(sine, cosine), mean


@settings(deadline=None, max_examples=12)
@given(
    st.floats(0.2, 3.0),
    st.floats(0.005, 0.3),
    st.lists(st.floats(0.2, 5.0), min_size=2, max_size=5),
    st.sampled_from(["flux", "mag"]),
    st.integers(0, 2**32 - 1),
)
def test_a_sinusoid_keeps_its_amplitude_over_segments(period, size, steps, kind, seed):
    """To 2% and the noise, over sectors of 27 days with gaps of a day, whatever their scales or zero points."""

    def shape(time):
        return 1 + size * np.sin(2 * np.pi * time / period)

    parts = [segment(str(n), 28.0 * n, 27.0, shape, kind, step, seed + n) for n, step in enumerate(steps)]
    found = stitch(parts, kind)
    assert set(found.how) == {REFERENCE, MEDIAN} and found.how.count(REFERENCE) == 1
    if kind == "mag":
        wanted = 12 - 2.5 * np.log10(shape(found.time))
        one, _ = amplitude(found.time, found.value, period)
        other, _ = amplitude(found.time, wanted, period)
        assert one == pytest.approx(other, rel=0.02, abs=2e-4)
    else:
        one, mean = amplitude(found.time, found.value, period)
        assert one / mean == pytest.approx(size, rel=0.02, abs=2e-4)
    for number, part in enumerate(parts):  # moved as a whole, bent nowhere
        own = found.value[found.segment == number]
        by = found.moved[number]
        assert own == pytest.approx(part.value * by if kind == "flux" else part.value + by, rel=1e-12)


@settings(deadline=None, max_examples=10)
@given(st.floats(0.2, 5.0), st.sampled_from(["flux", "mag"]), st.integers(0, 2**32 - 1))
def test_an_overlap_keeps_what_is_slower_than_a_segment(step, kind, seed):
    """A star that fades over both segments does so after they were stitched, too, to a hundredth of its fading."""

    def shape(time):
        return 1 - 0.3 * time / 50

    parts = [segment("a", 0, 27, shape, kind, 1.0, seed), segment("b", 24, 26, shape, kind, step, seed + 1)]
    found = stitch(parts, kind)
    assert found.how == (REFERENCE, OVERLAP)
    wanted = shape(found.time) if kind == "flux" else 13 - 2.5 * np.log10(shape(found.time))
    assert np.abs(found.value - wanted).max() < 0.01
    assert np.median(np.abs(found.value - wanted)) < 0.003


def test_chains_of_overlaps_and_islands():
    """A and B overlap, B and C do, D stands alone: D is moved by its middle to that of the three."""
    flat = np.ones_like
    starts = {"a": (0, 1.0), "b": (8, 2.0), "c": (16, 0.5), "d": (40, 7.0)}
    parts = [segment(name, begin, 10 + (name == "a"), flat, "flux", step, 1) for name, (begin, step) in starts.items()]
    found = stitch(parts, "flux")
    assert found.how == (REFERENCE, OVERLAP, OVERLAP, MEDIAN)
    assert found.moved == pytest.approx([1, 1 / 2, 2, 1 / 7], rel=2e-3)
    assert (np.diff(found.time) >= 0).all() and found.error == pytest.approx(1e-3, rel=5e-3)


def test_eclipses_and_flares_do_not_set_the_scale():
    def shape(time):
        return 1 - 0.5 * ((time % 3) < 0.2) + 0.8 * ((time % 7) < 0.1)

    found = stitch([segment(str(n), 28 * n, 27, shape, "flux", 1 + n, n) for n in range(3)], "flux")
    assert found.value[shape(found.time) < 0.6] == pytest.approx(0.5, abs=0.01)
    assert found.value[shape(found.time) > 1.7] == pytest.approx(1.8, abs=0.01)


def test_a_segment_without_a_positive_middle_is_refused_and_the_others_stay():
    good = segment("a", 0, 5, np.ones_like, "flux", 1, 0)
    bad = Segment("b", np.arange(3.0) + 20, np.array([-1.0, -2.0, 1.0]), np.ones(3))
    found = stitch([bad, good], "flux")
    assert found.how == (REFUSED, REFERENCE) and np.isnan(found.moved[0])
    assert len(found.time) == len(good.time) and set(found.segment.tolist()) == {1}
    assert stitch([bad], "flux").time.shape == (0,)
    assert stitch([bad], "mag").how == (REFERENCE,), "magnitudes may be negative"


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="no segment"):
        stitch([], "flux")
    with pytest.raises(InputError, match="segment s1: arrays of different length"):
        stitch([Segment("s1", np.arange(3.0), np.arange(2.0), np.arange(3.0))], "mag")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_every_usable_point_comes_out_once_and_in_order(labels, seed):
    random = np.random.default_rng(seed)
    time, value = random.uniform(0, 10, len(labels)), random.normal(15, 1, len(labels))
    error = np.where(random.random(len(labels)) < 0.1, 0.0, 0.1)
    value[random.random(len(labels)) < 0.1] = np.nan
    found = stitch_points(time, value, error, np.array(labels), "mag")
    usable = np.isfinite(value) & (error > 0)
    assert found.time.tolist() == np.sort(time[usable]).tolist()
    assert len(found.how) == len(set(labels))
