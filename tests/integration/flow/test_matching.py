"""Cross-matches as datasets: exact through the engine, rebuilt in part, and of folders made by others."""

import json
import subprocess
import sys

import lsdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hats.io.validation import is_valid_catalog

from stellar.catalog.pairs import match_tables
from stellar.engine.context import Context
from stellar.engine.maintain import verify
from stellar.errors import InputError
from stellar.flow.matching import crossmatch
from stellar.flow.tables import import_table
from stellar.lake import layout
from stellar.lake.read import Catalog
from stellar.sky.healpix import INDEX_COLUMN
from stellar.sky.motion import propagate

pytestmark = pytest.mark.filterwarnings("ignore")
ROWS = 3_000


@pytest.fixture
def ctx(settings, ledger, monkeypatch):
    monkeypatch.setattr(layout, "THRESHOLD_BYTES", 8_000)
    return Context(settings, ledger, None)


@pytest.fixture
def other(settings, ledger, tmp_path):
    """A second lake with nothing in it, for full builds; same ledger, so content is compared by hash."""
    return Context(settings.model_copy(update={"home": tmp_path / "other"}), ledger, None)


def skies(seed=0, n=ROWS, spread=0.3) -> tuple[pa.Table, pa.Table]:
    """Two catalogues of the same stars over the whole sky, dense around RA 0 and both poles, and stars of their own."""
    random = np.random.default_rng(seed)
    ra = np.concatenate([random.uniform(0, 360, n // 2), random.normal(0, 0.02, n - n // 2) % 360])
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, n)))
    dec[n // 2 :] = random.choice([-90.0, 0.0, 41.8103, 90.0], n - n // 2) + random.normal(0, 0.02, n - n // 2)
    dec = np.where(np.abs(dec) > 90, np.sign(dec) * 180 - dec, dec)
    east, north = random.normal(0, spread * 1000, (2, n))
    near = propagate(ra, dec, east, north, 0, 1)
    left = pa.table({"star": np.arange(n) + 10**15, "ra": ra, "dec": dec, "g": random.normal(15, 2, n)})
    names = pa.array([f"r{i}" for i in random.permutation(n)], pa.string())
    right = pa.table({"name": names, "lon": near[0], "lat": near[1], "k": random.normal(12, 2, n).astype(np.float32)})
    return left, right.slice(n // 5)


def bring(ctx, tmp_path, left, right, margin=60.0):
    for name, table, (id_column, ra, dec) in (
        ("a", left, ("star", "ra", "dec")),
        ("b", right, ("name", "lon", "lat")),
    ):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path)
        import_table(ctx, [path], name, id_column=id_column, ra=ra, dec=dec, margin_arcsec=margin)


def expected(left, right, radius, **options) -> pa.Table:
    return match_tables(
        left, right, radius, id_left="star", id_right="name", ra_right="lon", dec_right="lat", **options
    )


def in_order(table: pa.Table) -> pa.Table:
    keys = [(name, "ascending") for name in (INDEX_COLUMN, "id_left", "id_right")]
    return pa.table(dict(zip(table.column_names, table.sort_by(keys).columns, strict=True)))


def read(made) -> pa.Table:
    return Catalog(made["path"]).read_all()


def test_the_pairs_are_a_dataset_that_others_read(ctx, tmp_path):
    left, right = skies()
    bring(ctx, tmp_path, left, right)
    made = crossmatch(ctx, "a", "own.b", "pairs", radius_arcsec=1.0)
    whole = expected(left, right, 1.0)
    assert made["rows"] == len(whole) > ROWS / 2 and made["unmatched"] == ROWS - made["rows"]
    assert (made["dataset"], made["left"], made["right"]) == ("own.pairs", "own.a", "own.b")
    found = read(made)
    assert in_order(found).equals(in_order(whole)), "to the last bit, probabilities too"
    assert found.column_names == [
        *("id_left", "id_right", "separation_arcsec", "match_probability", "n_candidates"),
        *("star_left", "ra_left", "dec_left", "g_left"),
        *("name_right", "lon_right", "lat_right", "k_right"),
        *("runner_up_arcsec", INDEX_COLUMN),
    ]
    assert found.schema.field("id_left").type == pa.int64() and found.schema.field("id_right").type == pa.string()
    catalog = Catalog(made["path"])
    assert (catalog.ra_column, catalog.dec_column) == ("ra_left", "dec_left")
    assert len({cell.order for cell in catalog.cells}) > 2
    assert is_valid_catalog(catalog.table, strict=True)
    assert len(lsdb.open_catalog(made["path"])) == made["rows"]
    assert verify(ctx, ["own.pairs"], rows=True) == []
    again = crossmatch(ctx, "a", "b", "pairs", radius_arcsec=1.0)
    assert again["found"] and again["snapshot"] == made["snapshot"]


@pytest.mark.parametrize(
    "asked",
    [
        {"how": "left"},
        {"how": "outer"},
        {"mutual": True},
        {"k": 4},
        {"k": 3, "how": "outer", "mutual": True},
        {"min_separation_arcsec": 0.5},
    ],
    ids=str,
)
def test_every_way_of_asking(ctx, tmp_path, asked):
    left, right = skies(1)
    bring(ctx, tmp_path, left, right)
    made = crossmatch(ctx, "a", "b", "pairs", radius_arcsec=25.0, **asked)
    plain = {name.replace("min_separation", "min"): value for name, value in asked.items()}
    found = read(made)
    assert in_order(found).equals(in_order(expected(left, right, 25.0, **plain)))
    assert is_valid_catalog(Catalog(made["path"]).table, strict=True)
    assert verify(ctx, ["own.pairs"]) == []
    if asked.get("how") == "outer":
        assert found["id_left"].null_count and found["id_right"].null_count
        assert set(left["star"].to_pylist()) <= set(found["id_left"].to_pylist())
        assert set(right["name"].to_pylist()) <= set(found["id_right"].to_pylist())


def test_after_a_change_only_what_it_touches_is_built_and_it_ends_as_a_full_build(ctx, other, tmp_path):
    left, right = skies(2)
    bring(ctx, tmp_path, left, right)
    asked = {"radius_arcsec": 1.0, "mutual": False}
    crossmatch(ctx, "a", "b", "pairs", **asked)
    lat = right["lat"].to_numpy().copy()
    lon = right["lon"].to_numpy()
    lat[(lon > 100) & (lon < 130) & (np.abs(lat) < 30)] += 0.1 / 3600
    changed = right.set_column(2, "lat", pa.array(lat))
    bring(ctx, tmp_path, left, changed)
    made = crossmatch(ctx, "a", "b", "pairs", **asked)
    assert 0 < made["built"] < made["carried"] / 4
    assert in_order(read(made)).equals(in_order(expected(left, changed, 1.0)))
    again = tmp_path / "again"
    again.mkdir()
    bring(other, again, left, changed)
    full = crossmatch(other, "a", "b", "pairs", **asked)
    assert full["content_hash"] == made["content_hash"]


def test_a_match_wider_than_the_margins_says_how_wide_and_what_to_do(ctx, tmp_path):
    left, right = skies(3, 400)
    bring(ctx, tmp_path, left, right, margin=5.0)
    with pytest.raises(InputError, match=r"own\.b keeps margins of 5 arcsec.* needs 6 .*--name own\.b --margin 6"):
        crossmatch(ctx, "a", "b", "pairs", radius_arcsec=6.0)
    with pytest.raises(InputError, match=r"left: own\.a keeps margins of 5 .* needs 8 "):
        crossmatch(ctx, "a", "b", "pairs", radius_arcsec=4.0, mutual=True)
    assert crossmatch(ctx, "a", "b", "pairs", radius_arcsec=5.0)["rows"] > 0


def test_of_catalogues_without_margins_the_neighbours_are_read(ctx, tmp_path):
    left, right = skies(4)
    bring(ctx, tmp_path, left, right, margin=0.0)
    for asked in ({}, {"how": "outer"}):
        made = crossmatch(ctx, "a", "b", "pairs", radius_arcsec=40.0, **asked)
        assert in_order(read(made)).equals(in_order(expected(left, right, 40.0, **asked)))


def test_positions_are_moved_to_one_epoch_and_margins_have_to_cover_it(ctx, tmp_path):
    left, right = skies(5, spread=0.05)
    random = np.random.default_rng(5)
    pm = random.normal(0, 200, (2, ROWS))
    pm[:, ::7] = np.nan
    left = left.append_column("pmra", pa.array(pm[0], from_pandas=True))
    left = left.append_column("pmdec", pa.array(pm[1], from_pandas=True))
    rows = right.num_rows
    at = 1999 + np.arange(rows) % 4
    was = propagate(right["lon"], right["lat"], *np.nan_to_num(pm[:, -rows:]), 2016.0, at)
    right = right.set_column(1, "lon", pa.array(was[0])).set_column(2, "lat", pa.array(was[1]))
    right = right.append_column("seen", pa.array(51544.5 + (at - 2000) * 365.25))
    bring(ctx, tmp_path, left, right)
    epochs = {"epoch_left": 2016.0, "epoch_right": "mjd:seen"}
    made = crossmatch(ctx, "a", "b", "pairs", radius_arcsec=0.5, **epochs)
    assert made["rows"] > 0.8 * rows, "all but those whose motion is not known"
    whole = expected(
        left,
        right,
        0.5,
        epoch_yr_left=2016.0,
        epoch_column_right="seen",
        epoch_is_mjd_right=True,
        motion_left=("pmra", "pmdec"),
    )
    assert in_order(read(made)).equals(in_order(whole))
    bring(ctx, tmp_path, left, right, margin=5.0)
    with pytest.raises(InputError, match=r"own\.b keeps margins of 5 .*motions of up to 1\d\.\d arcsec"):
        crossmatch(ctx, "a", "b", "pairs", radius_arcsec=0.5, **epochs)
    with pytest.raises(InputError, match="--epoch-left and --epoch-right"):
        crossmatch(ctx, "a", "b", "pairs", radius_arcsec=0.5, epoch_left=2016.0)


def test_folders_made_by_others(ctx, tmp_path):
    """LSDB's catalogues, with margins and without."""
    left, right = skies(6)
    bring(ctx, tmp_path, left, right)
    frame = right.to_pandas()
    theirs = tmp_path / "theirs"
    made = lsdb.from_dataframe(
        frame, partition_rows=300, highest_order=10, margin_threshold=30.0, ra_column="lon", dec_column="lat"
    )
    made.write_catalog(theirs, catalog_name="theirs")
    expects = in_order(expected(left, right, 20.0))
    collection = crossmatch(ctx, "a", theirs, "pairs", radius_arcsec=20.0, id_right="name")
    assert collection["right"] == str(theirs)
    alone = crossmatch(ctx, "a", f"file://{theirs / 'theirs'}", "pairs2", radius_arcsec=20.0, id_right="name")
    for one in (collection, alone):
        found = in_order(read(one))
        assert found.select(expects.column_names).to_pydict() == expects.to_pydict()
    with pytest.raises(InputError, match=r"keeps margins of 30 arcsec.* needs 31 .*stellar import"):
        crossmatch(ctx, "a", theirs, "pairs3", radius_arcsec=31.0, id_right="name")
    both = crossmatch(ctx, theirs / "theirs", theirs, "pairs3", radius_arcsec=5.0, id_left="name", id_right="name")
    assert both["rows"] == right.num_rows
    again = crossmatch(ctx, "a", theirs, "pairs", radius_arcsec=20.0, id_right="name")
    assert again["found"]


def test_a_folder_that_changed_is_matched_anew(ctx, tmp_path):
    left, right = skies(7, 300)
    bring(ctx, tmp_path, left, right)
    kept = tmp_path / "kept"
    lsdb.from_dataframe(right.to_pandas(), partition_rows=50, ra_column="lon", dec_column="lat").write_catalog(
        kept, catalog_name="kept", as_collection=False
    )
    asked = {"radius_arcsec": 2.0, "id_right": "name"}
    made = crossmatch(ctx, "a", kept, "pairs", **asked)
    file = Catalog(kept).files[3]
    pq.write_table(pq.read_table(file).slice(1), file)
    again = crossmatch(ctx, "a", kept, "pairs", **asked)
    assert not again["found"] and again["rows"] == made["rows"] - 1 and again["built"] and again["carried"]


def test_what_cannot_be_matched_says_why(ctx, tmp_path):
    left, right = skies(8, 200)
    bring(ctx, tmp_path, left, right)
    (tmp_path / "plain").mkdir()
    for options, said in (
        ({"left": "nothing"}, "left: there is no current dataset own.nothing; there are own.a, own.b"),
        ({"right": "./nowhere"}, "right: .*nowhere does not exist"),
        ({"right": tmp_path / "plain"}, "not a HATS catalogue"),
        ({"right": "https://somewhere/gaia"}, "only folders on disk"),
        ({"name": "a"}, "own.a is one of the two catalogues"),
        ({"name": "Pairs"}, "no name of a dataset"),
        ({"id_left": "nope"}, "left .own.a. has no column 'nope'; it has"),
        ({"columns_right": ["k", "j"]}, "right .own.b. has no column 'j'"),
        ({"radius_arcsec": 0.0}, "radius 0.0 arcsec"),
        ({"k": 0}, "at least 1 partner"),
        ({"how": "full"}, "inner, left, outer"),
        ({"min_separation_arcsec": 2.0}, "least separation 2.0"),
        ({"epoch_left": "2016", "epoch_right": 20160}, "epoch-right 20160: give a Julian year"),
        ({"epoch_left": "star", "epoch_right": "name"}, "column 'name' is string, where numbers are needed"),
        ({"sigma_left": "parsec:g"}, "'parsec' is no unit"),
        ({"sigma_left": 0}, "more than 0"),
        ({"epoch_left": 2016, "epoch_right": 2000, "pm_left": ["g"]}, "--pm-left g: name two columns"),
    ):
        asked = {"left": "a", "right": "b", "name": "pairs", "radius_arcsec": 1.0} | options
        with pytest.raises(InputError, match=said):
            crossmatch(ctx, asked.pop("left"), asked.pop("right"), asked.pop("name"), **asked)
    crossmatch(ctx, "a", "b", "pairs", radius_arcsec=1.0)
    import_table(ctx, [tmp_path / "a.parquet"], "c", id_column="star")
    with pytest.raises(InputError, match=r"own\.c is there already, and was not made by a cross-match"):
        crossmatch(ctx, "a", "b", "c", radius_arcsec=1.0)


def test_a_result_can_be_matched_again_and_columns_are_chosen(ctx, tmp_path):
    left, right = skies(9, 600)
    bring(ctx, tmp_path, left, right)
    crossmatch(ctx, "a", "b", "pairs", radius_arcsec=1.0, columns_left=["g"], columns_right=[], margin_arcsec=10.0)
    made = crossmatch(ctx, "pairs", "a", "threes", radius_arcsec=0.1, columns_right=["g"])
    found = read(made)
    assert found.column_names == [
        *("id_left", "id_right", "separation_arcsec", "match_probability", "n_candidates"),
        *("id_left_left", "id_right_left", "separation_arcsec_left", "match_probability_left", "n_candidates_left"),
        *("g_left_left", "ra_left_left", "dec_left_left", "runner_up_arcsec_left"),
        *("g_right", "runner_up_arcsec", INDEX_COLUMN),
    ]
    assert found["id_left"].to_pylist() == found["id_right"].to_pylist()
    assert Catalog(made["path"]).ra_column == "ra_left_left"


def test_the_command(ctx, tmp_path, settings):
    left, right = skies(10, 300)
    bring(ctx, tmp_path, left, right)
    command = [sys.executable, "-m", "stellar", "crossmatch", "a", "b", "--radius", "1", "--name", "pairs"]
    environment = {"STELLAR_HOME": str(settings.home), "STELLAR_POSTGRES_URL": settings.postgres_url.get_secret_value()}
    import os

    done = subprocess.run(
        [*command, "--k", "2", "--how", "left", "--columns-left", "g", "--columns-right", "k", "--json"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["rows"] >= 300 and outcome["unmatched"] is None
    assert {"open", "plan", "build", "commit", "gate", "start", "ledger"} <= set(outcome["seconds"])
    told = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "own.pairs: " in told.stdout and "rows of own.a have no partner in own.b" in told.stdout
    wrong = subprocess.run([*command, "--mutual", "--pm-left", "a"], env=os.environ | environment, capture_output=True)
    assert wrong.returncode == 0, "motions are not looked at without epochs"
