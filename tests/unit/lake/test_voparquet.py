"""The VOTable header of a file is what astropy takes units, UCDs and descriptions from."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from made_catalog import stars, store
from stellar.lake.schema import field, stored_schema
from stellar.lake.voparquet import CONTENT_KEY, VERSION_KEY, votable_header
from stellar.lake.write import write_partition


def test_astropy_reads_units_ucds_and_descriptions_of_any_partition(tmp_path):
    table = stars(300)
    # astropy 8.0 reads no text with nulls from Parquet, whatever the header.
    table = table.set_column(4, "name", table["name"].fill_null(""))
    for file in store(tmp_path, table).values():
        read = Table.read(file.path, format="parquet.votable")
        assert read.colnames == ["_healpix_29", *table.column_names] and len(read) == file.rows
        assert (read["ra"].unit, read["g_mag"].unit) == (u.deg, u.mag)
        assert read["star_id"].description == "Identifier" and read["star_id"].dtype == np.int64
        assert read["ra"].meta["ucd"] == "pos.eq.ra;meta.main" and read["_healpix_29"].meta["ucd"] == "pos.HEALPix"
        assert read["flux"].unit is not None
    common = pq.read_metadata(tmp_path / "dataset" / "_common_metadata").metadata
    assert common[VERSION_KEY] == b"1.0" and b'ucd="pos.eq.ra;meta.main"' in common[CONTENT_KEY]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, None, False]),
        pa.array([True, True, False]),
        pa.array([1, None, 2], pa.uint8()),
        pa.array([1, None, 2**64 - 1], pa.uint64()),
        pa.array([1.5, None, 2], pa.float16()),
        pa.array([1, None, 2], pa.timestamp("ms")),
        pa.array([1, None, 2], pa.date32()),
        pa.array(["a", "b", "ü"]),
        pa.array([[1.0, None], None, []], pa.list_(pa.float64())),
        pa.array([[True], None, []], pa.list_(pa.bool_())),
        pa.array([b"ab", None, b"cd"], pa.binary(2)),
    ],
    ids=lambda column: str(column.type),
)
def test_astropy_reads_columns_of_other_types(tmp_path, column):
    given_fields = pa.schema([field("star_id", pa.int64(), ucd="meta.id"), field("c", column.type, unit="Jy")])
    table = pa.table([[1, 2, 3], column], schema=given_fields)
    made = write_partition(table, tmp_path / "x.parquet", id_column="star_id")
    read = Table.read(made.path, format="parquet.votable")
    assert read["star_id"].meta["ucd"] == "meta.id" and len(read["c"]) == 3


def test_headers_of_columns_that_are_no_more_are_not_kept():
    schema = pa.schema([field("a", pa.int64())], metadata={CONTENT_KEY: b"old", VERSION_KEY: b"1.0", b"x": b"y"})
    assert stored_schema(schema).metadata == {b"x": b"y"}


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_any_name_and_description_make_well_formed_xml(name, unit, description):
    from xml.etree import ElementTree

    text = [part.encode("utf-8", "replace").decode() for part in (name or "x", unit, description)]
    header = votable_header(pa.schema([field(text[0], pa.int64(), unit=text[1] or None, description=text[2])]))
    found = ElementTree.fromstring(header).find(".//{*}FIELD")
    assert found is not None and found.attrib["datatype"] == "long"


def test_the_header_follows_from_names_types_and_metadata():
    one, other = (pa.schema([field("a", pa.int64(), unit=unit)]) for unit in ("mas", "deg"))
    assert one == other  # to Arrow
    assert b'unit="mas"' in votable_header(one) and b'unit="deg"' in votable_header(other)
    assert votable_header(one) == votable_header(pa.schema([field("a", pa.int64(), unit="mas")]))
