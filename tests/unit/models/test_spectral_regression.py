import json

import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.models import create, load_model
from stellar.models.spectral_regression import stacked

FEATURES = ["flux", "ivar", "mask", "g_r", "library"]
TARGETS = ("teff_k", "feh_dex")
PARAMS = {"domain": "library", "survey": "lamost", "members": [{}, {"scalars": ["g_r"], "libraries": False}]}
BINS = 120


def stars(n=80, seed=0, library="lamost", noise=0.02):
    """Two lines whose depths follow temperature and metallicity; a tenth of the bins masked, holding NaN."""
    rng = np.random.default_rng(seed)
    teff, feh = rng.uniform(4000, 8000, n), rng.uniform(-1, 0.5, n)
    bins = np.arange(BINS)
    hot = (teff[:, None] - 4000) / 4000
    flux = 1 - (0.1 + 0.5 * hot) * np.exp(-0.5 * ((bins - 30) / 4) ** 2)
    flux -= (0.3 + 0.2 * feh[:, None]) * (1.2 - hot) * np.exp(-0.5 * ((bins - 80) / 3) ** 2)
    sigma = noise * rng.uniform(0.5, 2, (n, 1))
    flux += sigma * rng.normal(size=flux.shape)
    mask = rng.random(flux.shape) < 0.1
    table = pa.table(
        {
            "flux": pa.array(np.where(mask, np.nan, flux).tolist(), pa.list_(pa.float32())),
            "ivar": pa.array(np.where(mask, 0.0, sigma**-2).tolist(), pa.list_(pa.float32())),
            "mask": pa.array(mask.tolist(), pa.list_(pa.bool_())),
            "g_r": pa.array([None if k % 9 == 0 else 6000 / t for k, t in enumerate(teff)], pa.float64()),
            "library": pa.array([library] * n, pa.string()),
        }
    )
    return table, {"teff_k": teff, "feh_dex": feh}


def new(**params):
    return create("spectral_regression", features=FEATURES, targets=TARGETS, **{**PARAMS, **params})


@pytest.fixture(scope="module")
def fitted():
    return new().fit(*stars(), seed=3)


def error(model, target, seed=1):
    table, truth = stars(200, seed)
    return float(np.abs(model.predict_dist(table, target).median - truth[target]).mean())


def test_learns_both_targets_and_its_intervals_hold(fitted):
    table, truth = stars(300, 1)
    assert error(fitted, "teff_k") < 150
    # a constant misses by 1,000 K and 0.37 dex
    assert error(fitted, "feh_dex") < 0.18
    for target in TARGETS:
        found = fitted.predict_dist(table, target)
        assert (np.diff(found.values, axis=1) >= 0).all()
        low, high = found.interval(0.1)
        assert 0.8 < ((truth[target] >= low) & (truth[target] <= high)).mean() < 0.98


def test_labels_may_be_missing(fitted):
    table, truth = stars()
    truth["feh_dex"] = np.where(np.arange(80) % 2, truth["feh_dex"], np.nan)
    half = new().fit(table, truth, seed=3)
    assert half.history["feh_dex"]["examples"] == 40
    assert error(half, "teff_k") == pytest.approx(error(fitted, "teff_k"))
    assert error(half, "feh_dex") < 0.2


def test_a_library_on_another_scale_does_not_shift_the_survey():
    few, truth = stars(20, 5)
    many, other = stars(150, 6, "templates")
    labels = {t: np.concatenate([truth[t], other[t]]) for t in TARGETS}
    labels["teff_k"][20:] *= 1.15
    both = pa.concat_tables([few, many])
    told = new(members=[{}]).fit(both, labels)
    assert error(told, "teff_k") < 250
    untold = new(members=[{}]).fit(both.drop_columns(["library"]), labels)
    assert error(untold, "teff_k") > 2 * error(told, "teff_k")


def test_predictions_need_no_library_column(fitted):
    table, _ = stars(20, 7)
    expected = fitted.predict_dist(table, "teff_k").values
    assert (fitted.predict_dist(table.drop_columns(["library"]), "teff_k").values == expected).all()


def test_a_spectrum_that_shows_nothing_gets_the_middle_of_the_labels_and_a_wide_interval(fitted):
    table, _ = stars(3, 8)
    blank = table.set_column(2, "mask", pa.array([[True] * BINS] * 3))
    found, seen = fitted.predict_dist(blank, "teff_k"), fitted.predict_dist(table, "teff_k")
    assert found.median == pytest.approx(np.median(stars()[1]["teff_k"]), rel=0.02)
    (low, high), (seen_low, seen_high) = found.interval(0.1), seen.interval(0.1)
    assert ((high - low) > 2 * (seen_high - seen_low)).all()


def test_a_noisier_spectrum_has_a_wider_interval(fitted):
    def width(noise):
        low, high = fitted.predict_dist(stars(50, 9, noise=noise)[0], "teff_k").interval(0.1)
        return np.median(high - low)

    assert width(0.08) > 1.2 * width(0.01)


def test_no_prediction_lies_far_beyond_the_labels(fitted):
    table, _ = stars(5, 10)
    strange = table.set_column(0, "flux", pa.array([[3.0] * BINS] * 5, pa.list_(pa.float32())))
    median = fitted.predict_dist(strange, "teff_k").median
    assert ((median >= 3900) & (median <= 8100)).all()


def test_same_seed_same_bytes_and_loads_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "one")
    new().fit(*stars(), seed=3).save(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["model.json", "processes.npz"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    loaded, (table, _) = load_model(tmp_path / "one"), stars(20, 11)
    for target in TARGETS:
        assert (loaded.predict_dist(table, target).values == fitted.predict_dist(table, target).values).all()
    assert loaded.predict_dist(table.slice(0, 0), "teff_k").values.shape == (0, 11)
    assert json.loads((tmp_path / "one" / "model.json").read_text())["seed"] == 3


def test_many_rows_are_drawn_from():
    table, truth = stars(300, 12)
    library = pa.array(["lamost"] * 40 + ["templates"] * 260)
    few = new(max_rows=100, search_rows=50).fit(table.set_column(4, "library", library), truth)
    assert few.history["rows"] == 100
    assert few.history["rows_not_drawn"] == 200
    assert few.history["teff_k"]["examples"] == 40  # none of the survey's own is lost


def test_a_row_without_weight_does_not_count(fitted):
    table, truth = stars()
    broken = {name: np.concatenate([values, np.full(20, values.max())]) for name, values in truth.items()}
    longer = pa.concat_tables([table, stars(20, 13)[0]])
    weight = np.concatenate([np.ones(80), np.zeros(20)])
    again = new().fit(longer, broken, sample_weight=weight, seed=3)
    probe, _ = stars(10, 14)
    assert (again.predict_dist(probe, "teff_k").values == fitted.predict_dist(probe, "teff_k").values).all()


def test_refusals(fitted):
    table, truth = stars(30, 15)
    short = table.set_column(0, "flux", pa.array([[1.0] * 5] * 30)).set_column(1, "ivar", pa.array([[1.0] * 5] * 30))
    short = short.set_column(2, "mask", pa.array([[False] * 5] * 30))
    with pytest.raises(InputError, match="another grid"):
        fitted.predict_dist(short, "teff_k")
    with pytest.raises(InputError, match="no target 'rv'"):
        fitted.predict_dist(table, "rv")
    with pytest.raises(InputError, match="not fitted"):
        new().predict_dist(table, "teff_k")
    with pytest.raises(InputError, match="0 readable spectra of the survey gaia"):
        new(survey="gaia").fit(table, truth)
    with pytest.raises(InputError, match="labels lack target feh_dex"):
        new().fit(table, {"teff_k": truth["teff_k"]})
    with pytest.raises(InputError, match="row 2 has -1"):
        new().fit(table, {**truth, "teff_k": np.where(np.arange(30) == 2, -1.0, truth["teff_k"])})
    with pytest.raises(InputError, match="reads bp_rp, not among the features"):
        new(members=[{"scalars": ["bp_rp"]}])
    with pytest.raises(InputError, match="unknown parameter rank"):
        new(members=[{"rank": 3}])
    with pytest.raises(InputError, match="features lack mask"):
        create("spectral_regression", features=["flux", "ivar"], targets=TARGETS)


def test_shares_follow_the_better_member_and_add_up_to_one():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=200)
    left_out = truth + rng.normal(size=(3, 200)) * np.array([[0.1], [0.5], [0.5]])
    shares = stacked(left_out, truth, 0.1)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > 0.7
    assert stacked(left_out, truth, 1e6) == pytest.approx(np.full(3, 1 / 3), abs=1e-3)
    assert stacked(left_out, truth, None).tolist() == [1 / 3] * 3


def test_members_are_heard_by_how_sure_they_are_of_a_star(tmp_path):
    """A second member whose colour is there for a part of the stars only, and says all."""
    table, truth = stars(120, 5, noise=0.3)
    has = np.arange(120) % 2 == 0
    colour = pa.array([t / 1000 if k else None for t, k in zip(truth["teff_k"], has, strict=True)], pa.float64())
    table = table.set_column(table.schema.get_field_index("g_r"), "g_r", colour)
    members = [{}, {"scalars": ["g_r"]}]
    learnt, shown = table.slice(0, 80), table.slice(80)
    y = {name: values[:80] for name, values in truth.items()}
    plain = new(members=members, stacking=1e6).fit(learnt, y, seed=3)
    sure = new(members=members, stacking=1e6, by_precision=True).fit(learnt, y, seed=3)
    miss = [np.abs(one.predict_dist(shown, "teff_k").median - truth["teff_k"][80:])[has[80:]].mean()
            for one in (plain, sure)]  # fmt: skip
    assert miss[1] < 0.95 * miss[0]
    sure.save(tmp_path)
    again = load_model(tmp_path).predict_dist(shown, "teff_k").values
    np.testing.assert_array_equal(again, sure.predict_dist(shown, "teff_k").values)
