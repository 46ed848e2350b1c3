import numpy as np
import pyarrow as pa
import pytest

from stellar.catalog.curate import curate
from stellar.engine.step import PartitionInput
from stellar.errors import InputError
from stellar.features.rebin import Grid
from stellar.features.spectra import spectra_features, spectra_schema
from stellar.features.steps import feature_steps
from stellar.features.template_spectra import (
    DEFAULTS,
    as_spectra,
    run_templates,
    template_features,
    template_schema,
    templates_step,
)
from stellar.models import create
from stellar.models.mk_types import subtype_numbers
from stellar.profile import load_curated, load_profile
from stellar.surveys.files import load_source, read

GRID = Grid(**DEFAULTS["grid"])


def curated(real_data, name):
    source = load_source(name)
    paths = sorted({path for glob in source.files for path in real_data.glob(glob)})
    raw = pa.concat_tables([read(path, source) for path in paths])
    return curate(raw, raw.slice(0, 0), load_curated(name)).table


def flux_of(loglam, seed=0):
    wave = 10**loglam
    rng = np.random.default_rng(seed)
    return (
        (wave / 6000) ** -2
        * (1 - 0.5 * np.exp(-0.5 * ((wave - 6564.6) / 10) ** 2))
        * (1 + 0.01 * rng.normal(size=len(wave)))
    )


LOGLAM = np.arange(3.55, 3.98, 1e-4)


def by_rule(n=3):
    """Templates whose wavelengths are a rule, with errors."""
    flux = [flux_of(LOGLAM, seed) for seed in range(n)]
    return pa.table(
        {
            "template_name": [f"t{k}" for k in range(n)],
            "spectral_type": ["F5", "G2", None][:n],
            "feh_bin": [-0.5, None, 0.0][:n],
            "teff_k": [6300.0, None, 5000.0][:n],
            "loglam0": [LOGLAM[0]] * n,
            "dloglam": [1e-4] * n,
            "flux": pa.array(flux, pa.list_(pa.float32())),
            "flux_error": pa.array([0.02 * one for one in flux], pa.list_(pa.float32())),
            "batch_id": ["b"] * n,
        }
    )


def test_columns_are_those_of_spectra_without_a_place_and_the_labels():
    names = template_schema(GRID).names
    spectra = spectra_schema(GRID).names
    assert [name for name in spectra if name not in names] == ["ra", "dec", "epoch_yr"]
    labels = ["template_name", "spectral_type", "luminosity", "is_peculiar", "feh_bin", "teff_k", "logg_dex", "library"]
    assert [name for name in names if name not in spectra] == labels
    assert template_schema(GRID).metadata == spectra_schema(GRID).metadata


def test_a_template_is_prepared_like_a_star():
    table, filtered, reasons = template_features(by_rule(), "template_name", "mine")
    assert not filtered.any()
    assert reasons == [None] * 3
    assert (
        table["template_name"].to_pylist()
        == table["spec_id"].to_pylist()
        == table["object_id"].to_pylist()
        == ["t0", "t1", "t2"]
    )
    assert table["spectral_type"].to_pylist() == ["F5", "G2", None]
    assert table["feh_bin"].to_pylist() == [-0.5, None, 0.0]
    assert set(table["library"].to_pylist()) == {"mine"}
    assert table["is_rest_frame"].to_pylist() == [True] * 3
    assert set(table["luminosity"].to_pylist()) == {None}
    flux = np.array(table["flux"].to_pylist())
    assert flux.shape == (3, GRID.size)
    assert np.median(flux, axis=1) == pytest.approx(1, abs=0.02)
    assert GRID.wavelength_angstrom[flux[0].argmin()] == pytest.approx(6564.6, abs=6)
    assert table["sn_median"].to_pylist() == pytest.approx([50] * 3, rel=0.1)


def test_a_library_without_errors_gets_the_assumed_ones_and_says_so():
    table = by_rule().drop(["flux_error", "loglam0", "dloglam"])
    table = table.append_column("loglam", pa.array([LOGLAM] * 3, pa.list_(pa.float32())))
    found, _, _ = template_features(table, "template_name", "mine", {"assumed_sn": 50.0})
    assert found["sn_median"].null_count == 3
    ivar = np.array(as_spectra(table, "template_name", 50.0)["ivar"].to_pylist())
    middle = np.median(np.array(table["flux"].to_pylist()), axis=1)
    assert ivar == pytest.approx(np.repeat((50 / middle)[:, None] ** 2, len(LOGLAM), axis=1), rel=1e-5)


def test_gaps_and_faults():
    table = by_rule()
    flux = [np.array(one) for one in table["flux"].to_pylist()]
    flux[0][2000:2600] = np.nan
    flux[1][:] = np.nan
    table = table.set_column(table.column_names.index("flux"), "flux", pa.array(flux, pa.list_(pa.float32())))
    table = table.set_column(table.column_names.index("dloglam"), "dloglam", pa.array([1e-4, 1e-4, None]))
    step = templates_step("features.mine", load_curated("sdss_templates"))
    result = run_templates(None, {"templates": PartitionInput(table, table.slice(0, 0))}, step.params)
    assert result.accounting.gap == 0
    assert result.table["spec_id"].to_pylist() == ["t0"]
    assert result.accounting.filtered == {"too_few_good_bins": 1}
    assert result.quarantine["reason"].to_pylist() == ["loglam is not an increasing log10 wavelength in Angstrom"]
    mask, values = np.array(result.table["mask"][0].as_py()), np.array(result.table["flux"][0].as_py())
    assert mask.sum() > 190
    assert np.isnan(values[mask]).all()


def test_steps_of_the_real_profile():
    steps = {step.dataset: step for step in feature_steps(load_profile("real"))}
    for dataset, source in (("template_spectra", "sdss_templates"), ("eigen_spectra", "sdss_eigen")):
        step = steps[f"features.{dataset}"]
        assert (step.layout, step.id_column, step.params["library"]) == ("plain", "template_name", source)
        assert set(step.inputs) == {"templates"}
        assert step.inputs["templates"].dataset == f"curated.{source}"
        assert step.quarantine == f"quarantine.{dataset}"
    assert "loglam" in steps["features.eigen_spectra"].inputs["templates"].columns
    assert {"loglam0", "flux_error", "teff_k"} <= set(steps["features.template_spectra"].inputs["templates"].columns)
    assert {"associations", "sdss_eigen", "sdss_templates"} <= set(steps["features.lamost_spectra"].inputs)
    other = load_curated("asas_classes")
    with pytest.raises(InputError, match="must be template_name, not asas_id"):
        templates_step("features.other", other)


@pytest.mark.parametrize(("name", "rows"), [("sdss_templates", 228), ("sdss_eigen", 123)])
def test_real_libraries(real_data, name, rows):
    table, filtered, reasons = template_features(curated(real_data, name), "template_name", name)
    assert table.num_rows == rows
    assert not filtered.any()
    assert reasons == [None] * rows
    assert table.schema.equals(template_schema(GRID))
    assert np.nanmedian(np.array(table["flux"].to_pylist())) == pytest.approx(1, abs=0.03)


def test_types_of_the_eigen_templates(real_data):
    table = curated(real_data, "sdss_eigen").drop(["loglam", "flux"])
    rows = {row["template_name"]: row for row in table.to_pylist()}
    told = {name: (row["spectral_type"], row["luminosity"], row["is_peculiar"]) for name, row in rows.items()}
    assert told["A1V (95418)"] == ("A1", "V", False)
    assert told["F3/F5V (30743)"] == ("F3", "V", False)
    assert told["B2Vne (202904)"] == ("B2", "V", True)
    assert told["G5Iab: (20123)"] == ("G5", "I", False)
    assert told["sdF3 (140283)"] == ("F3", None, True)
    assert told["A4p (G_37-26)"] == ("A4", None, True)
    assert told["Am (78362)"] == told["CalciumWD"] == told["Ldwarf"] == (None, None, False)
    assert sum(kind is not None for kind, _, _ in told.values()) == 116
    assert rows["A0 (19510)"]["star"] == "19510"
    assert rows["CalciumWD"]["star"] is None


def test_templates_type_lamost_spectra_that_they_never_saw(real_data):
    """Figures on the 89 spectra; the nearest template by chi-square has 3.7 subtypes, 44% and 59%."""
    libraries = []
    for name in ("sdss_templates", "sdss_eigen"):
        table, _, _ = template_features(curated(real_data, name), "template_name", name)
        libraries.append(table)
    examples = pa.concat_tables(libraries)
    number = subtype_numbers(examples["spectral_type"].to_pylist())
    metal_poor = np.array([value is not None and value < -1.25 for value in examples["feh_bin"].to_pylist()])
    eigen = np.array(examples["library"].to_pylist()) == "sdss_eigen"
    bright = np.isin(np.array(examples["luminosity"].to_pylist(), dtype=object), ["I", "II"]) & eigen
    peculiar = np.array([bool(value) for value in examples["is_peculiar"].to_pylist()])
    examples = examples.filter(pa.array(np.isfinite(number) & ~metal_poor & ~bright & ~peculiar))
    model = create(
        "template_match", features=["flux", "ivar", "mask"], reference="sdss_eigen", voters=["sdss_templates"]
    )
    model.fit(examples, examples["spectral_type"].to_pylist())

    spectra = curated(real_data, "lamost_spectra")
    stars, _, _ = spectra_features(spectra, spectra["spec_id"])
    truth = subtype_numbers(spectra["subclass"].to_pylist())
    found = subtype_numbers(model.predict_class(stars))
    error = np.abs(found - truth)
    assert len(error) == stars.num_rows == 89
    assert error.mean() <= 2.3
    assert (error <= 2).mean() >= 0.65
    assert (found // 10 == truth // 10).mean() >= 0.78
