import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.models.keras_augment import (
    CURVES,
    SPECTRA,
    CurveAugmenter,
    SpectrumAugmenter,
    blurred,
    noisier,
    shifted,
    strengths,
)


def spectra(n=40, bins=300, seed=0):
    rng = np.random.default_rng(seed)
    ivar = rng.uniform(100, 900, (n, bins)).astype(np.float32)
    ivar[rng.random((n, bins)) < 0.1] = 0
    flux = 1 + rng.normal(size=(n, bins)) / np.sqrt(np.where(ivar > 0, ivar, 1))
    return np.where(ivar > 0, flux, 1).astype(np.float32), ivar


def test_added_noise_is_what_the_new_errors_say():
    flux, ivar = spectra(n=200)
    more, less = noisier(flux, ivar, np.full(200, 1.5), np.random.default_rng(1))
    seen = ivar > 0
    assert less[seen] == pytest.approx(ivar[seen] / 2.25)
    assert ((more - 1)[seen] * np.sqrt(less[seen])).std() == pytest.approx(1.0, abs=0.02)
    assert (more[~seen] == flux[~seen]).all()


def test_shift_moves_whole_and_half_bins():
    flux = np.array([[1, 2, 3, 4, 5, 6]], dtype=np.float32)
    ivar = np.array([[4, 4, 4, 0, 4, 4]], dtype=np.float32)
    moved, weight = shifted(flux, ivar, np.array([1.0]))
    assert weight[0].tolist() == [0, 4, 4, 4, 0, 4]
    assert moved[0, [1, 2, 3, 5]].tolist() == [1, 2, 3, 5]
    moved, weight = shifted(flux, ivar, np.array([-0.5]))
    assert moved[0, :2].tolist() == [1.5, 2.5]
    assert weight[0].tolist() == [8, 8, 0, 0, 8, 0]  # two independent halves; a masked neighbour masks
    same, weight = shifted(flux, ivar, np.array([0.0]))
    assert (same == flux).all()
    assert (weight == ivar).all()


def test_blur_keeps_the_light_and_does_not_spread_masked_bins():
    flux, ivar = np.zeros((1, 21), np.float32), np.ones((1, 21), np.float32)
    flux[0, 10] = 1
    wide, _ = blurred(flux, ivar, np.array([0.8]))
    assert wide.sum() == pytest.approx(1, abs=1e-4)
    assert (wide[0] * (np.arange(21) - 10) ** 2).sum() == pytest.approx(0.64, abs=0.01)
    ivar[0, 10] = 0
    wide, after = blurred(flux, ivar, np.array([0.8]))
    assert np.delete(wide[0], 10).max() == 0
    assert after[0, 10] == 0


@given(st.integers(0, 2**32))
def test_spectra_keep_their_masks_and_repeat_by_seed(seed):
    flux, ivar = spectra(n=6, bins=80)
    change = SpectrumAugmenter(SPECTRA, 3e-4)
    one, weight = change(flux, ivar, np.random.default_rng(seed))
    two, again = change(flux, ivar, np.random.default_rng(seed))
    assert (one == two).all()
    assert (weight == again).all()
    assert np.isfinite(one).all()
    assert (weight >= 0).all()
    assert (one[weight == 0] == 1).all()


def test_nothing_changes_when_it_is_off():
    flux, ivar = spectra()
    off = SpectrumAugmenter(strengths("m", SPECTRA, None), 3e-4)
    one, weight = off(flux, ivar, np.random.default_rng(0))
    assert one == pytest.approx(flux, abs=1e-6)
    assert weight == pytest.approx(ivar)
    time = np.arange(50.0)
    curve = CurveAugmenter(strengths("m", CURVES, None))(time, time, time, np.random.default_rng(0))
    assert curve[0] is time
    assert curve[3] == 1.0


@given(st.integers(0, 2**32), st.integers(0, 200))
def test_curves_stay_in_order_and_keep_their_noise_honest(seed, n):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 30, n))
    change = CurveAugmenter({**CURVES, "share": 1.0})
    found = change(time, np.zeros(n), np.full(n, 0.01), np.random.default_rng(seed))
    again = change(time, np.zeros(n), np.full(n, 0.01), np.random.default_rng(seed))
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    assert len(found[0]) == len(found[1]) == len(found[2]) >= min(n, 8)
    assert (np.diff(found[0]) >= 0).all()
    assert np.isin(np.round(found[0] / found[3], 9), np.round(time, 9)).all()
    if n >= 8:
        added = found[1] / np.sqrt(np.maximum(found[2] ** 2 - 0.01**2, 1e-30))
        assert np.abs(added).max() < 7


def test_strengths_are_checked():
    with pytest.raises(InputError, match="unknown wobble"):
        strengths("m", CURVES, {"wobble": 1})
    with pytest.raises(InputError, match="noise must be"):
        strengths("m", CURVES, {"noise": -1})
    assert strengths("m", CURVES, {"crop": 0.9})["crop"] == 0.9
