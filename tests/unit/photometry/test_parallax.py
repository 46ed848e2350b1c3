"""The parallax zero point: the published values, ecliptic latitudes, what is done where too little is known."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import BarycentricMeanEcliptic, SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.photometry.parallax import ecliptic_latitude, zero_point

NONE = np.nan


def of(g=15.0, solved=31.0, nu_eff=1.5, pseudocolour=NONE, latitude=30.0) -> tuple[float, str]:
    value, source = zero_point([g], [solved], [nu_eff], [pseudocolour], [latitude])
    return float(value[0]), str(source[0])


def test_at_a_node_of_the_table_it_is_the_published_sum() -> None:
    """Lindegren et al. (2021), A&A 649, A4, eqs. A3 to A5 with the row G = 16.1 of table 9, written out by hand."""
    nu, sine = 1.40, np.sin(np.radians(30.0))
    c1, c2 = max(-0.24, min(0.24, nu - 1.48)), min(0.24, max(0.0, 1.48 - nu)) ** 3
    micro = -31.05 + 2.83 * sine + 8.59 * (sine**2 - 1 / 3) + 15.5 * c1 * sine - 1404.0 * c2
    value, source = of(g=16.1, nu_eff=nu)
    assert value == pytest.approx(micro / 1000.0, abs=1e-6)
    assert source == "lindegren2021"


def test_six_parameters_go_by_their_pseudocolour() -> None:
    nu, sine = 1.60, np.sin(np.radians(-40.0))
    c1 = nu - 1.48
    micro = -28.37 + 1.99 * sine + 9.28 * (sine**2 - 1 / 3) + c1 * (50.4 + 17.2 * sine + 13.7 * (sine**2 - 1 / 3))
    value, source = of(g=16.1, solved=95.0, nu_eff=1.2, pseudocolour=nu, latitude=-40.0)
    assert (value, source) == (pytest.approx(micro / 1000.0, abs=1e-6), "lindegren2021")


def test_a_solution_of_unknown_kind_counts_as_one_of_five_parameters() -> None:
    assert of(solved=NONE) == of()


@pytest.mark.parametrize(
    "changes",
    [
        {"g": 5.0},
        {"g": 21.5},
        {"g": NONE},
        {"nu_eff": NONE},
        {"nu_eff": 1.95},
        {"solved": 3.0},
        {"solved": 95.0, "pseudocolour": 1.8},
        {"latitude": NONE},
    ],
)
def test_elsewhere_it_is_the_median_of_the_quasars(changes: dict) -> None:
    assert of(**changes) == (-0.017, "global")


def test_rows_do_not_depend_on_one_another() -> None:
    g = np.array([7.0, NONE, 12.5, 18.0, 20.9])
    solved = np.array([31.0, 31.0, 95.0, NONE, 31.0])
    values, sources = zero_point(g, solved, [1.5] * 5, [1.5] * 5, [10.0, 0.0, -60.0, 80.0, 5.0])
    for i in range(5):
        assert (values[i], sources[i]) == of(g[i], solved[i], 1.5, 1.5, [10.0, 0.0, -60.0, 80.0, 5.0][i])
    assert len(zero_point([], [], [], [], [])[0]) == 0


@settings(deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90))
def test_latitudes_are_astropys(ra: float, dec: float) -> None:
    there = SkyCoord(ra * u.deg, dec * u.deg).transform_to(BarycentricMeanEcliptic())
    assert ecliptic_latitude([ra], [dec])[0] == pytest.approx(there.lat.deg, abs=1e-4)


def test_latitudes_are_gaias(real_data: Path) -> None:
    from astropy.table import Table

    recorded = Table.read(real_data / "archive_responses" / "gaia" / "1712337806100O-result.ecsv")
    latitude = ecliptic_latitude(recorded["ra"], recorded["dec"])
    # the ecliptic of Gaia's columns is that of J2000, the positions those of 2016
    assert np.abs(latitude - np.asarray(recorded["ecl_lat"], float)).max() * 3600 < 0.05
