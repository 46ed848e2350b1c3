"""What the surveys share: endpoints, cones in SQL, caps, vanished units, columns."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError, ServiceError
from stellar.settings import Settings
from stellar.sky.healpix import Cell, spatial_index
from stellar.sky.separation import separation_arcsec
from stellar.surveys.base import Region, Scope, WorkUnit
from stellar.surveys.gaia import GaiaConfig
from stellar.surveys.http.checks import AnswerError
from stellar.surveys.http.columns import schema_of, to_arrow
from stellar.surveys.http.survey import Endpoint, capped, circles, in_scope, load_config, tag_of, vanished, within
from stellar.surveys.labels import LabelsConfig
from stellar.surveys.sdss import SdssConfig
from stellar.surveys.tess import TessConfig

PUBLIC = Endpoint("https://gea.esac.esa.int", False)
EMBEDDED = Endpoint("http://127.0.0.1:1", True)


def unit(name: str, count: int, sign: str = "x") -> WorkUnit:
    return WorkUnit("gaia", "gaia", "gaiadr3", name, sign, {"count": count}, count)


@pytest.mark.parametrize(
    ("name", "model"), [("gaia", GaiaConfig), ("sdss", SdssConfig), ("tess", TessConfig), ("labels", LabelsConfig)]
)
def test_the_configs_hold_and_their_columns_have_types(name, model):
    config = load_config(name, model)
    for field in ("columns", "photo_columns", "spectro_columns", "sspp_columns"):
        if hasattr(config, field):
            assert "ra" in schema_of(getattr(config, field)).names or field == "sspp_columns"


def test_embedded_is_the_archive_of_the_home(tmp_path):
    settings = Settings(home=tmp_path)
    with pytest.raises(ServiceError, match=r"embedded archive.*not running.*stellar up"):
        Endpoint.of(settings, "embedded")
    settings.run.mkdir(parents=True)
    settings.run.joinpath("archive.json").write_text(json.dumps({"url": "http://127.0.0.1:8123/"}))
    assert Endpoint.of(settings, "embedded", "/x") == Endpoint("http://127.0.0.1:8123/x", True)
    assert Endpoint.of(settings, "https://mast.stsci.edu/") == Endpoint("https://mast.stsci.edu", False)
    with pytest.raises(InputError, match="https://"):
        Endpoint.of(settings, "mast.stsci.edu")


def test_the_whole_of_a_public_archive_is_not_asked_for():
    assert circles(Scope(), EMBEDDED, "gaia") == []
    with pytest.raises(InputError, match="give regions"):
        circles(Scope(), PUBLIC, "gaia")


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 8), st.data())
def test_the_circle_around_a_cell_holds_it(order, data):
    pixel = data.draw(st.integers(0, 12 * 4**order - 1))
    ra = np.random.default_rng(pixel).uniform(0, 360, 20000)
    dec = np.degrees(np.arcsin(np.random.default_rng(pixel + 1).uniform(-1, 1, 20000)))
    inside = Cell(order, pixel).contains(spatial_index(ra, dec))
    (circle,) = circles(Scope(cells=((order, pixel),)), PUBLIC, "gaia")
    assert (separation_arcsec(ra[inside], dec[inside], circle.ra, circle.dec) <= circle.radius_deg * 3600).all()


def test_cells_are_cut_exactly():
    table = pa.table({"ra": [10.0, 200.0], "dec": [10.0, -50.0]})
    cell = (4, int(spatial_index([10.0], [10.0])[0] >> 50))
    assert in_scope(table, Scope(cells=(cell,)))["ra"].to_pylist() == [10.0]


@settings(deadline=None)
@given(st.floats(0, 359.9), st.floats(-89, 89), st.floats(0.05, 5), st.floats(0, 359.9), st.floats(-89.9, 89.9))
def test_the_trigonometric_cone_is_the_cone(ra0, dec0, radius, ra, dec):
    condition = within(Region(ra0, dec0, radius)).replace(" AND ", " and ")
    low, _, rest = condition.removeprefix("(dec BETWEEN ").partition(" and ")
    high, _, rest = rest.partition(" and ")
    names = {"SIN": math.sin, "COS": math.cos, "RADIANS": math.radians, "ra": ra, "dec": dec}
    inside = float(low) <= dec <= float(high) and eval(rest[:-1], names)
    separation = separation_arcsec(ra0, dec0, ra, dec) / 3600
    if abs(separation - radius) > 1e-6:
        assert inside == (separation <= radius)


def test_a_cap_ends_in_the_middle_of_a_unit():
    units = capped([unit("a", 10), unit("b", 10), unit("c", 10)], 15)
    assert [(u.unit, u.expected_rows, u.params.get("top")) for u in units] == [("a", 10, None), ("b", 5, 5)]
    assert units[1].sign != "x"
    assert len(capped([unit("a", 10)], None)) == 1


def test_vanished_units_are_those_of_the_same_scope():
    tag = tag_of(Scope((Region(0, 0, 1),)))
    done = {("gaia", "a"): "1", ("gaia", "b"): "1", ("gaia", f"c{tag}"): "1", ("gaia", "d"): "0", ("labels", "e"): "1"}
    assert vanished([unit("a", 1)], done, "gaia", "") == ["b"]
    assert vanished([], done, "gaia", tag) == [f"c{tag}"]
    assert tag_of(Scope()) == ""


def test_answers_become_the_declared_columns():
    table = Table(
        {
            "ID": np.array([1, 2**60], np.uint64),
            "Mag": MaskedColumn([1.5, 2.5], mask=[False, True]),
            "Name": MaskedColumn(["x", "null"]),
            "Empty": MaskedColumn(["", ""], mask=[True, True]),
            "Whole": [3.0, np.nan],
            "Flag": [True, False],
        }
    )
    schema = schema_of(
        {"id": "int64", "mag": "float32 mag", "name": "string", "empty": "float64", "whole": "int32", "flag": "bool"}
    )
    found = to_arrow(table, schema)
    assert found.to_pylist() == [
        {"id": 1, "mag": 1.5, "name": "x", "empty": None, "whole": 3, "flag": True},
        {"id": 2**60, "mag": None, "name": None, "empty": None, "whole": None, "flag": False},
    ]
    assert found.schema.field("mag").metadata == {b"unit": b"mag"}
    for broken in ({"nope": "int64"}, {"name": "int64"}, {"mag": "int64"}):
        with pytest.raises(AnswerError, match=next(iter(broken))):
            to_arrow(table, schema_of(broken))
