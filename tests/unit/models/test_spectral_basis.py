import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.models.spectra import Spectra, spectra_of
from stellar.models.spectral_basis import SpectralBasis, degraded, running_mean

PARAMS = {"high_pass_bins": 0, "clip": 1.5, "noise_scale": 0.1, "weight_power": 2.0, "components": 50}


def spectra(n=30, bins=40, seed=0):
    rng = np.random.default_rng(seed)
    flux = 1 - 0.3 * rng.random((n, 1)) * np.exp(-0.5 * ((np.arange(bins) - 20) / 3) ** 2)
    flux += 0.01 * rng.normal(size=(n, bins))
    return Spectra(flux, np.full((n, bins), 1e4))


def table(flux, ivar, mask):
    return pa.table({"flux": flux, "ivar": ivar, "mask": mask})


def test_bad_bins_say_nothing():
    X = table([[1.0, None, np.nan, 0.5]], [[4.0, 4.0, 4.0, 4.0]], [[False, False, False, True]])
    found = spectra_of(X)
    assert found.flux.tolist() == [[1, 1, 1, 1]]
    assert found.ivar.tolist() == [[4, 0, 0, 0]]
    assert found.noise().tolist() == [0.25]


@pytest.mark.parametrize(
    ("X", "says"),
    [
        (pa.table({"flux": [[1.0]], "ivar": [[1.0]]}), "lacks list column mask"),
        (table([1.0], [[1.0]], [[False]]), "a list of values"),
        (table([[1.0], None], [[1.0], [1.0]], [[False], [False]]), "row 1 is null"),
        (table([[1.0], [1.0, 2.0]], [[1.0], [1.0]], [[False], [False]]), "row 1 2; spectra must all be on one grid"),
        (table([[1.0, 2.0]], [[1.0]], [[False]]), "on one grid"),
    ],
)
def test_what_is_no_spectrum_is_refused(X, says):
    with pytest.raises(InputError, match=says):
        spectra_of(X)


def test_another_grid_is_refused_and_no_rows_are_no_grid():
    X = table([[1.0, 2.0]], [[1.0, 1.0]], [[False, False]])
    with pytest.raises(InputError, match="another grid"):
        spectra_of(X, bins=3)
    assert len(spectra_of(X.slice(0, 0), bins=3).flux) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 1000))
def test_running_mean_is_the_mean_of_the_neighbours(bins, half, seed):
    rng = np.random.default_rng(seed)
    values, weight = rng.normal(size=(1, bins)), rng.integers(0, 2, (1, bins)).astype(float)
    found = running_mean(values, weight, 2 * half + 1)[0]
    for k in range(bins):
        window = slice(max(0, k - half), k + half + 1)
        total = weight[0, window].sum()
        expected = (weight[0, window] * values[0, window]).sum() / total if total else np.nan
        assert found[k] == pytest.approx(expected, nan_ok=True)


def test_scores_keep_the_distances_of_the_spectra():
    shown = spectra()
    basis = SpectralBasis.fit(shown, np.ones(30, bool), PARAMS)
    scores = basis.scores(shown)
    plain = (shown.flux - 1 - basis.mean) * basis.weight / basis.scale
    assert scores @ scores.T == pytest.approx(plain @ plain.T, abs=1e-6)
    assert (scores**2).sum(axis=1).mean() == pytest.approx(1)


def test_fewer_components_keep_the_line():
    shown = spectra()
    basis = SpectralBasis.fit(shown, np.ones(30, bool), {**PARAMS, "components": 1})
    depth = 1 - shown.flux[:, 18:23].mean(axis=1)
    assert abs(np.corrcoef(basis.scores(shown)[:, 0], depth)[0, 1]) > 0.99


def test_a_faint_star_keeps_the_depth_of_its_lines():
    shown = spectra()
    basis = SpectralBasis.fit(shown, np.ones(30, bool), PARAMS)
    faint = Spectra(shown.flux, shown.ivar / 1e4)
    assert (basis.scores(faint) == basis.scores(shown)).all()


def test_high_pass_takes_out_a_slope():
    shown = spectra(bins=200)
    basis = SpectralBasis.fit(shown, np.ones(30, bool), {**PARAMS, "high_pass_bins": 21})
    tilted = Spectra(shown.flux * np.linspace(0.8, 1.2, 200), shown.ivar)
    assert basis.scores(tilted) == pytest.approx(basis.scores(shown), abs=0.3)
    plain = SpectralBasis.fit(shown, np.ones(30, bool), PARAMS)
    assert np.abs(plain.scores(tilted) - plain.scores(shown)).max() > 1


def test_degraded_spectra_have_the_noise_that_they_say():
    flux, ivar = np.ones((40, 500)), np.full((40, 500), 1e4)
    ivar[:20], ivar[20:, :50] = 100.0, 0.0
    before = Spectra(flux, ivar)
    survey = np.arange(40) < 20
    after = degraded(before, survey, np.random.default_rng(0))
    assert (after.flux[survey] == 1).all()
    assert (after.ivar[survey] == 100).all()
    assert after.ivar[20:, 50:] == pytest.approx(100)
    assert (after.ivar[20:, :50] == 0).all()
    assert after.flux[20:, 50:].std() == pytest.approx(np.sqrt(0.01 - 1e-4), rel=0.02)
