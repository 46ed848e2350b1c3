"""What is read in a cell and around it: the same, however the catalogue is cut and whatever margins it keeps."""

import numpy as np
import pyarrow as pa
import pytest

from cut_sky import mixed_cells
from made_catalog import stars, store
from stellar.engine.around import Around
from stellar.lake.read import Catalog
from stellar.sky.healpix import INDEX_COLUMN, Cell, in_margin, spatial_index

COLUMNS = ["star_id", "name"]


@pytest.fixture(scope="module")
def table():
    stored = stars(2500)
    return stored.append_column(INDEX_COLUMN, pa.array(spatial_index(stored["ra"], stored["dec"])))


@pytest.fixture(scope="module", params=[(0, 0.0), (0, 600.0), (3, 600.0), (4, 20_000.0)], ids=str)
def catalog(request, table, tmp_path_factory):
    """Cut into cells of mixed orders, without margins or with some of a width."""
    seed, width = request.param
    root = tmp_path_factory.mktemp("cut")
    cells = mixed_cells(table[INDEX_COLUMN].to_numpy(), seed, largest_order=7)
    store(root, table.drop_columns([INDEX_COLUMN]), cells=cells, margin_arcsec=width)
    return Catalog(root)


def expected(table: pa.Table, cell: Cell, margin_arcsec: float) -> tuple[list, list]:
    index = table[INDEX_COLUMN].to_numpy()
    inside, near = cell.contains(index), in_margin(index, cell, margin_arcsec)
    return (sorted(table.filter(pa.array(mask))["star_id"].to_pylist()) for mask in (inside, near))


def some_cells(table: pa.Table, catalog: Catalog) -> list[Cell]:
    """Its own cells, cells of any cut, and cells where it has no rows."""
    index = table[INDEX_COLUMN].to_numpy()
    empty = [Cell(order, pixel) for order, pixel in [(1, 20), (2, 90), (5, 6000), (6, 30_001)]]
    return [*catalog.cells[::9], *mixed_cells(index, 77, largest_order=8)[::40], *empty, Cell(0, 4), Cell(0, 8)]


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("margin", [0.0, 30.0, 600.0])
def test_rows_and_margin_are_those_of_the_whole_table(catalog, table, margin, ours):
    kept = (catalog.margin_arcsec or 0) >= margin > 0
    around = Around(catalog, margin, COLUMNS, kept=kept, ours=ours)
    found = 0
    for cell in some_cells(table, catalog):
        rows, near = around.read(cell)
        inside, beyond = expected(table, cell, margin)
        assert rows.column_names == near.column_names == COLUMNS
        assert sorted(rows["star_id"].to_pylist()) == inside
        assert sorted(near["star_id"].to_pylist()) == beyond
        found += len(beyond)
    assert (found > 0) == (margin > 0)


def test_every_name_that_is_read_is_named(catalog, table):
    """A row can only come from what `names` says: its cells, and the margins of its own cells."""
    around = Around(catalog, 600.0, COLUMNS, kept=(catalog.margin_arcsec or 0) >= 600.0)
    index, ids = table[INDEX_COLUMN].to_numpy(), table["star_id"].to_numpy()
    place = dict(zip(ids.tolist(), index.tolist(), strict=True))
    for cell in some_cells(table, catalog):
        names = around.names(cell)
        cells = [Cell.parse(name) for name in names if not name.startswith("margin/")]
        margins = [Cell.parse(name.removeprefix("margin/")) for name in names if name.startswith("margin/")]
        from_margins = {i for one in margins for i in catalog.read_margin(one, ["star_id"])["star_id"].to_pylist()}
        rows, near = around.read(cell)
        for part in (rows, near):
            for star in part["star_id"].to_pylist():
                assert star in from_margins or any(one.contains(np.array([place[star]]))[0] for one in cells)


def test_a_table_that_is_not_in_order_is_brought_into_it(tmp_path, table):
    store(tmp_path, table.drop_columns([INDEX_COLUMN]), cells=[Cell(0, pixel) for pixel in range(12)])
    catalog = Catalog(tmp_path)
    import pyarrow.parquet as pq

    path = catalog.file(catalog.cells[0])
    mixed = pq.read_table(path)
    pq.write_table(mixed.take(pa.array(np.random.default_rng(1).permutation(len(mixed)))), path)
    around = Around(Catalog(tmp_path), 30.0, [INDEX_COLUMN, "star_id"])
    index = mixed[INDEX_COLUMN].to_numpy()
    cell = Cell(4, int(index[len(index) // 2]) >> 50)
    rows, _ = around.read(cell)
    assert len(rows) > 0
    assert (np.diff(rows[INDEX_COLUMN].to_numpy()) >= 0).all()
    assert sorted(rows["star_id"].to_pylist()) == next(iter(expected(table, cell, 30.0)))
