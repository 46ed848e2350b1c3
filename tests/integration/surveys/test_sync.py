"""What the surveys bring from a running archive, held against the archive's own tables."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from served_archive import content, served
from stellar.archive.fields import FIELDS
from stellar.errors import InputError, ServiceError
from stellar.sky.healpix import Cell, spatial_index
from stellar.sky.separation import separation_arcsec
from stellar.surveys.base import Region, Scope, open_survey

HALO = FIELDS[0]
TABLES = {
    "gaia": ("gaia_source", "source_id", "source_id"),
    "sdss_photo": ("sdss_photoobj", "objID", "objid"),
    "sdss_spectra": ("sdss_specobj", "specObjID", "specobjid"),
    "tess_lightcurves": ("tess_observations", "obsid", "obsid"),
    "labels": ("simbad_basic", "oid", "oid"),
}
SURVEYS = {"gaia": ["gaia"], "sdss": ["sdss_photo", "sdss_spectra"], "tess": ["tess_lightcurves"], "labels": ["labels"]}


def sync(survey, scope: Scope, done=None):
    """Plan and fetch: dataset -> rows sorted by id, and the signs of what was done."""
    units = survey.plan(scope, done or {})
    parts, signs = {dataset: [] for dataset in survey.datasets}, {}
    for unit in units:
        fetched = survey.fetch(unit)
        assert unit.expected_rows is None or fetched.table.num_rows == unit.expected_rows
        assert len(fetched.response_sha256) == 64
        assert fetched.query
        parts[unit.dataset].append(fetched.table)
        signs[unit.dataset, unit.unit] = unit.sign
    tables = {name: pa.concat_tables(found).sort_by(TABLES[name][2]) for name, found in parts.items() if found}
    return tables, signs


def archived(service, dataset: str) -> pa.Table:
    name, key, _ = TABLES[dataset]
    table = pq.read_table(service.folder / f"{name}.parquet")
    return table.rename_columns([column.lower() for column in table.column_names]).sort_by(key.lower())


@pytest.mark.parametrize("name", list(SURVEYS))
def test_a_whole_survey_comes_row_by_row_and_once(archive_service, tmp_path, name):
    survey = open_survey(name, archive_service.settings(tmp_path))
    tables, signs = sync(survey, Scope())
    for dataset in SURVEYS[name]:
        brought, there = tables[dataset], archived(archive_service, dataset)
        assert brought.num_rows == there.num_rows > 50
        assert survey.id_columns[dataset] in brought.column_names
        assert pc.count_distinct(brought[survey.id_columns[dataset]]).as_py() == brought.num_rows
        assert {"ra", "dec"} <= set(brought.column_names)
        assert brought["ra"].null_count == brought["dec"].null_count == 0
        for column in set(brought.column_names) & set(there.column_names) - {"ra", "dec"}:
            expected = there[column]
            if pa.types.is_string(expected.type):
                expected = pc.if_else(pc.equal(expected, ""), None, expected)
            if column.endswith(("adop", "adopunc", "sspp_flag")):  # not every spectrum went through the SSPP
                expected = pc.if_else(pc.is_null(brought["sspp_flag"]), pa.scalar(None, expected.type), expected)
            assert brought[column].to_pylist() == expected.cast(brought[column].type).to_pylist(), column
    assert survey.plan(Scope(), signs) == []


def test_spectra_hold_what_the_files_hold(archive_service, tmp_path):
    survey = open_survey("sdss", archive_service.settings(tmp_path))
    (unit, *_) = [unit for unit in survey.plan(Scope(), {}) if unit.dataset == "sdss_spectra"]
    row = survey.fetch(unit).table.slice(0, 1).to_pylist()[0]
    index = pq.read_table(archive_service.folder / "sdss_spectra.parquet").to_pylist()
    of = next(r for r in index if (r["plate"], r["mjd"], r["fiberID"]) == (row["plate"], row["mjd"], row["fiberid"]))
    flux = np.load(archive_service.folder / "sdss_flux.npy")[of["spec_row"]]
    pixels = slice(of["pix_start"], of["pix_start"] + of["pix_count"])
    np.testing.assert_allclose(row["flux"], flux[pixels], rtol=1e-6)
    assert row["spec_id"] == f"{row['plate']:04d}-{row['mjd']}-{row['fiberid']:04d}"
    assert len(row["loglam"]) == len(row["ivar"]) == len(row["and_mask"]) == of["pix_count"]
    assert 3.5 < row["loglam"][0] < row["loglam"][-1] < 4.05


def test_light_curves_hold_what_the_files_hold(archive_service, tmp_path):
    survey = open_survey("tess", archive_service.settings(tmp_path))
    row = survey.fetch(survey.plan(Scope(), {})[0]).table.slice(0, 1).to_pylist()[0]
    index = pq.read_table(archive_service.folder / "tess_lightcurves.parquet").to_pylist()
    of = next(r for r in index if (r["ticid"], r["sector"]) == (row["ticid"], row["sector"]))
    flux = np.load(archive_service.folder / "tess_pdcsap.npy")[of["lc_row"]]
    quality = np.load(archive_service.folder / "tess_quality.npy")[of["lc_row"]]
    brought = np.array(row["flux"], np.float32)
    assert np.isfinite(brought).sum() == np.isfinite(flux).sum()
    np.testing.assert_allclose(brought[np.isfinite(brought)], flux[np.isfinite(flux)], rtol=1e-6)
    assert set(np.unique(row["quality"])) <= set(np.unique(quality).tolist())
    assert len(row["time_btjd"]) == len(row["flux"]) == len(row["flux_err"]) == len(row["quality"])
    assert (np.diff(row["time_btjd"]) > 0).all()
    assert row["cadence_s"] == pytest.approx(600)
    assert row["tmag"] == pytest.approx(of["tmag"], abs=1e-3)


@pytest.mark.parametrize("name", list(SURVEYS))
def test_a_region_is_cut_by_position(archive_service, tmp_path, name):
    region = Region(HALO.ra, HALO.dec, HALO.radius_deg / 2)
    survey = open_survey(name, archive_service.settings(tmp_path))
    tables, _ = sync(survey, Scope((region,)))
    for dataset in SURVEYS[name]:
        there = archived(archive_service, dataset)
        ra, dec = ("s_ra", "s_dec") if dataset == "tess_lightcurves" else ("ra", "dec")
        inside = separation_arcsec(there[ra].to_numpy(), there[dec].to_numpy(), region.ra, region.dec)
        key = TABLES[dataset][2]
        expected = there.filter(pa.array(inside <= region.radius_deg * 3600))[key].to_pylist()
        assert 0 < len(expected) < there.num_rows
        assert tables[dataset][key].to_pylist() == expected


@pytest.mark.parametrize("name", list(SURVEYS))
def test_cells_are_cut_exactly(archive_service, tmp_path, name):
    cell = Cell(7, int(spatial_index([HALO.ra + 0.2], [HALO.dec])[0] >> 44))
    tables, _ = sync(open_survey(name, archive_service.settings(tmp_path)), Scope(cells=(cell,)))
    for dataset in SURVEYS[name]:
        there, key = archived(archive_service, dataset), TABLES[dataset][2]
        ra, dec = ("s_ra", "s_dec") if dataset == "tess_lightcurves" else ("ra", "dec")
        inside = cell.contains(spatial_index(there[ra].to_numpy(), there[dec].to_numpy()))
        expected = there.filter(pa.array(inside))[key].to_pylist()
        assert (tables[dataset][key].to_pylist() if dataset in tables else []) == expected
    if name == "gaia":
        assert len(expected) > 0


def test_limits(archive_service, tmp_path):
    settings = archive_service.settings(tmp_path)
    gaia, _ = sync(open_survey("gaia", settings), Scope(magnitude_limit=15.0))
    mags = archived(archive_service, "gaia")["phot_g_mean_mag"].to_numpy(zero_copy_only=False)
    assert gaia["gaia"].num_rows == (mags <= 15).sum() > 0
    tess, _ = sync(open_survey("tess", settings), Scope(magnitude_limit=12.0, row_cap=5))
    assert tess["tess_lightcurves"].num_rows == 5
    assert max(tess["tess_lightcurves"]["tmag"].to_pylist()) <= 12.001
    sdss, _ = sync(open_survey("sdss", settings), Scope(row_cap=30))
    assert [sdss[dataset].num_rows for dataset in ("sdss_photo", "sdss_spectra")] == [30, 30]
    for name in SURVEYS:
        with pytest.raises(InputError, match="release"):
            open_survey(name, settings).plan(Scope(release="dr99"), {})


def test_what_changed_is_noticed_by_its_sign_and_nothing_else_is(archive_service, tmp_path):
    settings = archive_service.settings(tmp_path / "a")
    done = {}
    for name in SURVEYS:
        units = open_survey(name, settings).plan(Scope(), {})
        done[name] = {(unit.dataset, unit.unit): unit.sign for unit in units}
    folder = tmp_path / "changed"
    shutil.copytree(archive_service.folder, folder)
    sources = pq.read_table(folder / "gaia_source.parquet")
    parallax = sources["parallax"].to_numpy(zero_copy_only=False).copy()
    at = int(np.flatnonzero(np.isfinite(parallax))[0])
    parallax[at] += 0.5
    source_id = sources["source_id"][at].as_py()
    at_column = sources.schema.get_field_index("parallax")
    sources = sources.set_column(at_column, "parallax", pa.array(parallax, from_pandas=True))
    lost = sources["source_id"].to_numpy() // (2**35 * 4**6) == done_pixel(done["gaia"], source_id)
    sources = sources.filter(pa.array(~lost))
    pq.write_table(sources, folder / "gaia_source.parquet")
    labels = pq.read_table(folder / "simbad_basic.parquet")
    dates = labels["update_date"].to_pylist()
    dates[0] = "2026-11-01"
    labels = labels.set_column(labels.schema.get_field_index("update_date"), "update_date", pa.array(dates))
    pq.write_table(labels, folder / "simbad_basic.parquet")
    with served(folder) as other:
        settings = other.settings(tmp_path / "b")
        changed = {name: open_survey(name, settings).plan(Scope(), done[name]) for name in SURVEYS}
        assert {name: len(units) for name, units in changed.items()} == {"gaia": 2, "sdss": 0, "tess": 0, "labels": 1}
        gone = next(unit for unit in changed["gaia"] if unit.expected_rows == 0)
        assert open_survey("gaia", settings).fetch(gone).table.num_rows == 0
        (other_unit,) = [unit for unit in changed["gaia"] if unit is not gone]
        assert source_id in open_survey("gaia", settings).fetch(other_unit).table["source_id"].to_pylist()


def test_another_release_is_fetched_whatever_it_counts(archive_service, tmp_path):
    survey = open_survey("sdss", archive_service.settings(tmp_path))
    units = survey.plan(Scope(release="dr16"), {})
    done = {(unit.dataset, unit.unit): unit.sign for unit in units}
    assert survey.plan(Scope(release="dr16"), done) == []
    again = survey.plan(Scope(release="dr17"), done)
    assert {(unit.dataset, unit.unit) for unit in again} == set(done)
    assert {unit.release for unit in again} == {"dr17"}


def done_pixel(done, source_id: int) -> int:
    """A pixel of order 6 that is not that of the given source."""
    pixels = sorted(int(name.rpartition("-")[2]) for _, name in done)
    return next(pixel for pixel in pixels if pixel != source_id // (2**35 * 4**6))


def test_a_second_fetch_comes_from_the_cache(archive_service, tmp_path):
    settings = archive_service.settings(tmp_path)
    for name in SURVEYS:
        survey = open_survey(name, settings)
        unit = survey.plan(Scope(), {})[-1]
        first = survey.fetch(unit)
        archive_service.misbehave(rates={"503": 1.0})
        again = open_survey(name, settings).fetch(unit)
        archive_service.misbehave()
        assert again.response_sha256 == first.response_sha256
        assert content(again.table) == content(first.table)


def test_without_an_archive_the_message_says_so(tmp_path):
    from stellar.settings import load_settings

    for name in SURVEYS:
        with pytest.raises(ServiceError, match=r"embedded archive.*stellar up"):
            open_survey(name, load_settings(home=tmp_path))
