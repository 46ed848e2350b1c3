"""Photometry of objects: every magnitude a row, its flux, its flags, and which of several is to be taken."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.catalog.curate import _typed, curate
from stellar.catalog.photometry import SCHEMA, PhotometryConfig, load_photometry, photometry, photometry_step
from stellar.photometry.bands import load_bands
from stellar.profile import CATALOG, load_curated, load_profile

BANDS = load_bands().bands
CONFIG = PhotometryConfig.model_validate(
    {
        "sources": [
            {
                "survey": "a",
                "asinh": True,
                "saturated": "sat",
                "blended": "blend",
                "clean": "clean",
                "measurements": [
                    {"band": "SLOAN/SDSS.r", "mag": "r", "error": "r_err"},
                    {"band": "SLOAN/SDSS.i", "mag": "i", "clean": "null"},
                ],
            },
            {
                "survey": "b",
                "quality": "case when made then 'transformed' end",
                "measurements": [{"band": "SLOAN/SDSS.r", "mag": "r"}, {"band": "TESS/TESS.Red", "mag": "t"}],
            },
        ]
    }
)
OBJECTS = pa.table(
    {
        "object_id": ["o1", "o2", "o3", "o4"],
        "ra": [10.0, 20.0, 30.0, 40.0],
        "dec": [1.0, 2.0, 3.0, 4.0],
        "a_id": ["1", "2", None, None],
        "b_id": [None, "7", "8", None],
    }
)
A = pa.table(
    {
        "n": pa.array([3, 2, 1], pa.int64()),
        "r": [15.0, 16.0, 17.0],
        "r_err": [0.1, 0.1, None],
        "i": [15.0, None, 16.5],
        "sat": [False, True, False],
        "blend": [False, True, None],
        "clean": [True, False, True],
    }
)
B = pa.table({"n": ["7", "8"], "r": [16.2, 13.0], "t": [15.5, None], "made": [True, False]})


def rows(**tables: pa.Table) -> list[dict]:
    tables = tables or {"a": A, "b": B}
    result = photometry(OBJECTS, tables, {"a": "n", "b": "n"}, CONFIG, BANDS)
    assert result.accounting.gap == 0 and result.table.schema == SCHEMA
    return result.table.to_pylist()


def one(found: list[dict], object_id: str, survey: str, band: str) -> dict:
    (row,) = [r for r in found if (r["object_id"], r["survey"], r["band"]) == (object_id, survey, band)]
    return row


def test_each_magnitude_is_a_row_with_its_source() -> None:
    found = rows()
    assert [(r["object_id"], r["band"], r["survey"], r["survey_id"]) for r in found] == [
        ("o1", "SLOAN/SDSS.i", "a", "1"),
        ("o1", "SLOAN/SDSS.r", "a", "1"),
        ("o2", "SLOAN/SDSS.r", "b", "7"),
        ("o2", "SLOAN/SDSS.r", "a", "2"),
        ("o2", "TESS/TESS.Red", "b", "7"),
        ("o3", "SLOAN/SDSS.r", "b", "8"),
    ]
    assert {r["object_id"]: (r["ra"], r["dec"]) for r in found} == {"o1": (10, 1), "o2": (20, 2), "o3": (30, 3)}


def test_objects_without_magnitudes_are_counted() -> None:
    result = photometry(OBJECTS, {"a": A, "b": B}, {"a": "n", "b": "n"}, CONFIG, BANDS)
    assert result.accounting.filtered == {"no_photometry": 1}
    # what is added is counted in
    assert result.accounting.rows_in == 7 and result.accounting.rows_out == 6
    nothing = photometry(OBJECTS, {}, {}, CONFIG, BANDS)
    assert nothing.accounting.filtered == {"no_photometry": 4} and nothing.table.schema == SCHEMA


def test_flags_and_words() -> None:
    found = rows()
    saturated = one(found, "o2", "a", "SLOAN/SDSS.r")
    assert saturated["is_saturated"] and saturated["is_blended"] and not saturated["is_clean"]
    assert saturated["quality"] == "saturated, blended, not clean"
    clean = one(found, "o1", "a", "SLOAN/SDSS.r")
    assert (clean["is_saturated"], clean["is_blended"], clean["is_clean"], clean["quality"]) == (
        False,
        None,
        True,
        None,
    )
    made = one(found, "o2", "b", "SLOAN/SDSS.r")
    assert made["quality"] == "transformed" and made["is_clean"]


def test_brighter_than_the_bands_limit_is_saturated_and_where_nothing_is_known_it_is_null() -> None:
    found = rows()
    assert one(found, "o3", "b", "SLOAN/SDSS.r")["is_saturated"] is True
    assert one(found, "o2", "b", "TESS/TESS.Red")["is_saturated"] is None


def test_of_several_the_first_that_is_not_saturated_is_preferred() -> None:
    found = rows()
    assert not one(found, "o2", "a", "SLOAN/SDSS.r")["is_preferred"]
    assert one(found, "o2", "b", "SLOAN/SDSS.r")["is_preferred"]
    sound = A.set_column(4, "sat", [[False, False, False]])
    assert one(rows(a=sound, b=B), "o2", "a", "SLOAN/SDSS.r")["is_preferred"]
    # a saturated one is better than none
    assert one(found, "o3", "b", "SLOAN/SDSS.r")["is_preferred"]


def test_fluxes_and_their_errors() -> None:
    found = rows()
    row = one(found, "o1", "a", "SLOAN/SDSS.r")
    assert row["flux_jy"] == pytest.approx(3631 * 10**-6.8, rel=1e-4)  # r = 17
    assert row["mag_err"] is row["flux_jy_err"] is row["flux_cgs_err"] is None
    known = one(found, "o2", "a", "SLOAN/SDSS.r")
    assert known["flux_jy_err"] / known["flux_jy"] == pytest.approx(0.4 * np.log(10) * np.hypot(0.1, 0.01), rel=1e-4)
    assert known["flux_cgs_err"] / known["flux_cgs"] == pytest.approx(known["flux_jy_err"] / known["flux_jy"])
    assert known["system"] == "AB" and one(found, "o2", "b", "TESS/TESS.Red")["system"] == "Vega"


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_every_magnitude_comes_out_once(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 8))
    mag = st.one_of(st.none(), st.floats(5, 25))
    columns = {name: pa.array(data.draw(st.lists(mag, min_size=n, max_size=n)), pa.float64()) for name in "ri"}
    a = pa.table({"n": pa.array(range(n), pa.int64()), **columns}).append_column("r_err", pa.nulls(n, pa.float64()))
    for flag in ("sat", "blend", "clean"):
        a = a.append_column(flag, pa.nulls(n, pa.bool_()))
    members = data.draw(st.lists(st.one_of(st.none(), st.integers(0, n - 1)), min_size=1, max_size=6, unique=True))
    objects = pa.table(
        {
            "object_id": [f"o{i}" for i in range(len(members))],
            "ra": [0.0] * len(members),
            "dec": [0.0] * len(members),
            "a_id": pa.array([None if m is None else str(m) for m in members], pa.string()),
        }
    )
    result = photometry(objects, {"a": a}, {"a": "n"}, CONFIG, BANDS)
    assert result.accounting.gap == 0
    wanted = {
        (f"o{i}", f"SLOAN/SDSS.{name}", columns[name][m].as_py())
        for i, m in enumerate(members)
        if m is not None
        for name in "ri"
        if columns[name][m].is_valid
    }
    found = [(r["object_id"], r["band"], r["mag"]) for r in result.table.to_pylist()]
    assert len(found) == len(set(found)) and set(found) == wanted
    assert result.table["is_preferred"].to_pylist() == [True] * len(found)


@pytest.mark.parametrize("name", ["simulated", "tiny", "real"])
def test_a_profile_reads_columns_that_its_datasets_have(name: str) -> None:
    profile = load_profile(name)
    step = photometry_step(profile)
    used = {s["survey"]: s for s in step.params["photometry"]["sources"]}
    assert used and set(used) | {"objects"} == set(step.inputs)
    for survey, source in used.items():
        assert {c for m in source["measurements"] for c in (m["mag"], m["error"]) if c} <= set(
            step.inputs[survey].columns
        )
    assert {b["id"] for b in step.params["bands"]} == {m["band"] for s in used.values() for m in s["measurements"]}


def test_all_sources_name_bands_and_datasets_that_are_there() -> None:
    known = {one.id for one in BANDS}
    datasets = {path.stem for path in CATALOG.glob("*.yaml")}
    for source in load_photometry().sources:
        assert source.survey in datasets
        assert {m.band for m in source.measurements} <= known
        if source.asinh:
            assert all(one.asinh_softening for one in BANDS if one.id in {m.band for m in source.measurements})


@pytest.mark.parametrize("source", load_photometry().sources, ids=lambda source: source.survey)
def test_sentinels_are_no_magnitudes_whatever_the_survey(source) -> None:
    """A marker of a missing value is null on the way in, and the row stays."""
    config = load_curated(source.survey)
    markers = [-9999.0, -999.0, -99.99, 99.0, 99.99, 0.0]
    magnitudes = [
        c for c in config.columns if not c.expr and c.type.startswith("float") and (c.ucd or "").startswith("phot.mag")
    ]
    if source.survey == "lamost_parameters":
        magnitudes = [config.column(f"mag{i}") for i in range(1, 8)]
    assert magnitudes
    for column in magnitudes:
        table = pa.table({column.source or column.name: markers, "batch_id": ["b"] * len(markers)})
        found = curate(table, table.slice(0, 0), config).quarantine
        reasons = set(found["reason"].to_pylist()) if found is not None else set()
        assert not any(reason.startswith(f"{column.name}:") for reason in reasons), reasons
        typed = _typed(table, config).columns[column.name].to_pylist()
        assert typed == [None] * len(markers), f"{source.survey}.{column.name} keeps {typed}"


def test_page_is_up_to_date(root) -> None:
    done = subprocess.run(
        [sys.executable, "ops/photometry_page.py", "--check"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
