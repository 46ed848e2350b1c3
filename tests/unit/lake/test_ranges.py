"""The extremes of columns, whatever the files' footers say of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from made_catalog import stars, store
from stellar.lake.ranges import ranges
from stellar.lake.read import Catalog


@pytest.fixture
def catalog(tmp_path):
    store(tmp_path, stars(800))
    return Catalog(tmp_path)


def true_range(catalog, name):
    values = catalog.read_all([name])[name].to_numpy().astype(float)
    values = values[np.isfinite(values)]
    return (values.min(), values.max()) if len(values) else (0.0, 0.0)


def rewrite(catalog, change, **options):
    for path in catalog.files[::2]:
        table = pq.read_table(path, partitioning=None)
        pq.write_table(change(table), path, row_group_size=40, **options)


@pytest.mark.parametrize("statistics", [True, False])
def test_as_in_the_rows(catalog, statistics):
    rewrite(catalog, lambda table: table, write_statistics=statistics)
    names = ["dec", "g_mag", "star_id"]
    assert ranges(Catalog(catalog.root), names) == {name: true_range(catalog, name) for name in names}


def test_what_is_not_finite_does_not_count(catalog):
    def infinite(table):
        values = np.where(np.arange(len(table)) % 3, np.inf, table["g_mag"].to_numpy())
        values[::5] = np.nan
        return table.set_column(table.schema.get_field_index("g_mag"), "g_mag", pa.array(values.astype(np.float32)))

    rewrite(catalog, infinite)
    assert ranges(Catalog(catalog.root), ["g_mag"])["g_mag"] == true_range(catalog, "g_mag")


def test_a_column_of_nothing(catalog):
    def nothing(table):
        at = table.schema.get_field_index("g_mag")
        return table.set_column(at, "g_mag", pa.nulls(len(table), pa.float32()))

    for path in catalog.files:
        pq.write_table(nothing(pq.read_table(path, partitioning=None)), path)
    assert ranges(Catalog(catalog.root), ["g_mag"]) == {"g_mag": (0.0, 0.0)}
