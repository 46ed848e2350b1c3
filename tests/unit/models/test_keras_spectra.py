import zipfile

import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.models import create, load_model

SMALL = {"filters": [4, 8], "kernels": [5, 3], "dense": 8, "epochs": 30, "batch_size": 16, "learning_rate": 0.01}
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
