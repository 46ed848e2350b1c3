"""The same questions by every client that astronomers have, and by DuckDB itself."""

import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import pyvo
from astropy.table import Table
from astroquery.utils.tap.core import TapPlus

ADQL = Path(__file__).resolve().parents[4] / "sql" / "adql"
QUESTIONS = sorted(ADQL.glob("*.adql"))


def by_pyvo(url: str, text: str, folder: Path) -> Table:
    return pyvo.dal.TAPService(url).run_sync(text).to_table()


def by_pyvo_job(url: str, text: str, folder: Path) -> Table:
    return pyvo.dal.TAPService(url).run_async(text).to_table()


def by_astroquery(url: str, text: str, folder: Path) -> Table:
    return TapPlus(url=url).launch_job(text).get_results()


def by_astroquery_job(url: str, text: str, folder: Path) -> Table:
    return TapPlus(url=url).launch_job_async(text).get_results()


def by_stilts(url: str, text: str, folder: Path) -> Table:
    if shutil.which("stilts") is None:
        pytest.skip("stilts is not installed")
    out = folder / "out.vot"
    command = ["stilts", "tapquery", f"tapurl={url}", f"adql={text}", f"out={out}", "ofmt=votable"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Table.read(out, format="votable")


CLIENTS = (by_pyvo, by_pyvo_job, by_astroquery, by_astroquery_job, by_stilts)


def same(found, expected) -> bool:
    if expected is None or (isinstance(expected, float) and math.isnan(expected)):
        return found is None or found in ("", "--") or (isinstance(found, float) and math.isnan(found))
    if isinstance(expected, float):
        return found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    return found == expected


def test_there_are_twelve_questions_each_with_its_twin():
    assert len(QUESTIONS) == 12
    assert all(file.with_suffix(".sql").is_file() for file in QUESTIONS)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda file: file.stem)
def test_clients_and_duckdb_agree(lake, service, tmp_path, client, question):
    found = client(service, question.read_text(), tmp_path)
    with lake.asks() as connection:
        expected = connection.arrow(question.with_suffix(".sql").read_text())
    assert expected.num_rows, "a question without an answer proves nothing"
    assert found.colnames == expected.column_names
    assert len(found) == expected.num_rows
    for name in found.colnames:
        for one, other in zip(np.ma.asarray(found[name]).tolist(), expected[name].to_pylist(), strict=True):
            assert same(one, other), (name, one, other)


def test_columns_carry_unit_ucd_and_description(service):
    result = pyvo.dal.TAPService(service).run_sync(
        "SELECT TOP 1 o.ra AS x, MAX(t.teff_k) AS hot FROM curated.objects o, scores.photometric_teff t GROUP BY o.ra"
    )
    x, hot = result.getdesc("x"), result.getdesc("hot")
    assert (str(x.unit), x.ucd, x.description) == ("deg", "pos.eq.ra;meta.main", "ICRS")
    assert str(hot.unit) == "K"


def test_pyvo_sees_the_tables_limits_features_and_examples(service):
    known = pyvo.dal.TAPService(service)
    assert {"curated.objects", "scores.photometric_teff", "tap_schema.columns"} <= set(known.tables.keys())
    assert "raw.stars" not in set(known.tables.keys())
    columns = {column.name: column for column in known.tables["scores.photometric_teff"].columns}
    assert '"size"' in columns and "prediction_set" not in columns
    assert str(columns["teff_k"].unit) == "K"
    assert known.maxrec == 20000 and known.hardlimit == 50000
    assert len(known.examples) == len(QUESTIONS)


def test_overflow_is_told_and_maxrec_kept(service):
    known = pyvo.dal.TAPService(service)
    cut = known.run_sync("SELECT object_id FROM curated.objects", maxrec=10)
    assert len(cut) == 10 and cut.query_status == "OVERFLOW"
    whole = known.run_sync("SELECT TOP 10 object_id FROM curated.objects", maxrec=10)
    assert whole.query_status == "OK"


@pytest.mark.parametrize("format_", ["votable", "votable/td", "text/xml", "csv", "tsv", "fits", "parquet"])
def test_every_format_says_the_same(service, tmp_path, format_):
    import httpx

    query = (
        'SELECT o.object_id, o.ra, o.n_sources, t.teff_k, t.is_out_of_range, t."size", POINT(o.ra, o.dec) AS p'
        " FROM curated.objects AS o LEFT OUTER JOIN scores.photometric_teff AS t USING (object_id) ORDER BY object_id"
    )
    parameters = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": format_}
    tables = []
    for one in ("votable/td", format_):
        answer = httpx.get(f"{service}/sync", params={**parameters, "RESPONSEFORMAT": one}, timeout=60)
        assert answer.status_code == 200, answer.text
        file = tmp_path / f"result-{len(tables)}"
        file.write_bytes(answer.content)
        kinds = {"csv": "ascii.csv", "tsv": "ascii.tab", "fits": "fits", "parquet": "parquet.votable"}
        tables.append(Table.read(file, format=kinds.get(one, "votable")))
    expected, found = tables
    # astropy puts a Parquet file's columns that its header does not tell at the end
    assert sorted(found.colnames) == sorted(expected.colnames)
    assert len(found) == len(expected) == 3000
    assert list(map(str, found["object_id"])) == list(map(str, expected["object_id"]))
    for name in ("ra", "teff_k", "size"):
        one, other = (np.ma.filled(np.ma.asarray(table[name]).astype(float), np.nan) for table in (found, expected))
        np.testing.assert_array_equal(one, other)


def test_uploads_are_joined(service):
    mine = Table({"name": ["here", "there"], "ra": [0.0, 2.0], "dec": [0.0, 1.0]})
    mine["ra"].unit = "deg"
    query = (
        "SELECT m.name, m.ra, COUNT(*) AS n FROM tap_upload.mine AS m, curated.objects AS o"
        " WHERE 1 = CONTAINS(POINT(o.ra, o.dec), CIRCLE(m.ra, m.dec, 1.5)) GROUP BY m.name, m.ra ORDER BY m.name"
    )
    known = pyvo.dal.TAPService(service)
    by_sync = known.run_sync(query, uploads={"mine": mine}).to_table()
    by_job = known.run_async(query, uploads={"mine": mine}).to_table()
    assert list(by_sync["name"]) == list(by_job["name"]) == ["here", "there"]
    assert list(by_sync["n"]) == list(by_job["n"]) and min(by_sync["n"]) > 0
    assert str(by_sync["ra"].unit) == "deg"


def test_regions_are_exact_whether_or_not_the_lake_reads_by_region(service):
    """`1 = CONTAINS` is answered by reading a region, `0 < CONTAINS` row by row."""
    known = pyvo.dal.TAPService(service)
    for shape in ("CIRCLE(1, -2, 3.3)", "BOX(359, 2, 7, 5)", "POLYGON(355, -5, 5, -6, 3, 6)", "CIRCLE(0, 0, 180)"):
        texts = [
            f"SELECT object_id FROM curated.objects WHERE {how} CONTAINS(POINT(ra, dec), {shape}) ORDER BY 1"
            for how in ("1 =", "0 <")
        ]
        read, tested = (list(known.run_sync(text)["object_id"]) for text in texts)
        assert read == tested and len(read) > 10
