"""How far rows move: a bound, by footers where that is enough, else by rows."""

import numpy as np
import pyarrow as pa
import pytest

from made_catalog import stars, store
from stellar.catalog.pairing import Pairing, Side
from stellar.flow.motions import largest_motion
from stellar.flow.sides import Source
from stellar.lake.read import Catalog
from stellar.sky.motion import propagate
from stellar.sky.separation import separation_arcsec

MOTION = ("pmra", "pmdec", "parallax", "radial_velocity")


@pytest.fixture
def source(tmp_path):
    """One row moves fast eastwards, another northwards, a third comes near; a fourth has half a motion."""
    table = stars(400)
    columns = {name: np.zeros(400) for name in MOTION}
    columns["pmra"][[3, 5, 8]] = 3000, 100, np.nan
    columns["pmdec"][[4, 5, 8]] = 4000, 200, 90_000
    columns["parallax"][5], columns["radial_velocity"][5] = 700.0, -250.0
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    table = table.append_column("mjd", pa.array(51544.5 + np.linspace(0, 2 * 365.25, 400)))
    store(tmp_path, table)
    return Source("left", "own.a", None, Catalog(tmp_path), "star_id", 0.0)


def pairing(left: dict, right: dict, radius=1.0) -> Pairing:
    return Pairing(Side("star_id", (), **left), Side("star_id", (), **right), radius)


def with_margin(source: Source, who: str, width: float) -> Source:
    return Source(who, source.dataset, None, source.catalog, source.id_column, width)


def test_extremes_of_the_columns_are_a_bound_and_rows_a_closer_one(source):
    asked = pairing({"epoch_yr": 2016.0, "motion": MOTION[:2]}, {"epoch_yr": 2000.0})
    # the columns' extremes are not of one row, and one of them is of a row whose other half is not known
    loose = largest_motion([source, with_margin(source, "right", 0.0)], asked)
    assert loose == pytest.approx(16 * np.hypot(3.0, 90.0), rel=0.01)
    close = largest_motion([source, with_margin(source, "right", 100.0)], asked)
    assert close == pytest.approx(64.0, rel=0.01) and close >= 64.0


def test_no_row_moves_farther(source):
    table = source.catalog.read_all()
    asked = pairing({"epoch_yr": 2016.0, "motion": MOTION}, {"epoch_column": "mjd", "epoch_is_mjd": True})
    bound = largest_motion([source, with_margin(source, "right", 1e-3)], asked)
    place = [table[name].to_numpy() for name in ("ra", "dec")]
    motion = [np.where(table["star_id"].to_numpy() >= 0, table[name].to_numpy(), 0) for name in MOTION]
    known = np.isfinite(motion[0])
    for year in (2000.0, 2002.0):
        moved = propagate(*place, motion[0], motion[1], 2016.0, year, motion[2], motion[3])
        travelled = separation_arcsec(*place, *moved)[known]
        assert travelled.max() <= bound
    assert bound == pytest.approx(64.0, rel=0.01)


def test_both_sides_may_move_and_years_are_the_most_between_them(source):
    right = with_margin(source, "right", 1e-3)
    asked = pairing({"epoch_yr": 2000.0}, {"epoch_yr": 2010.0, "motion": MOTION[:2]})
    assert largest_motion([source, right], asked) == pytest.approx(40.0, rel=0.01)
    asked = pairing({"epoch_column": "mjd", "epoch_is_mjd": True}, {"epoch_yr": 2001.0, "motion": MOTION[:2]})
    assert largest_motion([source, right], asked) == pytest.approx(4.0, rel=0.01)
    assert largest_motion([source, right], pairing({"epoch_yr": 2000.0}, {"epoch_yr": 2010.0})) == 0.0
