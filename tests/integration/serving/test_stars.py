"""A star by any of its ids: what the lake and the ledger know of it, and what it lacks."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

import brought
from console_home import made_settings
from stellar.engine import engine
from stellar.engine.context import Context
from stellar.engine.step import Accounting, Input, Step, StepResult
from stellar.errors import InputError
from stellar.features.rebin import Grid
from stellar.ledger.connect import ledger_session, open_ledger
from stellar.quality import suite_files, suites
from stellar.serving import star_curves, stars
from stellar.surveys.base import Fetched, WorkUnit

GRID = Grid()
N = 12


def pass_on(_, inputs, params):
    rows = inputs["raw"].rows
    rows = rows if params["with_batch"] else rows.drop_columns(["batch_id"])
    return StepResult(rows, Accounting(rows.num_rows, rows.num_rows))


def bring(ctx, dataset, table, id_column):
    """A table as a current dataset, laid out on the sky where it has positions."""
    name = dataset.replace(".", "_")
    unit = WorkUnit("made", name, "dr1", "all", "1", {}, len(table))
    answer = Fetched(table, "http://service", f"query of {dataset}", {}, "0" * 64)
    brought.bring(ctx, "made", (unit, answer), dataset=name, reason="made")
    layout = "rows" if "ra" in table.column_names else "plain"
    params = {"with_batch": dataset.startswith("curated.")}
    step = Step(dataset, "made", 1, {"raw": Input(f"raw.{name}")}, params, pass_on, id_column, layout, "raw")
    engine.run(ctx, [step], who="test", reason="made")


def tables():
    """Twelve stars; the first has everything, the last a row of one survey alone; light curves without positions."""
    rng = np.random.default_rng(1)
    ids = [f"gaia-{k}" for k in range(N)]
    ra, dec = 40 + rng.uniform(-0.01, 0.01, N), 30 + rng.uniform(-0.01, 0.01, N)
    place = {"ra": ra, "dec": dec}
    surveys = {"gaia": [str(k + 1000) for k in range(N)], "spectra": [f"p-{k}" for k in range(3)],
               "curves": [f"tic-{k}" for k in range(2)]}  # fmt: skip
    pairs = [(survey, k, own) for survey, each in surveys.items() for k, own in enumerate(each)]
    pairs += [("sectors", 3, f"tic-9-s{k}") for k in (1, 2, 3)]
    at = [k for _, k, _ in pairs]
    yield "curated.objects", {"object_id": ids, **place, "epoch_yr": [2016.0] * N, "class": ["STAR"] * N,
                              "n_sources": [3, 3, 2] + [1] * (N - 3)}, "object_id"  # fmt: skip
    yield "curated.associations", {
        "association_id": [f"{survey}:{own}" for survey, _, own in pairs], "object_id": [ids[k] for k in at],
        "survey": [survey for survey, _, _ in pairs], "survey_id": [own for _, _, own in pairs],
        "separation_arcsec": [0.1] * len(pairs), "ra": ra[at], "dec": dec[at],
    }, "association_id"  # fmt: skip
    yield "curated.gaia", {"source_id": np.arange(N) + 1000, **place, "parallax": [5.0] * N,
                           "parallax_error": [0.1] * N, "pmra": [1.0] * N, "pmdec": [-1.0] * N,
                           }, "source_id"  # fmt: skip
    yield "curated.spectra", {"spec_id": surveys["spectra"], "ra": ra[:3], "dec": dec[:3]}, "spec_id"
    time = np.arange(0, 27, 0.02)
    flux = [100 + 5 * np.sin(2 * np.pi * time / (0.5 + k)) for k in range(2)]
    flux[0][3] = np.nan
    quality = [np.where(np.arange(len(time)) == 7, 16, 0)] * 2
    yield "curated.curves", {"lc_id": surveys["curves"], "ra": ra[:2], "dec": dec[:2], "time_btjd": [time] * 2,
                             "flux": flux, "flux_err": [np.full(len(time), 0.5)] * 2, "quality": quality,
                             }, "lc_id"  # fmt: skip
    yield "features.curves", {"lc_id": surveys["curves"], "object_id": ids[:2], "ra": ra[:2], "dec": dec[:2],
                              "period_d": [0.5, 1.5], "period_err_d": [0.001, None]}, "lc_id"  # fmt: skip
    # one star's sectors: two of them are one curve of the features, that of another mission stands alone
    names = ["tic-9-s1", "tic-9-s2", "tic-9-s3"]
    yield "curated.sectors", {"lc_id": names, "ra": ra[[3] * 3], "dec": dec[[3] * 3], "time_btjd": [time] * 3,
                              "flux": [flux[1]] * 3}, "lc_id"  # fmt: skip
    several = pa.array([names[:2], None, ["tic-8-s1", "tic-8-s2"]], pa.list_(pa.string()))
    yield "features.sectors", {"lc_id": ["tic-9-s1+s2", "tic-9-s3", "tic-8-s1+s2"], "segment_lc_id": several,
                               "object_id": [ids[3], ids[3], ids[4]], "ra": ra[[3, 3, 4]], "dec": dec[[3, 3, 4]],
                               "period_d": [1.5, 3.0, 9.0]}, "lc_id"  # fmt: skip
    yield "curated.asas", {"asas_id": ["77", "78"], "time_d": [[1.0, 2.0]] * 2, "mag": [[9.0, None]] * 2}, "asas_id"
    yield "curated.photometry", {
        "row_id": ["g", "u"], "object_id": [ids[0]] * 2,
        "ra": ra[[0, 0]], "dec": dec[[0, 0]], "survey": ["gaia", "sdss"],
        "survey_id": ["1000", "s"], "band": ["GAIA/GAIA3.G", "SLOAN/SDSS.u"], "mag": [15.0, 17.0],
        "mag_err": [0.01, 0.02], "system": ["Vega", "AB"], "flux_cgs": [2e-15, 1e-15], "flux_cgs_err": [1e-17, 2e-17],
        "flux_jy": [3e-3, 1e-3], "is_saturated": [False] * 2, "is_blended": [False] * 2, "is_clean": [True] * 2,
        "is_preferred": [True] * 2, "quality": ["", ""],
    }, "row_id"  # fmt: skip
    yield "scores.teff", {"object_id": ids[:3], "ra": ra[:3], "dec": dec[:3], "teff_k": [5000.0, 6000.0, np.nan],
                          "teff_k_lower": [4900.0] * 3, "teff_k_upper": [5100.0] * 3, "teff_class": ["K", "F", "G"],
                          "probability": [0.9] * 3, "probability_k": [0.9] * 3, "probability_f": [0.1] * 3,
                          "prediction_set": [["K"], ["F", "G"], ["G"]], "novelty": [0.1] * 3, "flags": [""] * 3,
                          "is_out_of_range": [False] * 3, "model": ["teff"] * 3, "model_version": ["abc"] * 3,
                          }, "object_id"  # fmt: skip


def spectra_table(places):
    flux = np.ones((3, GRID.size))
    flux[:, 10:20] = np.nan
    mask = np.isnan(flux)
    columns = {"spec_id": [f"p-{k}" for k in range(3)], "object_id": [f"gaia-{k}" for k in range(3)],
               "ra": places["ra"][:3], "dec": places["dec"][:3], "sn_median": [20.0] * 3, "flux": list(flux),
               "ivar": list(np.where(mask, 0.0, 100.0)), "mask": list(mask), "sky": list(mask)}  # fmt: skip
    return pa.table(columns).replace_schema_metadata({"stellar.grid": json.dumps(GRID.to_dict(), sort_keys=True)})


@pytest.fixture(scope="module")
def made(database_server, tmp_path_factory):
    """Settings and a reader's engine of a home with everything that the page shows."""
    # the gates of the profile's own datasets ask for more columns than are shown here
    gates = tmp_path_factory.mktemp("gates")
    shutil.copy(suite_files.GATES / "default.yaml", gates)
    with made_settings(database_server) as settings, pytest.MonkeyPatch.context() as patch:
        patch.setattr("stellar.quality.suite_files.GATES", gates)
        suites.load_suite.cache_clear()
        with ledger_session(settings) as ledger:
            ctx = Context(settings, ledger)
            places = {}
            for dataset, columns, id_column in tables():
                places = places or columns
                bring(ctx, dataset, pa.table(columns), id_column)
            bring(ctx, "features.spectra", spectra_table(places), "spec_id")
        reader = open_ledger(settings, "reader")
        suites.load_suite.cache_clear()
        yield settings, reader
        reader.dispose()


def test_a_star_is_found_by_each_of_its_ids(made):
    found = stars.star(*made, "gaia-0")
    assert {(row["survey"], row["survey_id"]) for row in found["sources"]} == {
        ("gaia", "1000"), ("spectra", "p-0"), ("curves", "tic-0")
    }  # fmt: skip
    for own in ("1000", "p-0", "tic-0", " gaia-0 "):
        assert stars.star(*made, own)["id"] == "gaia-0"
    assert found["object"]["ra"] == pytest.approx(40, abs=0.011) and found["missing"] == []
    assert found["astrometry"][1]["parallax"] == 5.0 and found["astrometry"][1]["survey"] == "gaia"
    assert [row["name"] for row in found["photometry"]] == ["SDSS u", "Gaia G"]
    assert [3000 < row["wavelength_angstrom"] < 7000 for row in found["photometry"]] == [True, True]
    assert [row["survey"] for row in stars.star_lineage(*made, "gaia-0")] == ["curves", "gaia", "spectra"]
    for row in stars.star_lineage(*made, "p-0"):
        assert row["query"] == f"query of {row['dataset']}" and row["service"] == "http://service" and row["fetched_at"]
    beside = {row["object_id"] for row in found["neighbours"]}
    assert "gaia-0" not in beside and all(row["separation_arcsec"] <= 30 for row in found["neighbours"])


def test_scores_are_quantities_with_intervals_and_classes_with_probabilities(made):
    (score,) = stars.star(*made, "gaia-1")["scores"]
    assert score["quantities"] == [{"name": "teff_k", "value": 6000.0, "lower": 4900.0, "upper": 5100.0, "unit": ""}]
    (told,) = score["classes"]
    assert told["name"] == "teff_class" and told["value"] == "F" and told["best"] == [("K", 0.9), ("F", 0.1)]
    assert told["set"] == ["F", "G"] and score["model"] == "teff" and score["of"] == "gaia-1"
    assert stars.star(*made, "gaia-2")["scores"][0]["quantities"][0]["value"] is None
    without = stars.star(*made, "gaia-11")
    assert without["scores"] == [] and any("no score" in text for text in without["missing"])
    assert any("no photometry" in text for text in without["missing"])


def test_a_former_id_leads_to_the_star(made):
    owner = open_ledger(made[0], "owner")
    with owner.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO lake.object_alias (old_id, new_id, snapshot)"
            " SELECT 'former', 'gaia-3', snapshot FROM lake.current WHERE dataset = 'curated.objects'"
        )
    owner.dispose()
    found = stars.star(*made, "former")
    assert found["id"] == "gaia-3" and found["was"] == ["former"]


def test_stars_around_a_position(made):
    star = stars.star(*made, "gaia-5")["object"]
    found = stars.near(*made, star["ra"], star["dec"], 600.0)
    assert found[0]["object_id"] == "gaia-5" and found[0]["separation_arcsec"] < 1e-3 and len(found) == N
    separations = [row["separation_arcsec"] for row in found]
    assert separations == sorted(separations)
    assert [row["object_id"] for row in stars.near(*made, star["ra"], star["dec"], 0.1)] == ["gaia-5"]
    with pytest.raises(InputError, match="-90 <= dec"):
        stars.near(*made, 10.0, 91.0, 5.0)


def test_a_spectrum_has_its_wavelengths_errors_and_gaps(made):
    (found,) = star_curves.spectra(*made, "1002")
    assert found["id"] == "p-2" and np.allclose(found["wavelength_angstrom"], GRID.wavelength_angstrom, rtol=1e-6)
    assert found["flux"][10:20] == [None] * 10 and found["error"][10:20] == [None] * 10
    assert found["flux"][20] == 1.0 and found["error"][20] == 0.1 and found["sn_median"] == 20.0
    assert star_curves.spectra(*made, "gaia-3") == []


def test_a_light_curve_is_sent_with_its_period(made):
    (found,) = star_curves.light_curves(*made, "gaia-0")
    assert found["kind"] == "flux" and found["of"] == len(found["time_d"]) == len(np.arange(0, 27, 0.02)) - 2
    assert np.median(found["value"]) == pytest.approx(1, abs=1e-6) and found["error"][0] == pytest.approx(
        0.005, rel=0.01
    )
    assert found["periods"] == [{"from": "features.curves", "period_d": 0.5, "error_d": 0.001, "of": "tic-0"}]
    assert star_curves.light_curves(*made, "gaia-5") == []


def test_a_period_of_several_curves_together_is_shown_with_each_of_them(made):
    found = {one["id"]: one["periods"] for one in star_curves.light_curves(*made, "tic-9-s2")}
    together = [{"from": "features.sectors", "period_d": 1.5, "error_d": None, "of": "tic-9-s1+s2"}]
    assert found["tic-9-s1"] == found["tic-9-s2"] == together
    assert found["tic-9-s3"] == [{**together[0], "period_d": 3.0, "of": "tic-9-s3"}]


def test_a_star_without_a_position_is_shown_as_far_as_it_goes(made):
    found = stars.star(*made, "77")
    assert found["id"] == "77" and found["object"] == {} and found["sources"][0]["survey"] == "asas"
    assert "no position" in found["missing"][0]
    (curve,) = star_curves.light_curves(*made, "77")
    assert curve["kind"] == "mag" and curve["value"] == [9.0] and curve["error"] == [None] and curve["periods"] == []


@pytest.mark.parametrize("wrong", ["nothing-has-this-id", "", "9" * 26, "' OR 1=1 --"])
def test_what_is_no_star_is_told(made, wrong):
    with pytest.raises(InputError, match=r"no object's id|which star"):
        stars.star(*made, wrong)


def test_bands_of_a_light_curve_are_told_apart():
    lists = pa.list_(pa.float64())
    schema = pa.schema([(name, lists) for name in ("mjd_g", "mag_g", "err_g", "mjd_r", "mag_r", "flux")])
    assert star_curves.curve_columns(schema) == {"g": ("mjd_g", "mag_g", "err_g"), "r": ("mjd_r", "mag_r", None)}
