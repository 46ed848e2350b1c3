"""The benchmarks' own parts: made skies, measurement, comparison of pairs, and the page. No timing is asserted."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import cones, increment, page, page_models, page_serving, pairs, quality, table
from benchmarks import sky as skies
from benchmarks.measure import CommandFailedError, Measured, measure
from stellar.sky.separation import separation_arcsec

SMALL = skies.Sky("small", 4_000, 2_000, 1_200, 3, box=(100.0, 160.0, -20.0, 20.0))
ORDERED = replace(SMALL, name="ordered", box=None, in_sky_order=True, files=5)


def whole(sky, side):
    return pa.concat_tables([skies.SIDES[side](sky, file) for file in range(sky.files)])


@pytest.mark.parametrize("sky", [SMALL, ORDERED])
def test_a_made_sky_has_its_rows_ids_and_true_pairs(sky):
    left, right = whole(sky, "left").to_pandas(), whole(sky, "right").to_pandas()
    assert len(left) == sky.left and len(right) == sky.right
    assert sorted(left.id) == list(range(sky.left)) and right.id.is_unique
    both = left.merge(right, on="id", suffixes=("_left", "_right"))
    assert len(both) == sky.pairs
    assert separation_arcsec(both.ra_left, both.dec_left, both.ra_right, both.dec_right).max() < 2
    if sky.box:
        assert left.ra.between(100, 160).all() and left.dec.between(-20, 20).all()


def test_files_in_sky_order_follow_one_another():
    import healpy

    index = [healpy.ang2pix(2**20, t["ra"], t["dec"], nest=True, lonlat=True) for t in map(left_ordered, range(5))]
    assert all(before.max() <= after.min() for before, after in itertools.pairwise(index))


def left_ordered(file):
    return {name: column.to_numpy() for name, column in zip(*columns(skies.left_rows(ORDERED, file)), strict=True)}


def columns(table):
    return table.column_names, table.columns


def test_a_sky_is_made_once_and_always_the_same(tmp_path):
    folder = skies.make(SMALL, tmp_path)
    assert [file.name for file in skies.files(folder, "left")] == [f"left_{k:03d}.parquet" for k in range(3)]
    assert pq.read_table(skies.files(folder, "right")[1]).equals(skies.right_rows(SMALL, 1))
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert skies.make(SMALL, tmp_path) == folder
    assert before == {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    fits = skies.as_fits(folder, "left")
    found = pairs.of_fits(fits, "id", "id")
    assert sorted(found.left) == list(range(SMALL.left))


def test_memory_counts_every_process_once_and_those_that_left_home():
    child = "import time; held = bytearray(b'x') * 60_000_000; time.sleep(0.6)"
    parent = (
        "import subprocess, sys, time; held = bytearray(b'x') * 60_000_000;"
        "subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True); time.sleep(0.4); print('{}')"
    )
    found = measure([sys.executable, "-c", parent, child], memory=True)
    assert found.output == "{}\n"
    assert 115e6 < found.peak_bytes < 200e6


def test_a_command_that_fails_says_why():
    with pytest.raises(CommandFailedError, match="exited with 3:\nno such star"):
        measure([sys.executable, "-c", "print('no such star'); raise SystemExit(3)"])


def test_the_json_of_a_command_is_all_it_prints_or_its_last_line():
    assert measure([sys.executable, "-c", "print('warning'); print('{\"a\": 1}')"]).json() == {"a": 1}
    assert measure([sys.executable, "-c", "print('{'); print('\"a\": 1}')"]).json() == {"a": 1}


@pytest.fixture
def places(tmp_path):
    degree = 1 / 3600
    left = pa.table({"id": [1, 2, 3, 4], "ra": [10.0, 20.0, 30.0, 40.0], "dec": [0.0] * 4})
    right = pa.table(
        {
            "id": [11, 12, 13, 14, 15],
            "ra": [10.0 + degree / 2, 10.0 - degree / 2, 20.0, 30.0 + degree, 40.0],
            "dec": [0.0, 0.0, 0.0, 0.0, 0.9 * degree],
        }
    )
    pq.write_table(left, tmp_path / "left_000.parquet")
    pq.write_table(right, tmp_path / "right_000.parquet")
    return pairs.Places(tmp_path)


@pytest.mark.parametrize(
    ("theirs", "equal", "ties", "at_the_radius", "wrong"),
    [
        ([(2, 13), (1, 11)], 2, 0, 0, 0),
        ([(1, 12), (2, 13)], 1, 1, 0, 0),  # as far on the other side
        ([(1, 11), (2, 13), (3, 14)], 2, 0, 1, 0),  # at exactly the radius
        ([(1, 11)], 1, 0, 0, 1),
        ([(1, 11), (2, 13), (4, 15)], 2, 0, 0, 1),
        ([(1, 13), (2, 13)], 1, 0, 0, 1),
    ],
)
def test_pairs_differ_only_by_ties_or_they_are_wrong(places, theirs, equal, ties, at_the_radius, wrong):
    ours = pairs.Pairs(np.array([1, 2]), np.array([11, 13]))
    found = pairs.compare(ours, pairs.Pairs(*np.array(theirs).T), places, 1.0)
    assert (found.equal, found.ties, found.at_the_radius, found.wrong) == (equal, ties, at_the_radius, wrong)


def test_a_change_stays_in_its_part_of_the_sky():
    import healpy

    def index(table):
        return healpy.ang2pix(2**29, table["ra"].to_numpy(), table["dec"].to_numpy(), nest=True, lonlat=True)

    before = skies.left_rows(ORDERED, 2)
    after = increment.changed_rows(before)
    assert after.equals(increment.changed_rows(before))
    low, high = skies.PIXELS_29 * 2 // 5, skies.PIXELS_29 * 3 // 5
    assert index(after).min() >= low and index(after).max() < high
    old, new = before.to_pandas().set_index("id"), after.to_pandas().set_index("id")
    both = old.index.intersection(new.index)
    assert 0 < len(old.index.difference(new.index)) < 0.05 * len(old)
    assert 0 < len(new.index.difference(old.index)) < 0.05 * len(old)
    assert 0.05 < (old.loc[both, "ra"] != new.loc[both, "ra"]).mean() < 0.15
    assert 0.25 < (old.loc[both, "f0"] != new.loc[both, "f0"]).mean() < 0.42


def test_cones_lie_near_rows(tmp_path):
    folder = skies.make(replace(SMALL, files=10), tmp_path)
    places = np.array(cones.positions_near(skies.files(folder, "left"), 50, 1))
    left = whole(replace(SMALL, files=10), "left")
    nearest = [separation_arcsec(ra, dec, left["ra"].to_numpy(), left["dec"].to_numpy()).min() for ra, dec in places]
    assert places.shape == (50, 2) and max(nearest) <= 5.001


def test_the_quality_of_a_match():
    one = quality.Quality(radius_arcsec=1.0, matches=80, true=60, within=75, pairs=100)
    assert (one.completeness, one.found_within, one.purity) == (0.6, 0.8, 0.75)
    assert "| 1.0 | 80 | 60 | 75 | 80.00% | 60.00% | 75.00% |" in quality.table([one])
    assert np.isnan(quality.Quality(0.1, 0, 0, 0, 10).purity)


def test_the_crowded_field_is_around_the_stars():
    stars = pa.table({"id": np.arange(300), "ra": np.linspace(0, 359, 300), "dec": np.linspace(-80, 80, 300)})
    field = quality.with_field(stars).to_pandas()
    made = field[field.id >= quality.FIELD_IDS]
    expected = 300 * quality.FIELD_PER_SQUARE_DEGREE * np.pi * (quality.FIELD_ARCSEC / 3600) ** 2
    assert abs(len(made) - expected) < 5 * np.sqrt(expected)
    apart = [
        separation_arcsec(ra, dec, stars["ra"].to_numpy(), stars["dec"].to_numpy()).min()
        for ra, dec in zip(made.ra, made.dec, strict=True)
    ]
    assert max(apart) <= quality.FIELD_ARCSEC * 1.001


def figures():
    """Figures of a made-up run in which everything but STILTS's ratio is met."""

    def record(wall, peak=100, **phases):
        return {"wall": [wall], "phases": [phases] if phases else [], "peak_bytes": peak * 2**20, "outcome": {}}

    ours = {
        "stellar import left": record(1.5, start=0.2, ledger=0.3, build=0.9),
        "stellar import right": record(0.5, start=0.1, ledger=0.1, build=0.3),
        "stellar crossmatch": record(1.0, start=0.1, ledger=0.1, build=0.6),
    }
    hats = record(25.0, workers=1.0, import_left=10.0, import_right=6.0, margin_left=4.0, margin_right=1.0)
    peers = {"hats-import": hats, "lsdb": record(12.0, workers=1.0, open=0.5, crossmatch_and_write=9.0)}
    peers |= {"stilts": record(3.0), "floor": record(0.8, read=0.3, write=0.2)}
    table = {"left": 2_000_000, "right": 1_000_000}
    table |= {"ours": {"date": "then", "measured": ours}, "peers": {"date": "before", "measured": peers}}
    table["pairs"] = {"LSDB": {"ours": 5, "theirs": 5, "equal": 4, "ties": 1, "at_the_radius": 0, "wrong": 0}}
    sizes = [
        {"left": n * 1_000_000, "right": n * 500_000, "measured": {"one": record(n, build=n**1.05)}} for n in (1, 50)
    ]
    same = {"left": {"snapshot": True, "files": True}}
    seconds = {"full": {"left": 30.0}, "increment": {"left": 1.0}, "full_of_changed": {"left": 28.0}}
    built = {"left": {"built": 2, "partitions": 192, "rows": 1, "seconds": {}}}
    tool = {"cones": 10, "p50_ms": 1.0, "p95_ms": 2.0}
    curves = {name: [1.0] for name in page_models.LIGHTCURVE_TOOLS} | {"astropy": [30.0]}
    versions = {"processor": "one", "cores": 2, "memory_gib": 8, "system": "Linux", "ours": {}, "peers": {}}
    found = {
        "table": table,
        "scaling": {"date": "then", "sizes": [size | {"measured": {**size["measured"]}} for size in sizes]},
        "increment": {"date": "then", "seconds": seconds, "same": same, "increment": built},
        "lightcurves": {
            "date": "then",
            "curves": 4,
            "points": 1200,
            "frequencies": 20000,
            "ms": curves,
            "peak_bytes": dict.fromkeys(curves, 2**20),
        },
        "spectra": {"date": "then", "spectra": 9, "per_second": {"prepare": [100.0]}, "peak_bytes": 2**20},
        "cones": {"date": "then", "rows_found": 9, "tools": dict.fromkeys(("stellar", "lsdb", "duckdb"), tool)}
        | {"again": {"p50_ms": 0.5, "p95_ms": 0.6}},
        "density": {
            "date": "then",
            "rows": 9,
            "partitions": 3,
            "bytes": 2**20,
            "cache_bytes": 2**20,
            "ms": {"cells": [50.0], "never counted": [900.0], "counted before": [120.0, 130.0]},
        },
    }
    found["photometry"] = {
        "date": "then",
        "ours": {
            "rows": 1000,
            "model_bytes": 1e6,
            "seconds": {"train": 9.0, "fit": 5.0, "predict": 4.0, "array": [2.0, 2.1], "file to file": [2.5, 2.6]},
            "figures": {"mae": 480.0, "rmse": 900.0, "r2": 0.7, "within_10_percent": 0.8, "crps": 350.0,
                        "pit_mean": 0.5, "pit_std": 0.29, "interval_coverage": 0.9},
            "coverage": {"[-inf, 5000)": 0.89, "[5000, inf)": 0.92},
        },
        "forest": {
            "trees": 10,
            "n_test": 100,
            "seconds": {"fit": 20.0, "predict": 0.1},
            "figures": {"mae_k": 560.0, "rmse_k": 1000.0, "r2": 0.6, "within_10": 0.7, "crps_k": 480.0,
                        "pit_mean": 0.47, "pit_std": 0.43},
        },
    }  # fmt: skip
    ways = {name: 2.0 for name in page_serving.LINEAGE_WAYS} | {"page": 300.0}
    spread = {name: [1.0, 3.0] for name in ways}
    found["lineage"] = {"date": "then", "ancestors": 5104, "edges": 5254, "ledger_edges": 205254, "ms": ways,
                        "spread_ms": spread}  # fmt: skip
    times = {"first_ms": 200.0, "p50_ms": 90.0, "p95_ms": 120.0, "answered": 40}
    found["pages"] = {"date": "then", "rows": 10_000_000, "start_s": 3.0, "up_s": 5.0, "cone": times, "id": times}
    return {name: part | {"machine": versions} for name, part in found.items()}


def test_the_page_says_what_was_met_and_what_was_missed():
    asked = page.requirements(figures())
    assert "- given: 2 M x 1 M, whole process: 12.5 x hats-import" in asked
    assert "- met: 2 M x 1 M, work: 17.5 x hats-import (at least 10)" in asked
    assert "- given: 2 M x 1 M, whole process: 12.0 x LSDB" in asked
    assert "- **missed**: 2 M x 1 M, whole process: 3.0 x STILTS (at least 5)" in asked
    assert "- given: 2 M x 1 M, start and ledger apart: 3.8 x STILTS" in asked
    assert "- met: a change to 1% takes 3.6% of a full build (under 4%)" in asked
    assert "- met: temperatures: MAE 0.857 of the forest's (at most 0.97)" in asked
    assert "- met: map of 10 M rows: cells 50 ms, density 125 ms, 900 ms uncounted (under 1 s)" in asked
    assert "- met: first cone over 10,000,000 rows: 200 ms (under 300)" in asked
    assert "- met: training 120.0 x the forest (at least 10)" in asked
    assert "- met: scoring 11.8 x the forest (at least 10)" in asked
    assert "- met: lineage of a score with 5,104 ancestors: 0.30 s (under 1)" in asked
    assert sum("missed" in line for line in asked) == 1


def test_the_page_has_a_section_for_each_part_measured():
    text = page.render(figures())
    for title, _ in page.SECTIONS.values():
        assert (f"## {title}" in text) == ("big" not in title)
    assert "STILTS `tmatch2" in text and "1 ties" not in text
    assert "not installed" in page.render({"table": without(figures()["table"], "stilts")})
    assert page.render({}).startswith("# Benchmarks")


def without(table, peer):
    measured = {name: one for name, one in table["peers"]["measured"].items() if name != peer}
    return table | {"peers": table["peers"] | {"measured": measured}}


def test_growth_is_the_worst_between_any_two_sizes():
    def size(n, seconds):
        record = {"wall": [seconds], "phases": [{"build": seconds}], "peak_bytes": 2**30, "outcome": {}}
        return {"left": n, "right": 0, "measured": {"one": record}}

    part = {"sizes": [size(1, 4.0), size(10, 20.0), size(100, 250.0)]}
    assert page.growth(part) == pytest.approx(1.25)
    assert page.peak_mib(part) == 1024


def test_commands_take_turns_as_often_as_each_is_to_and_the_last_round_is_the_memorys():
    turns = []

    def run(name):
        return lambda memory: turns.append((name, memory)) or Measured(1.0 + len(turns), 5 * memory, "")

    found = table.rounds({name: run(name) for name in ("peer", "ours")}, {"peer": 1, "ours": 2}, lambda line: None)
    timed = [(name, False) for name in ("peer", "ours", "ours")]
    assert turns == [*timed, ("peer", True), ("ours", True)]
    assert {name: (one["wall"], one["peak_bytes"]) for name, one in found.items()} == {
        "peer": ([2.0], 5),
        "ours": ([3.0, 4.0], 5),
    }


def test_light_curve_features_are_judged_by_the_median_of_the_rounds():
    part = {"ms": {"astropy": [30.0, 30.0, 60.0], "stellar": [2.0, 3.0, 3.0], "stellar, both cores": [1.0, 2.0, 3.0]}}
    assert page.faster(part, "stellar") == 15
    said = page.requirements({"lightcurves": part})
    assert said[0].startswith("- met: light-curve features on one thread: 15.0 x")
    assert said[1].startswith("- met: light-curve features on both cores: 20.0 x")
