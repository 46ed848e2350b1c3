import csv
import io
import tarfile

import numpy as np
import pyarrow as pa
import pytest

from stellar.engine.step import PartitionInput
from stellar.features.aliases import true_peak
from stellar.features.folding import whole_cycle
from stellar.features.lightcurve_columns import FEATURES, extractor
from stellar.features.lightcurves import (
    MAGNITUDES,
    compile_kernels,
    lightcurve_features,
    lightcurves_step,
    run_lightcurves,
)
from stellar.features.variability import isolated_outliers, robust_polynomial, runs, usable_points

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("lc_id", "mission", "batch_id")),
        *((name, pa.float64()) for name in ("ra", "dec", "epoch_yr", "tmag")),
        ("ticid", pa.int64()),
        ("sector", pa.int32()),
        ("time_btjd", pa.list_(pa.float64())),
        ("flux", pa.list_(pa.float32())),
        ("flux_err", pa.list_(pa.float32())),
        ("quality", pa.list_(pa.int32())),
    ]
)
TIME = np.arange(1400, 1427, 10 / 1440)
NOISE = 0.002


def curve(lc_id, shape, *, seed=0, quality=None, level=5000.0, time=TIME):
    flux = level * (shape + NOISE * np.random.default_rng(seed).normal(size=len(time)))
    return {
        "lc_id": lc_id,
        "mission": "TESS",
        "batch_id": "b1",
        "ra": 1.0,
        "dec": 2.0,
        "epoch_yr": 2018.6,
        "tmag": 10.0,
        "ticid": 5,
        "sector": 1,
        "time_btjd": time.tolist(),
        "flux": flux.tolist(),
        "flux_err": [level * NOISE] * len(time),
        "quality": ([0] * len(time)) if quality is None else quality.tolist(),
    }


def features(*rows, params=None):
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    return lightcurve_features(table, table["lc_id"], params)


def only(row):
    table, filtered, reasons = features(row)
    assert (table.num_rows, filtered, reasons) == (1, {}, [None])
    return table.to_pylist()[0]


def eclipsing(period=2.3, depth=0.2, second=0.08, width=0.02):
    phase = (TIME / period) % 1
    near = lambda centre: np.abs(np.mod(phase - centre + 0.5, 1) - 0.5) < width  # noqa: E731
    return 1 - depth * near(0.25) - second * near(0.75)


def test_constant_star():
    found = only(curve("c", np.ones(len(TIME))))
    assert found["noise"] == pytest.approx(NOISE, rel=0.05)
    assert found["chi2"] == pytest.approx(1, abs=0.1)
    assert found["eta"] == pytest.approx(2, abs=0.1)
    assert found["ls_log10_fap"] > -3
    assert found["flare_count"] == found["dip_count"] == 0
    assert found["period_multiple"] == 1


def test_eclipsing_binary():
    found = only(curve("e", eclipsing()))
    assert found["period_d"] == pytest.approx(2.3, rel=0.01)
    assert found["primary_depth"] == pytest.approx(0.2, abs=0.02)
    assert found["secondary_depth"] == pytest.approx(0.08, abs=0.02)
    assert found["secondary_phase"] == pytest.approx(0.5, abs=0.03)
    assert found["primary_width"] == pytest.approx(0.04, abs=0.021)
    assert found["skew"] < -2


def test_pulsator_with_a_steep_rise():
    phase = (TIME / 0.55) % 1
    saw = 1 + 0.3 * np.interp(phase, [0, 0.2, 1], [0, 1, 0])
    found = only(curve("r", saw))
    assert found["period_d"] == pytest.approx(0.55, rel=0.002)
    assert found["rise_fraction"] == pytest.approx(0.2, abs=0.06)
    assert found["r21"] == pytest.approx(0.36, abs=0.05)
    assert found["r21_err"] < 0.02
    assert found["flare_count"] == 0


def test_one_point_that_claims_to_be_far_surer_than_the_others_does_not_hide_the_period():
    row = curve("s", 1 + 0.05 * np.sin(2 * np.pi * TIME / 3.77))
    row["flux_err"][100] *= 1e-4
    found = only(row)
    assert found["period_d"] == pytest.approx(3.77, rel=0.02)
    assert found["fourier_explained"] > 0.9


def test_flares_are_counted_and_kept():
    flux = np.ones(len(TIME))
    for start in (300, 1200, 2500):
        flux[start : start + 30] += 0.1 * np.exp(-np.arange(30) / 6)
    found = only(curve("f", flux))
    assert found["flare_count"] == 3
    assert found["flare_amplitude"] == pytest.approx(0.1, rel=0.15)
    assert found["dip_count"] == 0
    assert found["skew"] > 1


def test_drift_is_taken_out_and_told_but_not_the_signal():
    wave = 0.02 * np.sin(2 * np.pi * TIME / 3)
    still, drifting = only(curve("s", 1 + wave)), only(curve("d", 1 + wave + 0.05 * ((TIME - 1413) / 13) ** 2))
    assert drifting["trend"] == pytest.approx(0.05, rel=0.2)
    assert still["trend"] < 0.005
    assert drifting["fourier_amplitude"] == pytest.approx(0.02, rel=0.05)
    assert still["fourier_amplitude"] == pytest.approx(0.02, rel=0.05)


def test_flagged_and_isolated_points_do_not_count():
    shape = np.ones(len(TIME))
    quality = np.zeros(len(TIME), int)
    shape[100:150], quality[100:150] = 3.0, 1 << 7  # manual exclude
    quality[200:260] = 1 << 6  # cosmic ray in the aperture, mended by the pipeline
    shape[[700, 1700]] = 1.5
    found = only(curve("q", shape, quality=quality))
    assert found["n_points"] == len(TIME) - 50 - 2
    assert found["amplitude"] < 0.02
    # the same bits mean other things to Kepler, whose default mask has neither
    kepler = curve("k", np.ones(len(TIME)), quality=np.where(quality == 1 << 7, 1 << 4, quality)) | {
        "mission": "Kepler"
    }
    assert only(kepler)["n_points"] == len(TIME)


def test_flux_scale_and_magnitudes_do_not_matter():
    faint, bright = only(curve("a", eclipsing(), level=10)), only(curve("b", eclipsing(), level=1e5))
    for one in FEATURES:
        if bright[one.name] is None:  # lags longer than the curve
            assert faint[one.name] is None, one.name
        else:
            assert faint[one.name] == pytest.approx(bright[one.name], rel=2e-3, abs=1e-4), one.name
    row = curve("m", 1 + 0.1 * np.sin(2 * np.pi * TIME / 3))
    flux = np.array(row["flux"])
    ground = pa.table(
        {
            "lc_id": ["m"],
            "time_d": [row["time_btjd"]],
            "mag": [(15 - 2.5 * np.log10(flux)).tolist()],
            "mag_err": [(1.0857 * NOISE * np.ones(len(flux))).tolist()],
        }
    )
    table, _, _ = lightcurve_features(ground, ground["lc_id"], MAGNITUDES)
    found = table.to_pylist()[0]
    assert found["fourier_amplitude"] == pytest.approx(0.1, rel=0.02)
    assert found["mag_median"] == pytest.approx(15 - 2.5 * np.log10(5000), abs=0.01)
    assert found["period_d"] == pytest.approx(3, rel=0.002)
    assert found["flicker_8h"] is None
    assert "ra" not in table.column_names


def test_every_row_is_accounted_for():
    ones = np.ones(len(TIME))
    torn = curve("torn", ones)
    torn["flux"] = torn["flux"][:-1]
    short = curve("short", ones[:30], time=TIME[:30])
    blank = curve("blank", np.full(len(TIME), np.nan))
    negative = curve("negative", -ones)
    rows = pa.Table.from_pylist(
        [curve("good", ones), torn, short, blank, negative, curve("orphan", ones)], schema=SCHEMA
    )
    names = [name for name in rows["lc_id"].to_pylist() if name != "orphan"]
    claims = pa.table({"object_id": names, "survey": ["tess_lightcurves"] * 5, "survey_id": names})
    inputs = {
        "lightcurves": PartitionInput(rows, rows.slice(0, 0)),
        "associations": PartitionInput(claims, claims.slice(0, 0)),
    }
    found = run_lightcurves(None, inputs, lightcurves_step().params)
    assert found.table["lc_id"].to_pylist() == ["good"]
    assert found.accounting.filtered == {"too_few_points": 2, "median_flux_not_positive": 1}
    assert found.accounting.gap == 0
    assert found.quarantine["lc_id"].to_pylist() == ["torn", "orphan"]
    assert "time 3888, value 3887" in found.quarantine["reason"][0].as_py()


def test_absent_survey_gives_an_empty_table_of_the_same_columns():
    nothing = PartitionInput(pa.table({}), pa.table({}), absent=True)
    empty = run_lightcurves(None, {"lightcurves": nothing}, lightcurves_step().params)
    full, _, _ = features(curve("c", np.ones(len(TIME))))
    assert empty.table.schema.equals(full.schema, check_metadata=True)


def test_plain_step_has_no_associations():
    step = lightcurves_step(
        "features.asas_lightcurves", "curated.asas_lightcurves", associations=None, params=MAGNITUDES
    )
    assert (step.layout, set(step.inputs), step.quarantine) == ("plain", {"lightcurves"}, "quarantine.asas_lightcurves")


def test_extractor_and_feature_table_name_the_same_things():
    names = [one.name for one in FEATURES]
    assert names[: len(extractor().names)] == extractor().names
    assert len(set(names)) == len(names)
    assert all(one.description for one in FEATURES)


def test_pieces():
    assert runs(np.array([1, 1, 0, 1, 1, 1], bool), 3) == [(3, 6)]
    value = np.random.default_rng(0).normal(1, 0.01, 500)
    value[[50, 51, 52]] += 0.5  # three in a row are a flare
    value[200] -= 0.5
    assert np.flatnonzero(isolated_outliers(value)).tolist() == [200]
    time = np.linspace(0, 10, 500)
    value = 1 + 0.1 * time
    value[100:130] -= 3  # an eclipse does not bend the trend
    np.testing.assert_allclose(robust_polynomial(time, value, 2), 1 + 0.1 * time, atol=1e-6)


def test_asas_stars_have_the_periods_of_their_class(real_data):
    wanted = {"RR_Lyrae_FM": (0.35, 1.0), "Delta_Scuti": (0.03, 0.35), "Classical_Cepheid": (1.0, 60.0)}
    with (real_data / "asas" / "classes.csv").open() as file:
        classes = {row["asas_id"]: row["class"] for row in csv.DictReader(file)}
    rows = []
    with tarfile.open(real_data / "asas" / "lightcurves.tar.gz") as archive:
        for member in archive:
            name = member.name.rpartition("/")[2].removesuffix(".dat")
            if classes.get(name) in wanted and sum(classes[r["lc_id"]] == classes[name] for r in rows) < 10:
                time, mag, err = np.genfromtxt(io.BytesIO(archive.extractfile(member).read()), delimiter=",").T
                rows.append({"lc_id": name, "time_d": time.tolist(), "mag": mag.tolist(), "mag_err": err.tolist()})
    table = pa.Table.from_pylist(rows)
    found, _, _ = lightcurve_features(table, table["lc_id"], MAGNITUDES)
    inside = [
        wanted[classes[one["lc_id"]]][0] < one["period_ls_d"] < wanted[classes[one["lc_id"]]][1]
        for one in found.to_pylist()
    ]
    assert len(inside) == 30
    assert np.mean(inside) >= 0.9


def test_installation_compiles_what_both_kinds_of_curves_need():
    compile_kernels()
    signatures = {one: len(one.signatures) for one in (whole_cycle, true_peak, usable_points)}
    features(curve("c", eclipsing()))
    assert {one: len(one.signatures) for one in signatures} == signatures


def sectors(period=2.3, steps=(1.0, 3.0, 0.4), seed=5):
    """Rows of one star, a sector each on a scale of its own, then one of another star."""
    random = np.random.default_rng(seed)
    rows = []
    for number, step in [*enumerate(steps), (9, 1.0)]:
        time = np.arange(28.0 * number, 28.0 * number + 26, 0.02)
        flux = 1 + 0.05 * np.sin(2 * np.pi * time / period) - 0.3 * (((time + 0.4) % (2 * period)) < 0.1)
        flux = (flux + random.normal(0, 1e-3, len(time))) * step * 1000
        rows.append(
            {
                "lc_id": f"tic-1-s{number}" if number != 9 else "tic-2-s9",
                "mission": "TESS",
                "ra": 1.0,
                "dec": 2.0,
                "epoch_yr": 2000.0,
                "ticid": 1 if number != 9 else 2,
                "sector": number,
                "tmag": 10.0,
                "time_btjd": time,
                "flux": flux.astype(np.float32),
                "flux_err": np.full(len(time), step, np.float32),
                "quality": np.zeros(len(time), np.int32),
            }
        )
    types = {"flux": pa.float32(), "flux_err": pa.float32(), "quality": pa.int32(), "time_btjd": pa.float64()}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pa.table({k: pa.array(v, pa.list_(types[k])) if k in types else pa.array(v) for k, v in columns.items()})


def test_sectors_of_one_star_are_one_curve_where_asked():
    rows = sectors()
    names = pa.array(["tic-1", "tic-1", "tic-1", "tic-2"])
    claims = pa.table({"object_id": names, "survey": ["tess_lightcurves"] * 4, "survey_id": rows["lc_id"]})
    shuffled = rows.take(pa.array([2, 0, 3, 1]))
    inputs = {
        "lightcurves": PartitionInput(shuffled, shuffled.slice(0, 0)),
        "associations": PartitionInput(claims, claims.slice(0, 0)),
    }
    found = run_lightcurves(None, inputs, lightcurves_step(params={"stitch": True}).params)
    assert found.accounting.gap == 0
    assert (found.accounting.rows_in, found.accounting.rows_out, found.accounting.merged) == (4, 2, 2)
    many, one = found.table.to_pylist()
    assert (many["lc_id"], many["object_id"], many["ticid"]) == ("tic-1-s0+s1+s2", "tic-1", 1)
    assert many["span_d"] == pytest.approx(82, abs=0.1) and many["n_points"] == 3 * one["n_points"]
    assert many["segment_lc_id"] == ["tic-1-s0", "tic-1-s1", "tic-1-s2"] and one["segment_lc_id"] is None
    assert many["segment_how"] == ["reference", "median", "median"]
    assert many["segment_moved"] == pytest.approx([1, 1 / 3, 1 / 0.4], rel=2e-3)
    # eclipses every second cycle of the wave: three sectors tell, and the scales leave nothing behind
    assert many["period_d"] == pytest.approx(4.6, rel=1e-3)
    assert many["fourier_amplitude"] == pytest.approx(0.05, rel=0.2)
    assert many["primary_depth"] == pytest.approx(one["primary_depth"], rel=0.05)
    assert many["trend"] < 0.02
    # a star of one sector has what it has without
    alone = run_lightcurves(None, inputs, lightcurves_step().params).table.to_pylist()
    (same,) = [row for row in alone if row["lc_id"] == "tic-2-s9"]
    assert one["segment_how"] is None and one["segment_moved"] is None
    assert {name: value for name, value in one.items() if not name.startswith("segment_")} == same
    assert len(alone) == 4


def test_curves_of_several_missions_stay_apart_and_broken_ones_go_to_quarantine():
    rows = sectors()
    missions = pa.array(["TESS", "Kepler", "TESS", "TESS"])
    rows = rows.set_column(rows.column_names.index("mission"), "mission", missions)
    lists = rows["flux"].to_pylist()
    lists[2] = lists[2][:-1]
    rows = rows.set_column(rows.column_names.index("flux"), "flux", pa.array(lists, pa.list_(pa.float32())))
    claims = pa.table(
        {"object_id": ["tic-1"] * 3 + ["tic-2"], "survey": ["tess_lightcurves"] * 4, "survey_id": rows["lc_id"]}
    )
    inputs = {
        "lightcurves": PartitionInput(rows, rows.slice(0, 0)),
        "associations": PartitionInput(claims, claims.slice(0, 0)),
    }
    found = run_lightcurves(None, inputs, lightcurves_step(params={"stitch": True}).params)
    assert found.table["lc_id"].to_pylist() == ["tic-1-s0", "tic-1-s1", "tic-2-s9"]
    assert found.quarantine["lc_id"].to_pylist() == ["tic-1-s2"] and found.accounting.gap == 0
    assert found.quarantine["reason"].to_pylist()[0].startswith("arrays of different length")


def test_a_spline_and_clipping_may_be_asked_for():
    rows = sectors(steps=(1.0,))
    plain, _, _ = lightcurve_features(rows, rows["lc_id"])
    drifted = rows["flux"].to_pylist()
    time = rows["time_btjd"].to_pylist()
    drifted = [
        np.float32(np.array(f) * (1 + 0.05 * np.sin(np.array(t) / 5))) for f, t in zip(drifted, time, strict=True)
    ]
    rows = rows.set_column(rows.column_names.index("flux"), "flux", pa.array(drifted, pa.list_(pa.float32())))
    splined, _, _ = lightcurve_features(rows, rows["lc_id"], {"detrend_window_d": 8.0, "clip_brighter": 5.0})
    for before, after in zip(plain.to_pylist(), splined.to_pylist(), strict=True):
        assert after["trend"] > 0.05
        assert after["fourier_amplitude"] == pytest.approx(before["fourier_amplitude"], rel=0.05)
        assert after["primary_depth"] == pytest.approx(before["primary_depth"], rel=0.05)
        assert before["n_points"] >= after["n_points"] > before["n_points"] - 10


def test_a_table_may_say_its_segments_itself():
    rows = sectors(steps=(1.0,)).slice(0, 1)
    count = len(rows["flux"][0])
    numbers = np.repeat([0, 1], [count // 2, count - count // 2]).astype(np.int32)
    flux = np.array(rows["flux"][0].as_py()) * np.where(numbers == 1, 5.0, 1.0)
    rows = rows.set_column(rows.column_names.index("flux"), "flux", pa.array([flux], pa.list_(pa.float32())))
    told = rows.append_column("segment", pa.array([numbers], pa.list_(pa.int32())))
    found, _, reasons = lightcurve_features(told, told["lc_id"])
    assert reasons == [None] and found["segment_moved"].to_pylist()[0][1] == pytest.approx(0.2, rel=0.01)
    assert found["amplitude"][0].as_py() < 0.3
    short = rows.append_column("segment", pa.array([numbers[:-1]], pa.list_(pa.int32())))
    assert lightcurve_features(short, short["lc_id"])[2] == ["arrays of different length: segment and time"]
