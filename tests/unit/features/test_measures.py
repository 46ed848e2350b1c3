import numpy as np
import pytest

from stellar.features.lightcurve_columns import FEATURES
from stellar.features.lightcurves import DEFAULTS, MAGNITUDES
from stellar.features.measures import curves_features
from stellar.features.variability import clean

SETTINGS = {**DEFAULTS, **MAGNITUDES, "fmax_per_day": 5.0}


def curve(seed, signal=lambda time: 0.3 * np.sin(2 * np.pi * time / 0.61), points=400, days=300.0):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, int(days), points) + rng.uniform(0, 0.33, points))
    mag = 12 + signal(time) + 0.01 * rng.normal(size=points)
    return clean(time, mag, np.full(points, 0.01), None, kind="mag", bits=0, settings=SETTINGS)


def test_features_do_not_depend_on_threads_or_company():
    curves = [curve(seed, points=100 + 40 * seed, days=100.0 + 150 * (seed % 3)) for seed in range(7)]
    together = curves_features(curves, SETTINGS)
    threaded = curves_features(curves, SETTINGS, threads=2)
    alone = [curves_features([one], SETTINGS)[0] for one in curves]
    for one, two, three in zip(together, threaded, alone, strict=True):
        assert set(one) == {feature.name for feature in FEATURES}
        for name, value in one.items():
            np.testing.assert_array_equal(value, two[name], err_msg=name)
            np.testing.assert_array_equal(value, three[name], err_msg=name)
    assert curves_features([], SETTINGS) == []


def test_three_frequencies_come_out_one_after_the_other():
    def signal(time):
        return sum(a * np.cos(2 * np.pi * f * time + f) for a, f in ((0.3, 1.7), (0.1, 2.9), (0.03, 0.45)))

    found = curves_features([curve(1, signal)], SETTINGS)[0]
    for number, (amplitude, frequency) in enumerate(((0.3, 1.7), (0.1, 2.9), (0.03, 0.45)), 1):
        assert found[f"f{number}_log10_frequency"] == pytest.approx(np.log10(frequency), abs=1e-3)
        # of ln flux: 0.921 for a magnitude
        assert 10 ** found[f"f{number}_log10_amplitude"] == pytest.approx(0.921 * amplitude, rel=0.1)
    assert 1 > found["f1_residual"] > found["f2_residual"] > found["f3_residual"]
    assert found["f3_residual"] < 0.01


def test_eclipses_of_unlike_depth_give_the_whole_period_and_the_deeper_one():
    def signal(time):
        phase = np.mod(time / 3.137, 1)
        return 0.5 * (np.abs(phase - 0.2) < 0.03) + 0.25 * (np.abs(phase - 0.7) < 0.03)

    found = curves_features([curve(2, signal, points=1500)], SETTINGS)[0]
    assert found["period_d"] == pytest.approx(3.137, rel=1e-3)
    assert found["bls_power"] > 0.4
    assert found["bls_depth"] > 0.2
    without = curves_features([curve(2, signal, points=1500)], SETTINGS | {"boxes": False})[0]
    assert np.isnan(without["bls_power"])
    # magnitudes that only brighten have no dips to look for
    assert np.isnan(curves_features([curve(3, lambda time: -signal(time))], SETTINGS)[0]["bls_power"])


def test_slow_and_fast_peaks():
    found = curves_features(
        [curve(4, lambda time: 0.2 * np.sin(2 * np.pi * time / 80) + 0.4 * np.sin(2 * np.pi * time * 1.3))], SETTINGS
    )[0]
    assert 10 ** found["slow_log10_frequency"] == pytest.approx(1 / 80, rel=0.1)
    assert 10 ** found["fast_log10_frequency"] == pytest.approx(1.3, rel=0.01)
    short = curves_features([curve(5, points=60, days=8.0)], SETTINGS)[0]
    assert np.isnan(short["slow_power"])
