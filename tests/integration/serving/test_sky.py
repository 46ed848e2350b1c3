"""What the page Sky asks, over a lake of two fields of stars that a third joins."""

import base64
import shutil
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

import brought
from console_home import made_settings
from integration.engine import small_steps as small
from stellar.engine import engine, maintain
from stellar.engine.context import Context
from stellar.errors import InputError, IntegrityError
from stellar.lake.kept import KEPT
from stellar.lake.read import Catalog
from stellar.ledger import snapshots
from stellar.ledger.connect import ledger_session
from stellar.serving import sky, sky_cells, sky_counts

healpy = pytest.importorskip("healpy", reason="healpy is not installed")


def bring(ctx, name, **options):
    brought.bring(ctx, "test", small.fetched(name, **options))
    engine.run(ctx, [small.curate_step(), small.double_step()], who="test", reason=f"sync of {name}")


@pytest.fixture(scope="module")
def home(database_server):
    """Fields a and b, then c as well, in a home for all tests here; the keys of `features.double` by time."""
    with made_settings(database_server) as settings, ledger_session(settings) as ledger:
        ctx = Context(settings, ledger)
        for field in ("a", "b"):
            bring(ctx, field)
        before = snapshots.current(ledger, "features.double").key
        bring(ctx, "c")
        after = snapshots.current(ledger, "features.double").key
        yield SimpleNamespace(ctx=ctx, engine=ledger, settings=settings, before=before, after=after)


@pytest.fixture(autouse=True)
def _nothing_counted(home):
    """Each test counts for itself."""
    KEPT.clear()
    shutil.rmtree(home.settings.cache / sky_counts.CACHE, ignore_errors=True)


@contextmanager
def away(path):
    """A file that is not there for a while."""
    aside = path.with_name(f".{path.name}.aside")
    path.rename(aside)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        aside.rename(path)


def numbers(answer, name, kind):
    return np.frombuffer(base64.b64decode(answer[name]), kind)


def positions(home, key):
    shown = sky.snapshot(home.engine, home.settings, key)
    rows = Catalog(shown.root).read_all(["ra", "dec", "twice"])
    return [rows[name].to_numpy() for name in ("ra", "dec", "twice")]


def test_datasets_on_the_sky_are_listed_with_their_surveys(home):
    found = {one["name"]: one for one in sky.datasets(home.engine)}
    assert {"curated.stars", "features.double"} <= found.keys() and not any(name.startswith("raw.") for name in found)
    double = found["features.double"]
    assert double["snapshot"] == home.after and double["layer"] == "features" and double["surveys"] == ["test"]
    assert sky.current(home.engine, "features.double") == home.after
    assert sky.current(home.engine, "features.absent") is None


def test_history_tells_snapshots_and_promotions(home):
    found = sky.history(home.engine, "features.double")
    states = {one["key"]: one["state"] for one in found["snapshots"]}
    assert states[home.after] == "current" and states[home.before] == "retired" and len(states) == 3
    assert [one["to_snapshot"] for one in found["promotions"]][-2:] == [home.before, home.after]
    assert found["promotions"][-1]["from_snapshot"] == home.before
    with pytest.raises(InputError, match=r"features\.absent.*stellar datasets"):
        sky.history(home.engine, "features.absent")


def test_coverage_marks_what_is_new_against_the_former_snapshot(home):
    found = sky.coverage(home.engine, home.settings, home.after[:12])
    assert found["snapshot"] == home.after and found["against"] == home.before and found["has_files"]
    assert sum(one["rows"] for one in found["cells"]) == found["rows"]
    old = {part.key for part in sky.parts(home.engine, home.before)}
    changes = {(one["order"], one["pixel"]): one["change"] for one in found["cells"]}
    carried = {(p.cell.order, p.cell.pixel) for p in sky.parts(home.engine, home.after) if p.key in old}
    assert {cell for cell, change in changes.items() if change == "carried"} == carried and len(carried) >= 2
    assert [one for one in changes.values() if one == "new"] and not found["gone"]
    back = sky.coverage(home.engine, home.settings, home.before, against=home.after)
    assert len(back["gone"]) == sum(change == "new" for change in changes.values())
    first = sky.history(home.engine, "features.double")["promotions"][0]["to_snapshot"]
    assert {one["change"] for one in sky.coverage(home.engine, home.settings, first)["cells"]} == {"first"}
    other = snapshots.current(home.engine, "curated.stars").key
    with pytest.raises(InputError, match=r"not one of features\.double"):
        sky.coverage(home.engine, home.settings, home.after, against=other)


@pytest.mark.parametrize("key", ["", "abc", "zzzzzzzzzz", "0" * 64, "%%%%%%%%"])
def test_a_key_that_names_no_snapshot_is_refused(home, key):
    with pytest.raises(InputError, match="snapshot"):
        sky.snapshot(home.engine, home.settings, key)


@pytest.mark.parametrize("order", [None, 3, 6, 8])
def test_density_counts_the_rows_that_healpy_counts(home, order):
    found = sky_counts.density(home.engine, home.settings, home.after, order)
    assert order is None or found["order"] == order
    ra, dec, twice = positions(home, home.after)
    pixels, rows = np.unique(healpy.ang2pix(2 ** found["order"], ra, dec, nest=True, lonlat=True), return_counts=True)
    np.testing.assert_array_equal(numbers(found, "pixels", "<u4"), pixels)
    np.testing.assert_array_equal(numbers(found, "values", "<f4"), rows)
    assert found["rows"] == len(ra)

    mean = sky_counts.density(home.engine, home.settings, home.after, found["order"], "twice")
    own = healpy.ang2pix(2 ** found["order"], ra, dec, nest=True, lonlat=True)
    wanted = [twice[own == pixel].mean() for pixel in pixels]
    np.testing.assert_allclose(numbers(mean, "values", "<f4"), wanted, rtol=1e-6)
    np.testing.assert_array_equal(numbers(mean, "valid", "<u4"), rows)


def test_only_pixels_near_a_place_come_where_one_is_asked_for(home):
    ra, dec, _ = positions(home, home.after)
    found = sky_counts.density(home.engine, home.settings, home.after, 8, near=(40.0, 30.0, 1.0))
    pixels = numbers(found, "pixels", "<u4")
    lon, lat = healpy.pix2ang(256, pixels, nest=True, lonlat=True)
    apart = np.degrees(healpy.rotator.angdist([lon, lat], [40.0, 30.0], lonlat=True))
    assert len(pixels) and apart.max() < 2.5
    near = np.degrees(healpy.rotator.angdist([ra, dec], [40.0, 30.0], lonlat=True)) <= 1.0
    assert set(healpy.ang2pix(256, ra[near], dec[near], nest=True, lonlat=True)) <= set(pixels.tolist())


def test_a_partition_is_counted_once_in_its_life(home):
    folder = home.settings.cache / sky_counts.CACHE
    sky_counts.density(home.engine, home.settings, home.before)
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}
    old = sky.parts(home.engine, home.before)
    assert len(kept) == len([part for part in old if part.rows])
    # a carried partition's file is not even there any more
    shown, keys = sky.snapshot(home.engine, home.settings, home.after), {part.key for part in old}
    carried = next(part for part in sky.parts(home.engine, home.after) if part.key in keys)
    with away(shown.root / carried.file):
        sky_counts.density(home.engine, home.settings, home.after)
        assert kept == {path: path.stat().st_mtime_ns for path in kept}
        assert len(list(folder.rglob("*.npy"))) > len(kept)
        with pytest.raises(IntegrityError, match="partition is missing"):
            sky_counts.density(home.engine, home.settings, home.after, column="twice")


def test_a_damaged_count_is_made_again_and_a_wrong_file_is_told(home):
    wanted = sky_counts.density(home.engine, home.settings, home.after)
    for path in (home.settings.cache / sky_counts.CACHE).rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-3])
    KEPT.clear()
    assert sky_counts.density(home.engine, home.settings, home.after) == wanted
    (first, second, *_) = [part for part in sky.parts(home.engine, home.after) if part.rows]
    root = sky.snapshot(home.engine, home.settings, home.after).root
    for path in (home.settings.cache / sky_counts.CACHE).rglob("*.npy"):
        path.unlink()
    KEPT.clear()
    with away(root / first.file) as gone:
        gone.hardlink_to(root / second.file)
        with pytest.raises(IntegrityError, match="the ledger says"):
            sky_counts.density(home.engine, home.settings, home.after)


def test_maintenance_clears_counts_of_partitions_that_no_snapshot_holds(home):
    sky_counts.density(home.engine, home.settings, home.after)
    folder = home.settings.cache / sky_counts.CACHE / "ab"
    folder.mkdir(parents=True, exist_ok=True)
    stray = folder / f"{'ab' * 32}.rows-8.npy"
    stray.write_bytes(b"")
    held = [path for path in folder.parent.rglob("*.npy") if path != stray]
    maintain._clear_cache(home.ctx, dry_run=False, stale_s=-1)
    assert not stray.exists() and held and all(path.exists() for path in held)


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"order": 9}, "no order 9"), ({"column": "id_"}, "no column 'id_'.*twice"), ({"near": (0, 0, -1)}, "cone")],
)
def test_a_map_that_cannot_be_is_refused(home, asked, said):
    with pytest.raises(InputError, match=said):
        sky_counts.density(home.engine, home.settings, home.after, **asked)


def test_columns_are_those_with_a_mean(home):
    names = [one["name"] for one in sky_counts.columns(home.engine, home.settings, home.after)]
    assert "twice" in names and "_healpix_29" not in names
    curated = snapshots.current(home.engine, "curated.stars").key
    assert "batch_id" not in [one["name"] for one in sky_counts.columns(home.engine, home.settings, curated)]


def test_a_cell_tells_its_rows_files_and_gates(home):
    ra, dec, _ = positions(home, home.after)
    pixel = healpy.ang2pix(4, 40.0, 30.0, nest=True, lonlat=True)
    inside = int((healpy.ang2pix(4, ra, dec, nest=True, lonlat=True) == pixel).sum())
    found = sky_cells.cell(home.engine, home.settings, home.after, 2, int(pixel), limit=5)
    assert inside > 5 and len(found["rows"]) == 5
    names = [one["name"] for one in found["columns"]]
    assert names[0] == "_healpix_29"
    rows = [dict(zip(names, row, strict=True)) for row in found["rows"]]
    assert all(healpy.ang2pix(4, one["ra"], one["dec"], nest=True, lonlat=True) == pixel for one in rows)
    assert len(sky_cells.cell(home.engine, home.settings, home.after, 2, int(pixel), limit=1000)["rows"]) == min(
        inside, 1000
    )
    assert len(found["files"]) == 1 and found["files"][0]["rows"] >= inside
    assert found["gates"][0]["passed"] and found["gates"][0]["failed"] == 0
    for order, wrong in ((2, 192), (30, 0), (-1, 0), (2, -1)):
        with pytest.raises(InputError, match="no cell"):
            sky_cells.cell(home.engine, home.settings, home.after, order, wrong)


def test_the_statement_for_a_cell_gives_its_rows(home):
    from stellar.lake.sql import LakeConnection

    part = sky.parts(home.engine, home.after)[0]
    found = sky_cells.cell(home.engine, home.settings, home.after, *part.cell)
    with LakeConnection(home.settings, home.engine) as connection:
        rows = connection.execute(found["sql"]).fetchall()
    assert len(rows) == min(part.rows, 1000)


def test_batches_of_a_cell_by_the_rows_or_by_those_they_were_made_from(home):
    curated = snapshots.current(home.engine, "curated.stars").key
    cell = healpy.ang2pix(1, 220.0, -30.0, nest=True, lonlat=True)
    direct = sky_cells.batches(home.engine, home.settings, curated, 0, int(cell))
    assert direct["direct"] and [one["query"] for one in direct["batches"]] == ["field c"]
    parts = [part for part in sky.parts(home.engine, curated) if part.cell.parent(0).pixel == cell]
    assert direct["batches"][0]["rows"] == sum(part.rows for part in parts) > 0
    through = sky_cells.batches(home.engine, home.settings, home.after, 0, int(cell))
    assert not through["direct"] and through["batches"][0]["through"] == "curated.stars"
    assert through["batches"][0]["batch_id"] == direct["batches"][0]["batch_id"]


@pytest.fixture
def client(home, root, monkeypatch, tmp_path):
    """The pages' app on this home, with a user who may look."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(root / "plugins"))
    security = pytest.importorskip("airflow.api_fastapi.core_api.security", reason="Airflow is not installed")
    from fastapi.testclient import TestClient

    from stellar_pages import access, app
    from stellar_pages import home as pages_home

    manager = SimpleNamespace(
        is_authorized_view=lambda **_: True, is_authorized_asset=lambda **_: True, is_authorized_dag=lambda **_: False
    )
    monkeypatch.setattr(access, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(pages_home, "engine", lambda role="reader": home.engine)
    monkeypatch.setattr(pages_home, "settings", lambda: home.settings)
    app.app.dependency_overrides[security.get_user] = lambda: SimpleNamespace(
        get_name=lambda: "viewer", get_id=lambda: "1"
    )
    yield TestClient(app.app)
    app.app.dependency_overrides.clear()
    for name in [name for name in sys.modules if name.startswith("stellar_pages")]:
        del sys.modules[name]


def test_routes_answer_and_refuse_in_words(home, client):
    def get(path, **asked):
        return client.get(f"/api/sky/{path}", params=asked)

    assert {one["name"] for one in get("datasets").json()} >= {"features.double"}
    assert get("history", dataset="features.double").json()["promotions"]
    assert get("now", dataset="features.double").json() == {"snapshot": home.after}
    cells = get("coverage", snapshot=home.after).json()["cells"]
    place = {"snapshot": home.after, "order": cells[0]["order"], "pixel": cells[0]["pixel"]}
    assert get("cell", **place, limit=3).json()["rows"] and get("batches", **place).json()["batches"]
    assert get("columns", snapshot=home.after).json()
    whole, near = (
        get("density", snapshot=home.after, order=7, **at).json() for at in ({}, {"ra": 40, "dec": 30, "radius": 2})
    )
    assert 0 < near["rows"] < whole["rows"]
    refused = get("density", snapshot=home.after, order=20)
    assert refused.status_code == 400 and "no order 20" in refused.json()["detail"]
    assert get("coverage", snapshot="x").status_code == 400 and get("cell", snapshot=home.after).status_code == 422
    assert [get("cell", **place, limit=limit).status_code for limit in (-1, 0, 10**20)] == [422] * 3
    page = client.get("/pages/sky")
    assert page.status_code == 200 and 'data-can-act="no"' in page.text
    for name in ("sky.js", "sky-map.js", "sky.css", "dag-form.js"):
        assert client.get(f"/static/{name}").status_code == 200
