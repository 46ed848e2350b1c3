import json
import zipfile

import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError, IntegrityError
from stellar.models import create, load_model

SMALL = {"filters": [4, 8], "kernels": [5, 3], "dense": 8, "epochs": 30, "batch_size": 16, "learning_rate": 0.01}
SMALL |= {"augment": {"velocity_kms": 0, "gap_bins": 5}}  # the grid has but 60 bins
FEATURES = ["flux", "ivar", "mask", "colour"]


def spectra(n=240, bins=60, seed=0):
    """One line per class at its own place, noise of 5%; a fifth of the bins masked, holding NaN."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    flux = 1 + 0.05 * rng.normal(size=(n, bins))
    for row, k in enumerate(kind):
        flux[row, 10 + 15 * k : 14 + 15 * k] -= 0.5
    mask = rng.random((n, bins)) < 0.2
    ivar = np.where(mask, 0.0, 400.0)
    table = pa.table(
        {
            "flux": pa.array(np.where(mask, np.nan, flux).tolist(), pa.list_(pa.float32())),
            "ivar": pa.array(ivar.tolist(), pa.list_(pa.float32())),
            "mask": pa.array(mask.tolist(), pa.list_(pa.bool_())),
            "colour": pa.array([None if row % 7 == 0 else float(row) for row in range(n)]),
        }
    )
    return table, np.array(["A", "G", "M"])[kind]


@pytest.fixture(scope="module")
def fitted():
    table, labels = spectra()
    held = spectra(60, seed=1)
    return create("spectral_cnn", features=FEATURES, **SMALL).fit(table, labels, validation=held, seed=4)


def test_learns_through_masks_and_missing_scalars(fitted):
    table, labels = spectra(60, seed=2)
    p = fitted.predict_proba(table)
    assert np.isfinite(p).all()
    assert p.sum(axis=1) == pytest.approx(1)
    assert (np.array(fitted.classes_)[p.argmax(axis=1)] == labels).mean() > 0.9


def test_same_seed_same_weights_and_bytes(fitted, tmp_path):
    table, labels = spectra()
    again = create("spectral_cnn", features=FEATURES, **SMALL)
    again.fit(table, labels, validation=spectra(60, seed=1), seed=4)
    assert (again.predict_proba(table) == fitted.predict_proba(table)).all()
    assert again.history == fitted.history
    fitted.save(tmp_path / "one")
    again.save(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["model.json", "network.keras"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_saved_without_code_and_loads_the_same(fitted, tmp_path):
    table, _ = spectra(20, seed=3)
    fitted.save(tmp_path)
    with zipfile.ZipFile(tmp_path / "network.keras") as archive:
        assert set(archive.namelist()) == {"config.json", "metadata.json", "model.weights.h5"}
    loaded = load_model(tmp_path)
    assert (loaded.predict_proba(table) == fitted.predict_proba(table)).all()
    assert loaded.predict_proba(table.slice(0, 0)).shape == (0, 3)


def test_refusals(fitted):
    with pytest.raises(InputError, match="another grid"):
        fitted.predict_proba(spectra(5, bins=50)[0])
    table, labels = spectra(5)
    ragged = table.set_column(0, "flux", pa.array([[1.0]] * 4 + [[1.0, 2.0]], pa.list_(pa.float32())))
    with pytest.raises(InputError, match="one grid"):
        create("spectral_cnn", features=FEATURES, **SMALL).fit(ragged, labels)
    with pytest.raises(InputError, match="features lack mask"):
        create("spectral_cnn", features=["flux", "ivar"])


TRANSFORMER = {"patch": 6, "stem": 4, "width": 16, "blocks": 1, "attention_heads": 2, "token_outputs": 6, "dense": 8}
TRANSFORMER |= {"epochs": 14, "batch_size": 16, "learning_rate": 0.01, "reconstruct": 0.5, "reconstruct_share": 0.2}
TRANSFORMER |= {"augment": {"velocity_kms": 0, "gap_bins": 5}}


def test_transformer_learns_and_does_not_see_masked_patches(tmp_path):
    table, labels = spectra()
    model = create("spectral_transformer", features=FEATURES, **TRANSFORMER).fit(table, labels, seed=1)
    new, truth = spectra(60, seed=2)
    p = model.predict_proba(new)
    assert (np.array(model.classes_)[p.argmax(axis=1)] == truth).mean() > 0.85
    # what stands under the mask, and the inverse variance there, says nothing
    values = {name: np.array(new[name].to_pylist()) for name in ("flux", "ivar", "mask")}
    values["mask"][:, 24:36] = True
    hidden = new.set_column(2, "mask", pa.array(values["mask"].tolist(), pa.list_(pa.bool_())))
    values["flux"][:, 24:36], values["ivar"][:, 24:36] = 1e6, 1e6
    strange = hidden.set_column(0, "flux", pa.array(values["flux"].tolist(), pa.list_(pa.float32())))
    strange = strange.set_column(1, "ivar", pa.array(values["ivar"].tolist(), pa.list_(pa.float32())))
    assert (model.predict_proba(strange) == model.predict_proba(hidden)).all()
    nothing = new.set_column(2, "mask", pa.array(np.ones_like(values["mask"]).tolist(), pa.list_(pa.bool_())))
    assert np.isfinite(model.predict_proba(nothing)).all()
    model.save(tmp_path)
    assert (load_model(tmp_path).predict_proba(new) == p).all()


def depths(n=300, seed=0):
    """Spectra whose line depth tells Teff, whose line place tells the class; a third of each label is missing."""
    table, labels = spectra(n, seed=seed)
    rng = np.random.default_rng(seed + 100)
    depth = rng.uniform(0.2, 0.8, n)
    flux = np.array(table["flux"].to_pylist())
    flux += np.where(flux < 0.7, 0.5 - depth[:, None], 0)
    teff = 4000 * (1 + depth) * np.exp(0.01 * rng.normal(size=n))
    y = {
        "spectral_class": np.where(rng.random(n) < 0.3, None, labels.astype(object)),
        "teff_k": np.where(rng.random(n) < 0.3, np.nan, teff),
    }
    return table.set_column(0, "flux", pa.array(flux.tolist(), pa.list_(pa.float32()))), y, labels, teff


@pytest.fixture(scope="module")
def several():
    params = {**SMALL, "dense": 16, "dropout": 0.05, "members": 2, "mc_samples": 3, "epochs": 20}
    table, y, _, _ = depths()
    targets = ("spectral_class", "teff_k")
    model = create("spectral_multitask", features=FEATURES, targets=targets, **params)
    return model.fit(table, y, validation=depths(80, 1)[:2], seed=3)


def test_several_targets_with_missing_labels(several):
    table, _, labels, teff = depths(120, 2)
    p = several.predict_proba(table, "spectral_class")
    assert (np.array(several.classes_)[p.argmax(axis=1)] == labels).mean() > 0.85
    q = several.predict_dist(table, "teff_k")
    assert np.abs(q.median - teff).mean() < 0.6 * np.abs(teff - np.median(teff)).mean()
    low, high = q.interval(0.1)
    assert 0.75 < ((teff > low) & (teff < high)).mean() <= 1
    assert several._heads["teff_k"].params["log"]


def test_a_quantity_starts_from_mean_and_spread_of_its_labels():
    # a random start gave tiny variances here and there: losses whose gradients silenced the hidden layer for good
    table, y, _, _ = depths(60)
    params = {**SMALL, "epochs": 1, "learning_rate": 1e-12}
    model = create("spectral_multitask", features=FEATURES, targets=tuple(y), **params).fit(table, y, seed=0)
    q = model.predict_dist(table, "teff_k")
    known = np.log10(y["teff_k"][np.isfinite(y["teff_k"])])
    assert np.log10(q.median) == pytest.approx(np.median(known), abs=1e-4)
    low, high = q.interval(0.32)
    assert np.log10(high / low) / 2 == pytest.approx(np.std(known), rel=0.01)


def test_uncertainty_of_an_ensemble_with_dropout_repeats_and_comes_back(several, tmp_path):
    table, _, _, _ = depths(40, 3)
    for target in several.targets:
        parts = several.uncertainty(table, target)
        assert set(parts) == {"epistemic", "aleatoric"}
        assert all(np.isfinite(part).all() and (part >= 0).all() and len(part) == 40 for part in parts.values())
        assert parts["epistemic"].max() > 0
        again = several.uncertainty(table, target)
        assert all((parts[name] == again[name]).all() for name in parts)
    several.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "network-1.keras", "network.keras"]
    loaded = load_model(tmp_path)
    parts, found = several.uncertainty(table, "teff_k"), loaded.uncertainty(table, "teff_k")
    assert all((parts[name] == found[name]).all() for name in parts)
    assert (loaded.predict_dist(table, "teff_k").values == several.predict_dist(table, "teff_k").values).all()
    assert loaded.embed(table).shape == (40, 16)
    assert loaded.embed(table).dtype == np.float32
    with pytest.raises(InputError, match="no target 'mass'"):
        loaded.uncertainty(table, "mass")


def test_one_network_cannot_tell_uncertainties_apart(fitted):
    with pytest.raises(InputError, match="`members` or `mc_samples`"):
        fitted.uncertainty(spectra(5)[0])


def test_rows_of_weight_zero_teach_nothing():
    table, labels = spectra(200)
    wrong = labels.copy()
    wrong[100:] = "A"
    params = {**SMALL, "epochs": 15, "class_weight_power": 0.0}
    model = create("spectral_cnn", features=FEATURES, **params)
    model.fit(table, wrong, sample_weight=np.repeat([1.0, 0.0], 100), seed=0)
    new, truth = spectra(60, seed=2)
    assert (np.array(model.classes_)[model.predict_proba(new).argmax(axis=1)] == truth).mean() > 0.85
    with pytest.raises(InputError, match="sample_weight"):
        model.fit(table, wrong, sample_weight=np.ones(3))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns(precision, tmp_path):
    table, labels = spectra()
    params = {**SMALL, "epochs": 12, "precision": precision, "focal_gamma": 1.0, "label_smoothing": 0.05}
    model = create("spectral_cnn", features=FEATURES, **params).fit(table, labels, seed=0)
    new, truth = spectra(60, seed=2)
    p = model.predict_proba(new)
    assert (np.array(model.classes_)[p.argmax(axis=1)] == truth).mean() > 0.85
    assert model._networks[0].get_layer("representation").compute_dtype == precision.removeprefix("mixed_")
    model.save(tmp_path)
    assert (load_model(tmp_path).predict_proba(new) == p).all()


def test_files_that_are_not_whole_or_of_another_time_are_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())

    def changed(**fields):
        (tmp_path / "model.json").write_text(json.dumps({**about, **fields}))

    changed(libraries={**about["libraries"], "keras": "2.15.0"})
    with pytest.raises(IntegrityError, match=r"keras 2\.15\.0, and 3\.\S+ is installed"):
        load_model(tmp_path)
    changed(libraries={"no-such-library": "1.0"})
    with pytest.raises(IntegrityError, match="not installed"):
        load_model(tmp_path)
    changed(state={**about["state"], "layout": 1})
    with pytest.raises(IntegrityError, match="layout 1"):
        load_model(tmp_path)
    changed(classes={"target": ["A", "G"]})
    with pytest.raises(IntegrityError, match="outputs"):
        load_model(tmp_path)
    changed()
    whole = (tmp_path / "network.keras").read_bytes()
    (tmp_path / "network.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match="restore the artifact"):
        load_model(tmp_path)
    (tmp_path / "network.keras").unlink()
    with pytest.raises(IntegrityError, match="restore the artifact"):
        load_model(tmp_path)


def test_a_network_that_carries_code_is_refused(fitted, tmp_path):
    import keras

    fitted.save(tmp_path)
    inputs = keras.Input((3,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs)).save(tmp_path / "network.keras")
    with pytest.raises(IntegrityError, match="restore the artifact"):
        load_model(tmp_path)


def test_training_refuses_other_threads_than_the_process_has(fitted):
    with pytest.raises(InputError, match="runs already with 2 threads, the model asks for 1"):
        create("spectral_cnn", features=FEATURES, **SMALL, threads=1).fit(*spectra(20))


def test_predicting_again_and_again_makes_no_new_graphs(fitted):
    table, _ = spectra(30, seed=5)
    fitted.predict_proba(table)
    (run,) = fitted._runners
    for rows in (1, 7, 30):
        fitted.predict_proba(table.slice(0, rows))
    assert fitted._runners[0] is run
    assert run._call.experimental_get_tracing_count() == 1


def test_dropout_stays_on_for_samples_of_one_network():
    table, y, _, _ = depths(60)
    params = {**SMALL, "dense": 16, "dropout": 0.3, "members": 1, "mc_samples": 4, "epochs": 2}
    model = create("spectral_multitask", features=FEATURES, targets=tuple(y), **params).fit(table, y, seed=1)
    assert np.ptp(model._samples(table, "teff_k"), axis=0).max() > 0
    again = model.predict_dist(table, "teff_k").values
    assert (model.predict_dist(table, "teff_k").values == again).all()
