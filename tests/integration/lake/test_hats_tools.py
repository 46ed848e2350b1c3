"""The field's own tools take the catalogues as they lie: hats and LSDB (10 s to import, so all of it is here)."""

import hats.io.validation
import hats.pixel_math.spatial_index
import lsdb
import numpy as np
import pytest

from made_catalog import stars, store
from stellar.lake.hats import finish_catalog, write_metadata
from stellar.lake.read import Catalog
from stellar.lake.write import write_partition
from stellar.sky.healpix import INDEX_COLUMN, spatial_index
from stellar.sky.match import match

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def table():
    return stars()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, table):
    root = tmp_path_factory.mktemp("stars") / "0123456789abcdef"
    store(root, table)
    return root


@pytest.fixture(scope="module")
def opened(folder):
    return lsdb.open_catalog(folder)


def test_strictly_valid(folder):
    assert hats.io.validation.is_valid_catalog(folder, strict=True)


def test_opens_with_all_rows_columns_and_orders(opened, folder, table):
    assert len({pixel.order for pixel in opened.get_healpix_pixels()}) > 1
    assert len(opened) == table.num_rows
    assert set(table.column_names) == set(opened.columns)
    frame = opened.compute().sort_values("star_id")
    expected = table.sort_by("star_id").to_pylist()
    assert frame["star_id"].tolist() == [row["star_id"] for row in expected]
    assert frame["ra"].tolist() == [row["ra"] for row in expected]
    lists = [None if flux is None or not hasattr(flux, "__len__") else list(flux) for flux in frame["flux"]]
    assert lists == [row["flux"] for row in expected]


@pytest.fixture(scope="module")
def collection(tmp_path_factory, table):
    root = tmp_path_factory.mktemp("with_margins") / "0123456789abcdef"
    store(root, table, margin_arcsec=30.0, name="own.stars")
    return root


def test_a_collection_is_strictly_valid_and_opens_with_its_margins(collection, table):
    catalog = Catalog(collection)
    in_margins = sum(catalog.read_margin(cell).num_rows for cell in catalog.cells)
    for folder in (collection, collection / "catalog", collection / "margin"):
        assert hats.io.validation.is_valid_catalog(folder, strict=True)
    for path, margin in (
        (collection, None),
        (collection / "collection.properties", None),
        (collection, collection / "margin"),
        (collection / "catalog", collection / "margin"),
    ):
        opened = lsdb.open_catalog(path, margin_cache=margin)
        assert len(opened) == table.num_rows and opened.margin.hc_structure.catalog_info.margin_threshold == 30.0
        assert len(opened.margin.compute()) == in_margins > 0
    write_metadata(collection / "catalog")
    assert hats.io.validation.is_valid_catalog(collection, strict=True)
    assert len(opened.hc_structure.aggregate_column_statistics()) == table.num_columns
    (collection / "catalog" / "dataset" / "_metadata").unlink()


def test_a_collection_of_theirs_is_read(tmp_path, table):
    """What LSDB writes: a collection with margins, large strings, its own order of rows, and no counts."""
    frame = table.select(["star_id", "ra", "dec", "g_mag", "name"]).to_pandas()
    made = lsdb.from_dataframe(frame, partition_rows=300, margin_threshold=40.0, ra_column="ra", dec_column="dec")
    made.write_catalog(tmp_path / "theirs", catalog_name="theirs")
    catalog = Catalog(tmp_path / "theirs")
    assert len(catalog.cells) > 10 and catalog.rows == table.num_rows
    assert (catalog.ra_column, catalog.dec_column) == ("ra", "dec")
    read = catalog.read_all()
    assert set(read.column_names) == {INDEX_COLUMN, "star_id", "ra", "dec", "g_mag", "name"}
    assert (read[INDEX_COLUMN].to_numpy() == spatial_index(read["ra"].to_numpy(), read["dec"].to_numpy())).all()
    assert sorted(read["star_id"].to_pylist()) == sorted(table["star_id"].to_pylist())
    rows, strip = catalog.read_cell(catalog.cells[3], 40.0, ["star_id"])
    assert rows.num_rows > 0
    assert catalog.margin_arcsec == 40.0
    kept = {cell: set(catalog.read_margin(cell, ["star_id"])["star_id"].to_pylist()) for cell in catalog.cells}
    assert any(kept.values()) and kept[catalog.cells[3]] <= set(strip["star_id"].to_pylist())
    alone = Catalog(catalog.table / "hats.properties")
    assert alone.margin_arcsec is None and alone.read_all().equals(read)


def test_index_is_the_same_as_theirs(table):
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    assert (hats.pixel_math.spatial_index.compute_spatial_index(ra, dec) == spatial_index(ra, dec)).all()


def test_cone_search_finds_the_same(opened, folder):
    everything = Catalog(folder).read_all(["star_id", "ra", "dec"])
    found = set(opened.cone_search(ra=359.9, dec=0.2, radius_arcsec=5400).compute()["star_id"])
    near = match([359.9], [0.2], everything["ra"].to_numpy(), everything["dec"].to_numpy(), 5400.0)
    assert near.n_candidates[0] == len(found) > 10


def test_crossmatch_finds_the_same(opened, tmp_path, table):
    """A second catalogue with other cells, its stars moved by up to 2 arcsec."""
    random = np.random.default_rng(5)
    moved = table.filter(random.random(table.num_rows) < 0.5)
    dec = np.clip(moved["dec"].to_numpy() + random.uniform(-2, 2, moved.num_rows) / 3600, -90, 90)
    moved = moved.set_column(moved.schema.get_field_index("dec"), moved.schema.field("dec"), [dec])
    store(tmp_path / "moved", moved, threshold=60_000)
    other = lsdb.open_catalog(tmp_path / "moved", margin_cache=None)
    options = {"suffixes": ("_ours", "_moved"), "suffix_method": "all_columns", "require_right_margin": False}
    pairs = opened.crossmatch(other, radius_arcsec=1.0, **options).compute()
    # LSDB without a margin misses pairs across cells' edges; all that it finds are ours.
    ours = match(table["ra"].to_numpy(), table["dec"].to_numpy(), moved["ra"].to_numpy(), moved["dec"].to_numpy(), 1.0)
    left, right = table["star_id"].to_numpy()[ours.left_index], moved["star_id"].to_numpy()[ours.right_index]
    known = set(zip(left.tolist(), right.tolist(), strict=True))
    theirs = set(zip(pairs["star_id_ours"].tolist(), pairs["star_id_moved"].tolist(), strict=True))
    assert theirs <= known and len(theirs) > 0.95 * len(known)


def test_crossmatch_with_margins_finds_all(collection, tmp_path, table):
    """With our margins LSDB misses no pair."""
    random = np.random.default_rng(6)
    dec = np.clip(table["dec"].to_numpy() + random.uniform(-2, 2, table.num_rows) / 3600, -90, 90)
    moved = table.set_column(table.schema.get_field_index("dec"), table.schema.field("dec"), [dec])
    store(tmp_path / "moved", moved, threshold=3_000, margin_arcsec=30.0)
    other = lsdb.open_catalog(tmp_path / "moved")
    options = {"suffixes": ("_ours", "_moved"), "suffix_method": "all_columns"}
    pairs = lsdb.open_catalog(collection).crossmatch(other, radius_arcsec=25.0, **options).compute()
    ours = match(table["ra"].to_numpy(), table["dec"].to_numpy(), moved["ra"].to_numpy(), moved["dec"].to_numpy(), 25.0)
    left, right = table["star_id"].to_numpy()[ours.left_index], moved["star_id"].to_numpy()[ours.right_index]
    theirs = set(zip(pairs["star_id_ours"].tolist(), pairs["star_id_moved"].tolist(), strict=True))
    assert theirs == set(zip(left.tolist(), right.tolist(), strict=True))


def test_hard_links_and_empty_partitions_are_valid(folder, tmp_path, table):
    catalog = Catalog(folder)
    rows = {}
    for cell in catalog.cells:
        path = tmp_path / "dataset" / cell.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(catalog.file(cell))
        rows[cell] = catalog.read(cell, ["star_id"]).num_rows
    first = catalog.cells[0]
    (tmp_path / "dataset" / first.path()).unlink()
    write_partition(catalog.read(first).slice(0, 0), tmp_path / "dataset" / first.path(), id_column="star_id")
    finish_catalog(tmp_path, "curated.stars", {**rows, first: 0}, catalog.schema)
    (tmp_path / "manifest.json").write_text("{}")
    assert hats.io.validation.is_valid_catalog(tmp_path, strict=True)
    assert len(lsdb.open_catalog(tmp_path)) == table.num_rows - rows[first]
