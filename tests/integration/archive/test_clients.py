"""The clients that the field uses, unchanged, against the running service."""

from urllib.parse import urlsplit

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import pyvo
import requests


def table_of(archive_service, name: str):
    return pq.read_table(archive_service.folder / f"{name}.parquet")


@pytest.fixture
def gaia(archive_service, monkeypatch):
    """Astroquery's own client, with its own connections; made as its documentation says."""
    import stellar.surveys.gaia as ours

    ours._client(ours._Connection(None, archive_service.url), archive_service.url)  # imports it without calling home
    from astroquery.gaia import GaiaClass

    url = archive_service.url + "/"
    return GaiaClass(gaia_tap_server=url, gaia_data_server=url, show_server_messages=False)


def test_gaia_sync_async_csv_and_tables(archive_service, gaia):
    sources = table_of(archive_service, "gaia_source")
    query = (
        "SELECT source_id, ra, parallax, phot_g_mean_mag FROM gaiadr3.gaia_source "
        "WHERE phot_g_mean_mag < 15 ORDER BY source_id"
    )
    expected = sources.filter(np.less(sources["phot_g_mean_mag"].to_numpy(), 15)).sort_by("source_id")
    for found in (
        gaia.launch_job(query).get_results(),
        gaia.launch_job_async(query).get_results(),
        gaia.launch_job_async(query, output_format="csv").get_results(),
    ):
        assert np.asarray(found["source_id"]).tolist() == expected["source_id"].to_pylist()
        np.testing.assert_allclose(np.asarray(found["ra"]), expected["ra"].to_numpy(), rtol=0, atol=1e-12)
    assert str(gaia.launch_job(query).get_results()["parallax"].unit) == "mas"
    assert len(gaia.launch_job("SELECT source_id FROM gaiadr3.gaia_source").get_results()) == min(2000, len(sources))
    described = gaia.load_table("gaiadr3.gaia_source")
    assert {column.name for column in described.columns} == set(sources.column_names)


def test_gaia_cone_search(archive_service, gaia):
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    gaia.ROW_LIMIT = -1
    found = gaia.cone_search_async(SkyCoord(0, 20, unit="deg"), radius=0.3 * u.deg).get_results()
    sources = table_of(archive_service, "gaia_source")
    near = SkyCoord(sources["ra"].to_numpy(), sources["dec"].to_numpy(), unit="deg").separation(
        SkyCoord(0, 20, unit="deg")
    )
    assert 0 < len(found) == (near <= 0.3 * u.deg).sum()


def test_errors_are_votables_that_say_what_is_wrong(archive_service, gaia):
    with pytest.raises(requests.HTTPError, match="unknown column 'colour'"):
        gaia.launch_job("SELECT colour FROM gaiadr3.gaia_source")
    with pytest.raises(requests.HTTPError, match=r"unknown table 'gaiadr2\.gaia_source'"):
        gaia.launch_job_async("SELECT * FROM gaiadr2.gaia_source").get_results()
    with pytest.raises(pyvo.dal.DALQueryError, match="unknown function"):
        pyvo.dal.TAPService(archive_service.url + "/simbad/sim-tap").run_sync("SELECT sleep(1) FROM basic")


def test_jobs_wait_run_abort_and_go(archive_service):
    base = f"{archive_service.url}/tap-server/tap/async"
    data = {"LANG": "ADQL", "REQUEST": "doQuery", "QUERY": "SELECT COUNT(*) FROM gaiadr3.gaia_source"}
    made = requests.post(base, data=data, allow_redirects=False, timeout=30)
    assert made.status_code == 303
    job = made.headers["Location"]
    assert requests.get(f"{job}/phase", timeout=30).text == "PENDING"
    assert b"COUNT(*)" in requests.get(job, timeout=30).content
    assert requests.post(f"{job}/phase", data={"PHASE": "ABORT"}, timeout=30).text == "ABORTED"
    assert requests.get(f"{job}/results/result", timeout=30).status_code == 404
    assert requests.delete(job, allow_redirects=False, timeout=30).status_code == 303
    assert requests.get(job, timeout=30).status_code == 404


def test_maxrec_is_an_overflow(archive_service):
    service = pyvo.dal.TAPService(archive_service.url + "/tap-server/tap")
    found = service.run_sync("SELECT source_id FROM gaiadr3.gaia_source", maxrec=7)
    assert (len(found), found.status[0]) == (7, "OVERFLOW")
    assert service.run_sync("SELECT TOP 7 source_id FROM gaiadr3.gaia_source", maxrec=7).status[0] == "OK"
    answer = requests.get(f"{archive_service.url}/tap-server/tap/availability", timeout=30)
    assert b"<vosi:available>true" in answer.content


def test_simbad_by_pyvo(archive_service):
    service = pyvo.dal.TAPService(archive_service.url + "/simbad/sim-tap")
    found = service.run_sync(
        "SELECT main_id, otype, vartyp, id FROM basic JOIN mesVar ON mesVar.oidref = oid "
        "JOIN ident ON ident.oidref = oid WHERE id LIKE 'TIC %' ORDER BY oid"
    ).to_table()
    assert len(found) > 10
    assert set(found["vartyp"]) & {"EA", "EW", "RRAB"}


def test_sdss_sql_and_spectra(archive_service):
    from astroquery.sdss import SDSS, conf

    spectra = table_of(archive_service, "sdss_specobj")
    with (
        conf.set_temp("skyserver_baseurl", archive_service.url),
        conf.set_temp("sas_baseurl", f"{archive_service.url}/sas"),
    ):
        found = SDSS.query_sql(
            "SELECT TOP 4 plate, mjd, fiberID, run2d, class, snMedian FROM SpecObjAll ORDER BY plate, mjd, fiberID",
            cache=False,
        )
        assert found["plate"].tolist() == spectra["plate"].to_pylist()[:4]
        files = SDSS.get_spectra(matches=found, cache=False, show_progress=False)
        primary = SDSS.query_sql("SELECT COUNT(*) AS n FROM Star", cache=False)
        with pytest.raises(requests.HTTPError, match="400"):
            SDSS.query_sql("SELECT * FROM sysobjects", cache=False)
    photo = table_of(archive_service, "sdss_photoobj")
    assert primary["n"][0] == ((photo["mode"].to_numpy() == 1) & (photo["type"].to_numpy() == 6)).sum()
    for row, hdus in zip(found, files, strict=True):
        assert (hdus[0].header["PLATEID"], hdus[0].header["FIBERID"]) == (row["plate"], row["fiberID"])
        assert {"flux", "loglam", "ivar", "and_mask"} <= {name.lower() for name in hdus[1].columns.names}


def test_mast_search_products_download_and_lightkurve(archive_service, tmp_path):
    import lightkurve
    from astroquery.mast import CatalogsClass, ObservationsClass

    for client in (observations := ObservationsClass(), catalogs := CatalogsClass()):
        portal = client._portal_api_connection
        portal.MAST_REQUEST_URL = f"{archive_service.url}/api/v0/invoke"
        portal.COLUMNS_CONFIG_URL = f"{archive_service.url}/portal/Mashup/Mashup.asmx/columnsconfig"
        portal.MAST_DOWNLOAD_URL = f"{archive_service.url}/api/v0.1/Download/file"
    listed = table_of(archive_service, "tess_observations")
    found = observations.query_criteria(obs_collection="HLSP", provenance_name="TESS-SPOC", sequence_number=42)
    assert len(found) == sum(sector == 42 for sector in listed["sequence_number"].to_pylist()) > 0
    assert observations.query_criteria_count(obs_collection="HLSP", sequence_number=42) == len(found)
    near = observations.query_criteria(obs_collection="HLSP", coordinates="0 20", radius=0.5)
    assert 0 < len(near) < len(listed)
    products = observations.get_product_list(found[:3])
    assert products["productSubGroupDescription"].tolist() == ["LC"] * 3
    path = tmp_path / products["productFilename"][0]
    status, message, _ = observations.download_file(
        products["dataURI"][0], local_path=str(path), cache=False, verbose=False
    )
    assert (status, message) == ("COMPLETE", None)
    assert path.stat().st_size == products["size"][0]
    curve = lightkurve.read(str(path), quality_bitmask="none")
    assert curve.meta["SECTOR"] == 42
    star = catalogs.query_criteria(catalog="Tic", ID=str(curve.meta["TICID"]))
    assert abs(star["Tmag"][0] - curve.meta["TESSMAG"]) < 0.01
    missing = observations.download_file("mast:HLSP/none_lc.fits", local_path=str(tmp_path / "x.fits"), verbose=False)
    assert missing[0] == "ERROR"


def test_only_loopback_listens_and_faults_need_the_token(archive_service):
    port = urlsplit(archive_service.url).port
    listening = [c for c in psutil.Process(archive_service.process.pid).net_connections() if c.status == "LISTEN"]
    assert [c.laddr.ip for c in listening if c.laddr.port == port] == ["127.0.0.1"]
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = requests.post(
            f"{archive_service.url}/_faults", json={"rates": {"503": 1}}, headers=headers, timeout=30
        )
        assert answer.status_code == 403
    assert requests.get(f"{archive_service.url}/_health", timeout=30).json()["status"] == "ok"
    assert oct((archive_service.state / "token").stat().st_mode)[-3:] == "600"
    for path in ("/docs", "/openapi.json", "/sas/dr17/sdss/spectro/redux/103/spectra/../../../archive.json"):
        assert requests.get(archive_service.url + path, timeout=30).status_code == 404


@pytest.mark.parametrize("kind", ["429", "503", "html", "cut", "short"])
def test_each_fault_is_what_it_says(archive_service, kind):
    url = f"{archive_service.url}/simbad/sim-tap/sync"
    params = {"QUERY": "SELECT oid FROM basic", "LANG": "ADQL", "REQUEST": "doQuery"}
    good = requests.get(url, params=params, timeout=30)
    archive_service.misbehave(rates={kind: 1.0}, retry_after_s=3)
    if kind == "cut":
        with pytest.raises(requests.RequestException):
            requests.get(url, params=params, timeout=30)
        return
    bad = requests.get(url, params=params, timeout=30)
    assert bad.status_code == (int(kind) if kind.isdigit() else 200)
    if kind.isdigit():
        assert bad.headers["Retry-After"] == "3"
    if kind == "short":
        assert bad.content == good.content[: len(good.content) // 2]
    if kind == "html":
        assert bad.headers["Content-Type"].startswith("text/html")
