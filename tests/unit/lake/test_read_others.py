"""HATS folders as other tools make them: other columns, suffixes, indices, and files that are missing beside them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from made_catalog import stars, store
from stellar.errors import IntegrityError, StellarError
from stellar.lake.hats import write_metadata
from stellar.lake.read import Catalog
from stellar.sky.healpix import INDEX_COLUMN, Cell, spatial_index


def their_folder(root: Path, table: pa.Table, *, order: int = 1, suffix: str = ".parquet", **said: object) -> Path:
    """Partitions of one order, with columns of the partition in the files, and no `_common_metadata`."""
    index = spatial_index(table[str(said.get("hats_col_ra", "ra"))], table[str(said.get("hats_col_dec", "dec"))])
    pixels = index >> 2 * (29 - order)
    for pixel in np.unique(pixels).tolist():
        part = table.filter(pa.array(pixels == pixel))
        part = part.append_column("Norder", pa.array([order] * len(part), pa.uint8()))
        part = part.append_column("Npix", pa.array([pixel] * len(part), pa.uint64()))
        path = root / "dataset" / Cell(order, pixel).path().replace(".parquet", "" if suffix == "/" else suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == "/":
            path.mkdir()
            pq.write_table(part.slice(0, 3), path / "part0.parquet")
            pq.write_table(part.slice(3), path / "part1.parquet")
            (path / "_SUCCESS").write_text("")
        else:
            pq.write_table(part, path)
    said = {"obs_collection": "theirs", "dataproduct_type": "object", "hats_npix_suffix": suffix, **said}
    (root / "hats.properties").write_text("#HATS\n" + "".join(f"{k} = {v}\n" for k, v in said.items()))
    return root


def rows_of(table: pa.Table) -> list[dict]:
    return sorted(table.to_pylist(), key=lambda row: row["star_id"])


@pytest.mark.parametrize("suffix", [".parquet", ".parq", "/"])
def test_partitions_without_an_index_get_one_on_reading(tmp_path, suffix):
    table = stars(400).drop_columns(["g_mag"]).rename_columns(["star_id", "RA deg", "decl", "name", "flux"])
    root = their_folder(tmp_path, table, suffix=suffix, hats_col_ra="RA deg", hats_col_dec="decl")
    catalog = Catalog(root)
    assert catalog.is_hats and {cell.order for cell in catalog.cells} == {1} and catalog.rows == 400
    assert (catalog.ra_column, catalog.dec_column) == ("RA deg", "decl")
    assert catalog.schema.names == [INDEX_COLUMN, "star_id", "RA deg", "decl", "name", "flux"]
    read = catalog.read_all()
    assert read.schema.equals(catalog.schema)
    assert (read[INDEX_COLUMN].to_numpy() == spatial_index(read["RA deg"], read["decl"])).all()
    assert rows_of(read.drop_columns([INDEX_COLUMN])) == rows_of(table)
    cell = catalog.cells[2]
    assert catalog.read(cell, [INDEX_COLUMN]).column_names == [INDEX_COLUMN]
    rows, strip = catalog.read_cell(Cell(3, cell.pixel * 16), 7200.0, ["name", "star_id"])
    assert rows.column_names == strip.column_names == ["name", "star_id"]
    assert catalog.margin_arcsec is None
    with pytest.raises(StellarError, match="keeps no margins"):
        catalog.read_margin(cell)


def test_an_index_of_another_order_is_not_taken_for_ours(tmp_path):
    table = stars(100)
    index = pa.array((spatial_index(table["ra"], table["dec"]) >> 20).astype(np.uint64))
    said = {"hats_col_healpix": INDEX_COLUMN, "hats_col_healpix_order": 19}
    root = their_folder(tmp_path, table.append_column(INDEX_COLUMN, index), **said)
    read = Catalog(root).read_all()
    assert read.schema.field(INDEX_COLUMN).type == pa.int64()
    assert (read[INDEX_COLUMN].to_numpy() == spatial_index(read["ra"], read["dec"])).all()


def test_an_unsigned_index_and_other_kinds_of_text_come_in_the_catalogues_types(tmp_path):
    table = stars(100)
    index = pa.array(spatial_index(table["ra"], table["dec"]).astype(np.uint64))
    table = table.append_column(INDEX_COLUMN, index)
    root = their_folder(tmp_path, table.drop_columns(["flux"]))
    first = Catalog(root).files[0]
    part = pq.ParquetFile(first).read()
    pq.write_table(part.set_column(4, "name", part["name"].cast(pa.large_string())), first)
    read = Catalog(root).read_all()
    assert read.schema.field(INDEX_COLUMN).type == pa.int64() and read.num_rows == 100
    pq.write_table(part.drop_columns(["name"]), Catalog(root).files[-1])
    with pytest.raises(IntegrityError, match="has no name, unlike the catalogue"):
        Catalog(root).read_all()


def test_partitions_are_known_from_footers_or_file_names_alone(tmp_path):
    files = store(tmp_path, stars(500))
    rows = {cell: file.rows for cell, file in files.items()}
    write_metadata(tmp_path)
    (tmp_path / "partition_info.csv").unlink()
    (tmp_path / "dataset" / "_common_metadata").unlink()
    catalog = Catalog(tmp_path)
    assert set(catalog.cells) == set(rows) and catalog.rows == 500 and catalog.schema.names[0] == INDEX_COLUMN
    (tmp_path / "dataset" / "_metadata").unlink()
    (tmp_path / "hats.properties").unlink()  # `properties` is there, as older catalogues have it
    catalog = Catalog(tmp_path)
    assert set(catalog.cells) == set(rows) and catalog.rows == 500
    assert sorted(catalog.read_all()["star_id"].to_pylist()) == sorted(stars(500)["star_id"].to_pylist())


def test_a_collection_with_its_default_margin(tmp_path):
    store(tmp_path / "c", stars(900), margin_arcsec=3600.0)
    for path in (tmp_path / "c", tmp_path / "c" / "collection.properties"):
        catalog = Catalog(path)
        assert catalog.margin_arcsec == 3600.0 and catalog.root == tmp_path / "c"
        assert catalog.files[0].is_relative_to(tmp_path / "c" / "catalog")
    expected = 0
    for cell in catalog.cells:
        _, strip = catalog.read_cell(cell, 3600.0)
        kept = catalog.read_margin(cell)
        assert kept.equals(strip) and (catalog.margin_file(cell) is None) == (not kept.num_rows)
        expected += kept.num_rows
    assert expected > 0 and len(catalog.margin_cells) > 3
    assert catalog.read_margin(catalog.cells[0], ["name", "nope"]).column_names == ["name"]
    alone = Catalog(tmp_path / "c" / "catalog", margin=tmp_path / "c" / "margin")
    assert alone.margin_cells == catalog.margin_cells and alone.margin_arcsec == 3600.0


def test_a_broken_table_of_partitions_is_named(tmp_path):
    store(tmp_path, stars(50))
    (tmp_path / "partition_info.csv").write_text("Norder,Npix\n1,x\n")
    with pytest.raises(IntegrityError, match=r"partition_info\.csv: not a table"):
        _ = Catalog(tmp_path).cells
