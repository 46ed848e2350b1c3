import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.models import create, load_model
from stellar.models.mk_types import subtype_name, subtype_numbers
from stellar.models.spectra import Spectra
from stellar.models.templates import deviations, fine_structure, neighbour_weights, scale_difference

FEATURES = ["flux", "ivar", "mask"]
BINS = 1252
WAVE = 3850.0 * 10 ** (3e-4 * (np.arange(BINS) + 0.5))
LINES = [(4341.7, 12.0, 0.5, 15.0), (4862.7, 12.0, 0.6, 20.0), (3934.8, 8.0, 0.7, 45.0), (4305.6, 8.0, 0.4, 45.0)]
LINES += [(5176.7, 14.0, 0.4, 52.0), (6564.6, 10.0, 0.5, 24.0), (5894.6, 6.0, 0.5, 58.0), (5450.0, 30.0, 0.3, 65.0)]


def model_flux(types, slope=0.0):
    """Spectra whose lines wax and wane with the type, on a slope that says nothing."""
    types = np.asarray(types, dtype=float)
    flux = np.ones((len(types), BINS))
    for centre, width, depth, peak in LINES:
        strength = depth * np.exp(-0.5 * ((types - peak) / 12) ** 2)
        flux -= strength[:, None] * np.exp(-0.5 * ((WAVE - centre) / width) ** 2)
    return flux * (1 + slope * (WAVE - 6000) / 3000)


def table(flux, sn, seed=0, masked=0.0, **columns):
    rng = np.random.default_rng(seed)
    noisy = flux * (1 + rng.normal(size=flux.shape) / sn)
    mask = rng.random(flux.shape) < masked
    lists = {
        "flux": pa.array(np.where(mask, np.nan, noisy).tolist(), pa.list_(pa.float32())),
        "ivar": pa.array(np.where(mask, 0.0, (sn / flux) ** 2).tolist(), pa.list_(pa.float32())),
        "mask": pa.array(mask.tolist(), pa.list_(pa.bool_())),
    }
    return pa.table(lists | {name: pa.array(values) for name, values in columns.items()})


TYPES = np.repeat(np.arange(20, 66), 3)


@pytest.fixture(scope="module")
def fitted():
    frame = table(model_flux(TYPES), sn=80)
    return create("template_match", features=FEATURES).fit(frame, [subtype_name(k) for k in TYPES])


def test_types_of_noisy_spectra_with_gaps_and_another_slope(fitted):
    types = np.arange(23, 63)
    frame = table(model_flux(types, slope=0.4), sn=25, seed=1, masked=0.15)
    error = np.abs(fitted.predict_subtype(frame) - types)
    assert error.mean() < 1.5
    assert fitted.predict_class(frame) == [subtype_name(k) for k in fitted.predict_subtype(frame)]


def test_probabilities_are_a_distribution_around_the_answer(fitted):
    types = np.arange(28, 58)
    frame = table(model_flux(types), sn=40, seed=2)
    p = fitted.predict_proba(frame)
    assert p.shape == (len(types), len(fitted.classes_)) == (30, 43)
    assert p.sum(axis=1) == pytest.approx(1)
    mean = p @ subtype_numbers(fitted.classes_)
    assert mean == pytest.approx(fitted.predict_subtype(frame), abs=0.3)
    near = np.abs(subtype_numbers(fitted.classes_)[None] - types[:, None]) <= 5
    assert (p * near).sum(axis=1).min() > 0.5


def test_an_empty_spectrum_may_be_anything(fitted):
    frame = table(model_flux([40]), sn=20, masked=1.0)
    p = fitted.predict_proba(frame)
    assert p.sum() == pytest.approx(1)
    assert p.max() < 0.1
    assert fitted.predict_class(frame)[0][0] in "FG"  # the middle of all templates
    assert fitted.predict_proba(frame.slice(0, 0)).shape == (0, 43)
    assert fitted.predict_class(frame.slice(0, 0)) == []


def test_a_library_is_moved_to_the_scale_of_the_reference():
    own, theirs = np.repeat(np.arange(20, 65), 4), np.arange(22, 62, 2)
    later = own + 4  # the library calls every star four subtypes later
    frame = pa.concat_tables(
        [
            table(model_flux(own), sn=60, library=["survey"] * len(own)),
            table(model_flux(theirs), sn=60, seed=1, library=["standards"] * len(theirs)),
        ]
    )
    names = [subtype_name(k) for k in [*later, *theirs]]
    star = table(model_flux(np.arange(25, 60)), sn=40, seed=3)
    error = {}
    for reference in (None, "standards"):
        model = create("template_match", features=FEATURES, reference=reference, voters=["survey"])
        error[reference] = np.mean(model.fit(frame, names).predict_subtype(star) - np.arange(25, 60))
    assert error[None] == pytest.approx(4, abs=0.6)
    assert error["standards"] == pytest.approx(0, abs=0.8)
    assert model.history["libraries"]["survey"]["moved_by"] == pytest.approx(-4, abs=0.8)


def test_scale_difference_outvotes_wrong_types():
    rng = np.random.default_rng(5)
    own = rng.uniform(20, 60, 60)
    found = own + 3 + rng.normal(0, 1, 60)
    own[:6] += 20  # metal-poor stars with a type from elsewhere
    assert scale_difference(found, own, np.array([30.0, 45.0]), 8.0, 0.3) == pytest.approx([3, 3], abs=0.8)
    # far from any star of the reference nothing is known, and nothing moved
    assert scale_difference(found, own, np.array([0.0]), 4.0, 0.3)[0] == pytest.approx(0, abs=0.3)
    assert scale_difference(own, own, np.array([30.0]), 8.0, 0.3)[0] == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_deviations_are_the_weighted_mean_over_common_bins(seed):
    rng = np.random.default_rng(seed)
    flux, ivar = 1 + 0.1 * rng.normal(size=(5, 30)), rng.uniform(0, 500, (5, 30)) * (rng.random((5, 30)) < 0.6)
    one, many = Spectra(flux[:2], ivar[:2]), Spectra(flux[2:], ivar[2:])
    found = deviations(one, many, 0.05)
    for i in range(2):
        for j in range(3):
            common = (one.ivar[i] > 0) & (many.ivar[j] > 0)
            if not common.any():
                assert found[i, j] == np.inf
                continue
            weight = 1 / (1 / one.ivar[i][common] + 0.05**2)
            expected = np.average((one.flux[i] - many.flux[j])[common] ** 2, weights=weight)
            assert found[i, j] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_neighbour_weights_prefer_what_fits():
    weights = neighbour_weights(np.array([[1.0, 4.0, 2.0, np.inf]]), 3, 1.0, np.ones(4))
    assert weights[0] == pytest.approx(np.array([1, 0.25, 0.5, 0]) / 1.75)
    assert neighbour_weights(np.full((1, 3), np.inf), 2, 1.0, np.ones(3)).sum() == 0


def test_fine_structure_forgets_the_slope_and_the_gaps():
    flux = model_flux([45, 45])
    flux[1] *= 2 - (WAVE - 3850) / 6000
    ivar = np.full(flux.shape, 100.0)
    ivar[1, 300:330] = 0
    spectra = fine_structure(Spectra(np.where(ivar > 0, flux, 1.0), ivar), 40)
    assert (spectra.ivar[1, 300:330] == 0).all()
    away = (np.abs(np.arange(BINS) - 315) > 40) & (np.arange(BINS) > 30) & (np.arange(BINS) < BINS - 30)
    assert spectra.flux[0][away] == pytest.approx(spectra.flux[1][away], abs=0.02)


def test_same_bytes_and_same_answers_after_loading(fitted, tmp_path):
    frame = table(model_flux(TYPES), sn=80)
    again = create("template_match", features=FEATURES).fit(frame, [subtype_name(k) for k in TYPES])
    fitted.save(tmp_path / "one")
    again.save(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["model.json", "templates.npz"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    star = table(model_flux([30, 50]), sn=20, seed=9)
    loaded = load_model(tmp_path / "one")
    assert (loaded.predict_proba(star) == fitted.predict_proba(star)).all()
    assert loaded.predict_class(star) == fitted.predict_class(star)


def test_refusals(fitted):
    frame = table(model_flux([30, 40, 50]), sn=50, library=["a", "a", "b"])
    new = lambda **params: create("template_match", features=FEATURES, **params)  # noqa: E731
    with pytest.raises(InputError, match="label 'WD' of example 1 is no MK type"):
        new().fit(frame, ["G2", "WD", "K0"])
    with pytest.raises(InputError, match="no template of standards; the frame has a, b"):
        new(reference="standards").fit(frame, ["A0", "G0", "K0"])
    with pytest.raises(InputError, match="lacks column library"):
        new(reference="a").fit(frame.drop(["library"]), ["A0", "G0", "K0"])
    with pytest.raises(InputError, match="all templates are of one type"):
        new().fit(frame, ["G0", "G0", "G0"])
    with pytest.raises(InputError, match="unknown parameter neighbors"):
        new(neighbors=3)
    with pytest.raises(InputError, match="features must be"):
        create("template_match", features=[*FEATURES, "colour"])
    with pytest.raises(InputError, match="not fitted yet"):
        new().predict_subtype(frame)
    with pytest.raises(InputError, match="leave none"):
        new(range_angstrom=[100, 200]).fit(frame, ["A0", "G0", "K0"])
    with pytest.raises(InputError, match="another grid"):
        fitted.predict_subtype(table(model_flux([40])[:, :900], sn=50))
    uneven = frame.set_column(0, "flux", pa.array([[1.0]] * 2 + [[1.0, 2.0]], pa.list_(pa.float32())))
    with pytest.raises(InputError, match="row 2 2; spectra must"):
        new().fit(uneven, ["A0", "G0", "K0"])
