"""Cones, boxes and polygons find what brute force finds, and read little else."""

import gzip
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stellar.lake
from made_catalog import stars, store
from own_tables import store_own
from stellar.errors import InputError, IntegrityError
from stellar.lake import write
from stellar.lake.hats import finish_catalog, finish_plain
from stellar.lake.kept import KEPT, Footer, Kept
from stellar.lake.read import Catalog
from stellar.lake.search import searchable
from stellar.lake.write import canonical, write_partition
from stellar.sky.healpix import INDEX_COLUMN, Cell, point_in_box, point_in_polygon, spatial_index
from stellar.sky.separation import separation_arcsec

EVERYTHING = canonical(stars(), id_column="star_id")
RA, DEC = (EVERYTHING[name].to_numpy() for name in ("ra", "dec"))
CENTRES = st.one_of(
    st.sampled_from([(0.0, 0.0), (359.9999, 1.0), (17.0, 90.0), (200.0, -90.0), (90.0, 88.0), (-3.0, -2.5)]),
    st.tuples(st.floats(-5, 5), st.floats(-4, 4)),
    st.tuples(st.floats(0, 360), st.floats(84, 90)),
    st.integers(0, len(RA) - 1).map(lambda row: (float(RA[row]), float(DEC[row]))),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A catalogue with margins and with several row groups per file."""
    root = tmp_path_factory.mktemp("stars")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "ROW_GROUP_ROWS", 50)
        store(root, stars(), margin_arcsec=3600.0)
    return root


def ids(table: pa.Table) -> list[int]:
    return table["star_id"].to_pylist()


@settings(max_examples=150, deadline=None)
@given(CENTRES, st.floats(-6, 2.25))
def test_a_cone_finds_what_brute_force_finds(folder, centre, log_radius):
    radius = min(10.0**log_radius, 180.0)
    separation = separation_arcsec(*centre, RA, DEC)
    near = np.flatnonzero(separation <= radius * 3600)
    near = near[np.argsort(separation[near], kind="stable")]
    found = stellar.lake.cone(folder, *centre, radius)
    assert ids(found) == EVERYTHING["star_id"].to_numpy()[near].tolist()
    assert found["separation_arcsec"].to_numpy().tolist() == separation[near].tolist()
    assert found.schema.names == [*EVERYTHING.schema.names, "separation_arcsec"]
    assert found["flux"].to_pylist() == EVERYTHING["flux"].take(pa.array(near)).to_pylist()


@settings(max_examples=100, deadline=None)
@given(st.floats(-10, 370), st.floats(0, 360), st.floats(-90, 90), st.floats(0, 180))
def test_a_box_finds_what_brute_force_finds(folder, west, width, south, height):
    bounds = (west, west + width, south, min(south + height, 90.0))
    inside = point_in_box(RA, DEC, *bounds)
    assert ids(stellar.lake.box(folder, *bounds, ["star_id"])) == ids(EVERYTHING.filter(pa.array(inside)))


@settings(max_examples=100, deadline=None)
@given(CENTRES, st.lists(st.floats(0.01, 1), min_size=3, max_size=7), st.floats(-1, 1.6))
def test_a_polygon_finds_what_brute_force_finds(folder, centre, radii, log_size):
    ra, dec = around(*centre, np.array(radii) * 10**log_size)
    inside = point_in_polygon(RA, DEC, ra, dec)
    assert ids(stellar.lake.polygon(folder, ra, dec)) == ids(EVERYTHING.filter(pa.array(inside)))


def around(ra: float, dec: float, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices at distances (degrees) from a position, in even directions."""
    bearing = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    d, r = np.radians(dec), np.radians(radii)
    lat = np.arcsin(np.clip(np.sin(d) * np.cos(r) + np.cos(d) * np.sin(r) * np.cos(bearing), -1, 1))
    east = np.arctan2(np.sin(bearing) * np.sin(r) * np.cos(d), np.cos(r) - np.sin(d) * np.sin(lat))
    return np.degrees(east) + ra, np.degrees(lat)


def test_columns_are_those_asked_for_in_their_order(folder):
    found = stellar.lake.cone(folder, 0.0, 0.0, 2.0, ["name", INDEX_COLUMN, "dec"])
    assert found.column_names == ["name", INDEX_COLUMN, "dec", "separation_arcsec"] and found.num_rows > 10
    assert found.schema.field("dec").metadata[b"ucd"] == b"pos.eq.dec;meta.main"
    none = stellar.lake.cone(folder, 120.0, 45.0, 0.1, ["name", INDEX_COLUMN, "dec"])
    assert none.num_rows == 0 and none.schema.equals(found.schema, check_metadata=True)
    assert stellar.lake.box(folder, 0, 1, 0, 1).schema.equals(Catalog(folder).schema, check_metadata=True)


def test_parts_add_up_to_the_whole(folder):
    parts = list(stellar.lake.iter_cone(folder, 0.0, 90.0, 180.0, ["star_id"]))
    assert len(parts) > len(Catalog(folder).cells) and max(map(len, parts)) <= 50
    assert ids(pa.concat_tables(parts)) == ids(EVERYTHING)
    assert sum(map(len, stellar.lake.iter_box(folder, 0, 360, -90, 90))) == len(EVERYTHING)
    triangle = [0.0, 120.0, 240.0], [80.0, 80.0, 80.0]
    assert sum(map(len, stellar.lake.iter_polygon(folder, *triangle))) == len(stellar.lake.polygon(folder, *triangle))


def test_only_row_groups_that_a_cone_touches_are_read(folder, monkeypatch):
    read = []
    plain = Footer.read
    monkeypatch.setattr(
        Footer, "read", lambda self, *a, **k: read.append((self.path, a[1], tuple(a[2].names))) or plain(self, *a, **k)
    )
    KEPT.clear()
    row = 1234
    found = stellar.lake.cone(folder, RA[row], DEC[row], 1e-7)
    assert ids(found) == ids(EVERYTHING.slice(row, 1))
    assert len({(path, group) for path, group, _ in read}) == 1 and "margin" not in read[0][0]
    assert [names for *_, names in read][:2] == [(INDEX_COLUMN,), ("ra", "dec")]
    read.clear()
    stellar.lake.cone(folder, RA[row], DEC[row], 1e-7)
    assert INDEX_COLUMN not in {name for *_, names in read[:1] for name in names}
    read.clear()
    assert stellar.lake.cone(folder, 120.0, 45.0, 1.0).num_rows == 0 and read == []


def test_what_is_kept_in_memory_is_bounded():
    kept = Kept(100)
    made = []
    for key in (1, 2, 3, 1, 4, 1):
        kept.get(key, lambda key=key: made.append(key) or key, lambda _: 40)
    assert made == [1, 2, 3, 1, 4] and kept.bytes == 80
    assert kept.get("large", lambda: "x", lambda _: 101) == "x" and kept.bytes == 0
    kept.get(5, lambda: 5, lambda _: 10)
    kept.clear()
    assert kept.bytes == 0


def test_a_folder_that_is_written_anew_is_read_anew(tmp_path):
    store(tmp_path, stars(300))
    assert stellar.lake.cone(tmp_path, 0, 0, 180).num_rows == 300
    shutil.rmtree(tmp_path / "dataset")
    store(tmp_path, stars(500, seed=2))
    assert stellar.lake.cone(tmp_path, 0, 0, 180).num_rows == 500


def test_positions_of_any_name_and_rows_that_have_a_separation(tmp_path):
    names = ["id_left", "ra_left", "dec_left", "separation_arcsec", "name", "flux"]
    pairs = stars(600).rename_columns(names)
    store_own(tmp_path, pairs, position=("ra_left", "dec_left"), id_column="id_left")
    found = stellar.lake.cone(tmp_path, 0.0, 90.0, 5.0)
    expected = separation_arcsec(0.0, 90.0, pairs["ra_left"].to_numpy(), pairs["dec_left"].to_numpy())
    assert found["center_separation_arcsec"].to_pylist() == sorted(expected[expected <= 18000].tolist())
    assert found.column_names == [INDEX_COLUMN, *names, "center_separation_arcsec"]


@pytest.mark.parametrize("index", ["none", "shuffled"])
def test_catalogues_of_others(tmp_path, index):
    """Without the index, or with rows in any order, in a folder per partition."""
    table = canonical(stars(900), id_column="star_id")
    mixed = table.take(pa.array(np.random.default_rng(3).permutation(len(table))))
    pixels = mixed[INDEX_COLUMN].to_numpy() >> 58
    for pixel in range(12):
        part = mixed.filter(pa.array(pixels == pixel))
        path = tmp_path / "dataset" / Cell(0, pixel).path().removesuffix(".parquet")
        path.mkdir(parents=True)
        part = part if index == "shuffled" else part.drop_columns([INDEX_COLUMN])
        pq.write_table(part.slice(0, 40), path / "a.parquet", row_group_size=17)
        pq.write_table(part.slice(40), path / "b.parquet", row_group_size=17)
    (tmp_path / "hats.properties").write_text("obs_collection=x\nhats_npix_suffix=/\n")
    found = stellar.lake.cone(str(tmp_path), 1.0, 0.5, 2.0)
    separation = separation_arcsec(1.0, 0.5, table["ra"].to_numpy(), table["dec"].to_numpy())
    assert found["separation_arcsec"].to_pylist() == sorted(separation[separation <= 7200].tolist())
    assert (found[INDEX_COLUMN].to_numpy() == spatial_index(found["ra"], found["dec"])).all()
    assert found.num_rows > 10 and found.schema.names[:-1] == Catalog(tmp_path).schema.names
    assert stellar.lake.box(tmp_path, 0, 360, -90, 90).num_rows == 900


def test_no_rows_are_found_where_there_are_none(tmp_path):
    finish_catalog(tmp_path, "curated.empty", {}, EVERYTHING.schema)
    assert stellar.lake.cone(tmp_path, 0, 0, 180).schema.names == [*EVERYTHING.schema.names, "separation_arcsec"]
    assert stellar.lake.box(tmp_path, 0, 360, -90, 90, ["name"]).num_rows == 0


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda folder: stellar.lake.cone(folder, 0, 95, 1), "no cone"),
        (lambda folder: stellar.lake.box(folder, 0, 1, 5, 2), "no box"),
        (lambda folder: stellar.lake.polygon(folder, [0, 1], [0, 1]), "no polygon"),
        (lambda folder: stellar.lake.iter_cone(folder, 0, 0, 1, ["nope"]), "no column 'nope'; there are _healpix_29"),
        (lambda folder: stellar.lake.cone(folder, 0, 0, 1, "name"), r"write \['name'\]"),
    ],
)
def test_a_question_that_is_none_is_explained_at_once(folder, ask, told):
    with pytest.raises(InputError, match=told):
        ask(folder)


def test_plain_datasets_have_no_regions(tmp_path):
    write_partition(stars(9), tmp_path / "dataset" / "bucket=0.parquet", id_column="star_id", sky=False)
    finish_plain(tmp_path, stars(1).schema)
    with pytest.raises(InputError, match="not laid out on the sky"):
        stellar.lake.cone(tmp_path, 0, 0, 1)


def test_damage_is_named(tmp_path):
    files = store(tmp_path, stars(300))
    path = next(iter(files.values())).path
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(IntegrityError, match="partition is missing"):
        stellar.lake.cone(tmp_path, 0, 0, 180)
    path.write_bytes(gzip.compress(content))
    with pytest.raises(IntegrityError, match="not a readable Parquet file"):
        stellar.lake.cone(tmp_path, 0, 0, 180)
    with pytest.raises(IntegrityError, match="no folder dataset"):
        stellar.lake.cone(tmp_path / "dataset", 0, 0, 180)


def test_an_open_catalogue_is_searched_as_its_folder(folder):
    catalog = Catalog(folder)
    assert stellar.lake.cone(catalog, 0, 0, 1).equals(stellar.lake.cone(folder, 0, 0, 1))
    assert searchable(catalog) is searchable(str(folder))


def test_what_is_offered_is_there():
    assert {"cone", "open", "by_id"} <= set(dir(stellar.lake))
    assert all(callable(getattr(stellar.lake, name)) for name in stellar.lake.__all__)
    with pytest.raises(AttributeError, match="nope"):
        _ = stellar.lake.nope
