"""Any cell of the sky is read from any layout, with its margin."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_catalog import stars, store
from stellar.errors import IntegrityError
from stellar.lake import write
from stellar.lake.hats import finish_catalog, finish_plain
from stellar.lake.read import Catalog
from stellar.lake.write import canonical, write_partition
from stellar.sky.healpix import Cell, margin_mask

CELL = st.integers(0, 6).flatmap(lambda k: st.integers(0, 12 * 4**k - 1).map(lambda n: Cell(k, n)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A catalogue with several row groups per file."""
    root = tmp_path_factory.mktemp("stars")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "ROW_GROUP_ROWS", 50)
        store(root, stars())
    return root


@pytest.fixture(scope="module")
def everything():
    return canonical(stars(), id_column="star_id")


def ids(table: pa.Table) -> list[int]:
    return table["star_id"].to_pylist()


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from([0.0, 20.0, 3600.0, 30 * 3600.0]))
def test_rows_and_margin_are_those_of_the_whole_table(folder, everything, data, margin):
    seen = everything["_healpix_29"].to_numpy()
    near = st.integers(0, len(seen) - 1).flatmap(
        lambda row: st.integers(0, 7).map(lambda k: Cell(k, int(seen[row]) >> 2 * (29 - k)))
    )
    cell = data.draw(st.one_of(near, CELL))
    rows, strip = Catalog(folder).read_cell(cell, margin, ["star_id", "flux", "nope"])
    ra, dec = everything["ra"].to_numpy(), everything["dec"].to_numpy()
    assert ids(rows) == ids(everything.filter(pa.array(cell.contains(seen))))
    expected = everything.filter(pa.array(margin_mask(ra, dec, cell, margin))) if margin else everything.slice(0, 0)
    assert ids(strip) == ids(expected)
    assert strip["flux"].to_pylist() == expected["flux"].to_pylist()
    assert rows.column_names == strip.column_names == ["star_id", "flux"]


def test_partitions_add_up_to_the_whole(folder, everything):
    catalog = Catalog(folder)
    assert len({cell.order for cell in catalog.cells}) > 1 and catalog.buckets == []
    assert ids(catalog.read_all()) == ids(everything)
    assert catalog.rows == everything.num_rows
    assert catalog.schema.field("g_mag").metadata[b"unit"] == b"mag"
    assert [str(path).endswith(cell.path()) for path, cell in zip(catalog.files, catalog.cells, strict=True)]


def test_row_groups_are_skipped(folder):
    catalog = Catalog(folder)
    cell = max(catalog.cells, key=lambda c: catalog.read(c, ["star_id"]).num_rows)
    table = catalog.read(cell)
    wanted = np.zeros(table.num_rows, bool)
    wanted[[0, 60, 61, table.num_rows - 1]] = True
    assert ids(catalog._read_rows(cell, wanted, ["star_id"])) == ids(table.filter(pa.array(wanted)))


def test_plain_dataset(tmp_path):
    for number in (1, 0):
        part = pa.table({"id": [f"{number}-b", f"{number}-a"], "x": [1.0, 2.0]})
        write_partition(part, tmp_path / "dataset" / f"bucket={number:03d}.parquet", id_column="id")
    finish_plain(tmp_path, part.schema)
    catalog = Catalog(tmp_path)
    assert catalog.buckets == ["bucket=000", "bucket=001"] == catalog.partitions and not catalog.is_hats
    assert catalog.read_all()["id"].to_pylist() == ["0-a", "0-b", "1-a", "1-b"]


def test_a_raw_batch_that_lacks_a_column_has_nulls_there(tmp_path):
    full, partial = pa.table({"id": [1], "x": [0.5], "note": ["n"]}), pa.table({"id": [2], "note": ["m"]})
    for stem, part in (("b1", full), ("b2", partial)):
        write_partition(part, tmp_path / f"dataset/{stem}.parquet", id_column="id", sky=False)
    finish_plain(tmp_path, full.schema)
    catalog = Catalog(tmp_path)
    assert catalog.read("b2").to_pylist() == [{"id": 2, "x": None, "note": "m"}]
    assert catalog.read_all(["x", "id"]).to_pylist() == [{"x": 0.5, "id": 1}, {"x": None, "id": 2}]
    assert catalog.read("b2", ["x"]).num_rows == catalog.read("b2", ["nope"]).num_rows == 1


def test_no_rows_still_have_columns(tmp_path):
    finish_catalog(tmp_path, "curated.none", {Cell(0, 1): 0}, stars(9).schema)
    catalog = Catalog(tmp_path)
    assert catalog.cells == [] and catalog.rows == 0 and catalog.schema.names[0] == "_healpix_29"
    rows, margin = catalog.read_cell(Cell(3, 5), 60.0, ["ra"])
    assert rows.column_names == margin.column_names == ["ra"] and rows.num_rows == margin.num_rows == 0


def test_what_is_missing_is_named(folder, tmp_path):
    with pytest.raises(IntegrityError, match="no folder dataset"):
        Catalog(tmp_path)
    (tmp_path / "dataset").mkdir()
    with pytest.raises(IntegrityError, match="columns are unknown"):
        _ = Catalog(tmp_path).schema
    with pytest.raises(IntegrityError, match=r"Npix=1\.parquet: partition is missing"):
        Catalog(folder).read(Cell(29, 1))
    broken = tmp_path / "dataset" / "bucket=000.parquet"
    broken.write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(IntegrityError, match="not a readable Parquet"):
        Catalog(tmp_path)._read_file(broken, ["x"])
