import numpy as np
import pyarrow as pa
import pytest

from stellar.engine.step import PartitionInput
from stellar.features.rebin import Grid
from stellar.features.spectra import BAD_BITS, DEFAULTS, grid_of, run_spectra, spectra_features, spectra_step

C_KM_S = 299_792.458


def spectrum(spec_id, *, line=6564.6, z=0.0, zerr=1e-5, kind="STAR", noise=0.02, seed=0, pixels=None):
    rng = np.random.default_rng(seed)
    loglam = np.arange(3.5797, 3.9640, 1e-4)[:pixels]
    wave = 10**loglam / (1 + z)
    flux = 20 * (1 - 0.5 * np.exp(-0.5 * ((wave - line) / 8) ** 2)) * (wave / 6000) ** -1
    flux = flux * (1 + noise * rng.normal(size=len(loglam)))
    return {
        "spec_id": spec_id,
        "ra": 10.0,
        "dec": -5.0,
        "epoch_yr": 2005.0,
        "class": kind,
        "z": z,
        "zerr": zerr,
        "loglam": loglam.tolist(),
        "flux": flux.tolist(),
        "ivar": (1 / (noise * flux) ** 2).tolist(),
        "and_mask": [0] * len(loglam),
        "batch_id": "b1",
    }


SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("spec_id", "class", "batch_id")]
    + [(name, pa.float64()) for name in ("ra", "dec", "epoch_yr", "z", "zerr")]
    + [(name, pa.list_(pa.float32())) for name in ("loglam", "flux", "ivar")]
    + [("and_mask", pa.list_(pa.int32()))]
)


def features(rows, params=None):
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    objects = pa.chunked_array([pa.array([f"gaia-{row}" for row in range(len(rows))])])
    return spectra_features(table, objects, params)


def column(table, name):
    return np.array(table[name].to_pylist(), dtype=float)


def test_reliable_stellar_velocity_is_taken_out_and_others_are_not():
    z = 250 / C_KM_S
    rows = [
        spectrum("star", z=z),
        spectrum("unsure", z=z, zerr=0.01),
        spectrum("galaxy", z=z, kind="GALAXY"),
        spectrum("still"),
    ]
    found, _, _ = features(rows)
    assert found["is_rest_frame"].to_pylist() == [True, False, False, False]
    wave = grid_of(found.schema).wavelength_angstrom
    depth = 1 - column(found, "flux")
    near = np.abs(wave - 6564.6) < 40
    place = (depth[:, near] * wave[near]).sum(axis=1) / depth[:, near].sum(axis=1)
    assert place == pytest.approx([6564.6, 6570.1, 6570.1, 6564.6], abs=1.0)


def test_line_width_noise_and_weight():
    found, _, _ = features([spectrum(str(k), seed=k) for k in range(20)])
    width = 0.5 * 8 * np.sqrt(2 * np.pi)  # 10.0 Angstrom
    assert column(found, "ew_h_alpha_angstrom").mean() == pytest.approx(width, rel=0.05)
    assert column(found, "ew_h_alpha_angstrom").std() == pytest.approx(
        column(found, "ew_h_alpha_angstrom_err").mean(), rel=0.5
    )
    assert column(found, "sn_median") == pytest.approx(50, rel=0.05)
    flat = column(found, "flux")[:, 100:400]
    assert flat.std() == pytest.approx(np.median(column(found, "ivar")[:, 100:400]) ** -0.5, rel=0.15)


def test_bad_pixels_are_masked_in_every_form():
    row = spectrum("bad")
    wave = 10 ** np.array(row["loglam"])
    nan, weightless, flagged, harmless = ((wave > low) & (wave < low + 60) for low in (4500, 5000, 5500, 6000))
    row["flux"] = np.where(nan, np.nan, row["flux"]).tolist()
    row["ivar"] = np.where(weightless, 0.0, row["ivar"]).tolist()
    row["and_mask"] = np.where(flagged, 1 << BAD_BITS[0], np.where(harmless, 1 << 16, 0)).tolist()
    found, _, _ = features([row])
    grid = grid_of(found.schema).wavelength_angstrom
    mask = np.array(found["mask"][0].as_py())
    for low, masked in ((4500, True), (5000, True), (5500, True), (6000, False)):
        assert (mask[(grid > low + 5) & (grid < low + 55)] == masked).all()
    assert np.isnan(column(found, "flux")[0][mask]).all()
    assert (column(found, "ivar")[0][mask] == 0).all()


def test_every_row_is_accounted_for():
    short = spectrum("short", pixels=300)
    torn = spectrum("torn")
    torn["flux"] = torn["flux"][:-5]
    backwards = spectrum("backwards")
    backwards["loglam"] = backwards["loglam"][::-1]
    rows = pa.Table.from_pylist(
        [spectrum("good"), short, torn, backwards, spectrum("orphan"), spectrum("gone", pixels=0)], schema=SCHEMA
    )
    claimed = [name for name in rows["spec_id"].to_pylist() if name != "orphan"]
    associations = pa.table(
        {
            "object_id": [f"gaia-{name}" for name in claimed] + ["gaia-other"],
            "survey": ["sdss_spectra"] * len(claimed) + ["labels"],
            "survey_id": [*claimed, "orphan"],
        }
    )
    # the object may lie beyond the cell's edge, in the margin
    inputs = {
        "spectra": PartitionInput(rows, rows.slice(0, 0)),
        "associations": PartitionInput(associations.slice(1), associations.slice(0, 1)),
    }
    step = spectra_step()
    found = run_spectra(None, inputs, step.params)
    assert found.table["spec_id"].to_pylist() == ["good"]
    assert found.table["object_id"].to_pylist() == ["gaia-good"]
    assert found.accounting.filtered == {"too_few_good_bins": 1}
    assert found.accounting.gap == 0
    reasons = dict(zip(found.quarantine["spec_id"].to_pylist(), found.quarantine["reason"].to_pylist(), strict=True))
    assert set(reasons) == {"torn", "backwards", "orphan", "gone"}
    assert "flux" in reasons["torn"]
    assert "loglam" in reasons["backwards"]
    assert "no object" in reasons["orphan"]
    assert found.quarantine["batch_id"].to_pylist() == ["b1"] * 4


def test_absent_survey_gives_an_empty_table_of_the_same_columns():
    nothing = pa.table({})
    inputs = {"spectra": PartitionInput(nothing, nothing, absent=True)}
    empty = run_spectra(None, inputs, spectra_step().params)
    full, _, _ = features([spectrum("a")])
    assert empty.table.schema.equals(full.schema, check_metadata=True)
    assert empty.accounting.rows_in == 0


def test_same_rows_in_other_company_give_the_same_features():
    rows = [spectrum(str(k), seed=k) for k in range(5)]
    together, alone = features(rows)[0], features(rows[3:4])[0]
    np.testing.assert_allclose(column(together, "flux")[3], column(alone, "flux")[0], rtol=1e-6)


def test_grid_is_a_parameter():
    grid = {"first_angstrom": 4000.0, "last_angstrom": 7000.0, "step_dex": 1e-3}
    found, _, _ = features([spectrum("a")], {"grid": grid})
    assert grid_of(found.schema) == Grid(**grid)
    assert len(found["flux"][0]) == Grid(**grid).size
    assert Grid(**DEFAULTS["grid"]).size == 1253


def test_real_spectra_have_their_lines(real_data):
    from astropy.io import fits

    def row(path):
        with fits.open(path) as found:
            coadd, about = found[1].data, found[2].data[0]
            return {
                "spec_id": path.stem[5:],
                **{name: coadd[name].tolist() for name in ("loglam", "flux", "ivar", "and_mask")},
                "class": about["CLASS"].strip(),
                "z": float(about["Z"]),
                "zerr": float(about["Z_ERR"]),
                "sn": float(about["SN_MEDIAN_ALL"]),
            }

    rows = [row(path) for path in sorted((real_data / "sdss_spectra").glob("*.fits"))]
    found, _, reasons = features([{k: v for k, v in one.items() if k != "sn"} for one in rows])
    assert reasons == [None] * len(rows)
    by_id = {one["spec_id"]: one for one in found.to_pylist()}
    f4, m5, k2 = (by_id[name] for name in ("4961-55719-0378", "1123-52882-0065", "7454-56751-0770"))
    # an F star has Balmer lines and no bands, an M5 star the other way round, a K star strong Mg b
    assert f4["ew_h_beta_angstrom"] > 2.5 > 2 > k2["ew_h_beta_angstrom"]
    assert f4["ratio_tio5"] > 0.9 > 0.5 > m5["ratio_tio5"]
    assert k2["ew_mg_b_angstrom"] > 4 > 1 > f4["ew_mg_b_angstrom"]
    for one in rows:
        assert by_id[one["spec_id"]]["sn_median"] == pytest.approx(one["sn"], rel=0.05)


def library(lines=((4862.7, 6, 0.5), (6564.6, 8, 0.5), (5176.0, 8, 0.3), (4306.0, 8, 0.3))):
    loglam = np.arange(3.5797, 3.9640, 1e-4)
    flux = 1 - sum(depth * np.exp(-0.5 * ((10**loglam - at) / width) ** 2) for at, width, depth in lines)
    return pa.table(
        {
            "template_name": ["G2V (1)"],
            "spectral_type": ["G2"],
            "luminosity": ["V"],
            "is_peculiar": [False],
            "loglam": pa.array([loglam], pa.list_(pa.float32())),
            "flux": pa.array([flux], pa.list_(pa.float32())),
        }
    )


def test_velocities_come_with_a_library_and_are_as_observed():
    z = 220 / C_KM_S
    table = pa.Table.from_pylist([spectrum("star", z=z), spectrum("still")], schema=SCHEMA)
    objects = pa.chunked_array([pa.array(["a", "b"])])
    without, _, _ = spectra_features(table, objects)
    assert without["rv_km_s"].null_count == without["rv_template"].null_count == without["rv_r"].null_count == 2
    found, _, _ = spectra_features(table, objects, None, {"sdss_eigen": library(((6564.6, 8, 0.5),))})
    assert column(found, "rv_km_s") == pytest.approx([220, 0], abs=15)
    assert found["rv_template"].to_pylist() == ["G2V (1)"] * 2
    for name in ("flux", "ivar", "mask"):
        assert found[name].equals(without[name]), "the columns that models read are the same with and without"


def test_sky_is_where_it_is_in_the_observers_frame():
    z = 1000 / C_KM_S
    found, _, _ = features([spectrum("moving", z=z), spectrum("still")])
    wave = grid_of(found.schema).wavelength_angstrom
    moving, still = (np.array(row) for row in found["sky"].to_pylist())
    edge = [wave[(wave > 7500) & (wave < 7800)][one[(wave > 7500) & (wave < 7800)]].min() for one in (moving, still)]
    assert edge[1] == pytest.approx(7580, abs=6)
    assert edge[0] == pytest.approx(7580 / (1 + z), abs=6)
    assert not (moving & np.array(found["mask"].to_pylist()[0])).all(), "sky is told apart from the mask"


def test_signal_to_noise_and_colours_of_bands():
    found, _, _ = features([spectrum("one", noise=0.02), spectrum("two", noise=0.1)])
    for band in "gri":
        assert column(found, f"sn_{band}") == pytest.approx([50, 10], rel=0.1)
    # flux falls as 1 / wavelength: f_nu rises as wavelength, 2.5 log10(6180 / 4720) mag redder than flat
    assert column(found, "syn_g_r") == pytest.approx([0.29] * 2, abs=0.05)
    assert column(found, "syn_g_r_err")[1] > 3 * column(found, "syn_g_r_err")[0]


def test_the_step_reads_the_libraries_that_the_profile_has():
    from stellar.profile import load_curated

    step = spectra_step(libraries=[load_curated("sdss_eigen"), load_curated("sdss_templates")])
    assert set(step.inputs) == {"spectra", "associations", "sdss_eigen", "sdss_templates"}
    assert step.inputs["sdss_eigen"].optional
    assert {"template_name", "spectral_type", "loglam", "flux"} <= set(step.inputs["sdss_eigen"].columns)
    rows = pa.Table.from_pylist([spectrum("1-2-3")], schema=SCHEMA)
    claims = pa.table({"object_id": ["gaia-1"], "survey": ["sdss_spectra"], "survey_id": ["1-2-3"]})
    given = {"spectra": rows, "associations": claims, "sdss_eigen": library(((6564.6, 8, 0.5),))}
    inputs = {name: PartitionInput(table, table.slice(0, 0)) for name, table in given.items()}
    empty = pa.table({})
    inputs["sdss_templates"] = PartitionInput(empty, empty, absent=True)
    result = run_spectra(None, inputs, step.params)
    assert result.accounting.gap == 0
    assert result.table["rv_km_s"].to_pylist() == pytest.approx([0], abs=15)
