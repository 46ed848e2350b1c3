"""SED features: which survey a value comes from, errors in quadrature, latitude."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.features.sed import SedConfig, galactic, sed_features

CONFIG = SedConfig.model_validate(
    {
        "values": [
            {
                "name": "g_mag",
                "from": [
                    {"survey": "a", "value": "g", "error": "g_err", "where": "good"},
                    {"survey": "b", "value": "g"},
                ],
            },
            {"name": "r_mag", "from": [{"survey": "a", "value": "r", "error": "r_err"}]},
            {"name": "parallax_mas", "from": [{"survey": "a", "value": "plx", "error": "plx_err"}]},
        ],
        "photometry": ["g_mag", "r_mag"],
        "colours": {"g_r": ["g_mag", "r_mag"]},
        "flags": [{"name": "is_good", "survey": "a", "value": "good"}],
    }
)


def features() -> tuple[list[dict], dict]:
    objects = pa.table(
        {
            "object_id": ["o1", "o2", "o3", "o4"],
            "ra": [10.0, 20.0, 30.0, 40.0],
            "dec": [0.0] * 4,
            "a_id": ["1", "2", None, "3"],
            "b_id": [None, "7", None, None],
        }
    )
    a = pa.table(
        {
            "n": pa.array([3, 2, 1], pa.int64()),
            "g": [None, 15.0, 16.0],
            "g_err": [None, 0.1, 0.03],
            "r": [None, 14.0, 15.5],
            "r_err": [None, 0.1, 0.04],
            "plx": [1.0, -0.5, 10.0],
            "plx_err": [0.1, 0.1, 0.1],
            "good": [True, False, True],
        }
    )
    b = pa.table({"n": pa.array([7], pa.int64()), "g": [15.2]})
    result = sed_features(objects, {"a": a, "b": b}, {"a": "n", "b": "n"}, CONFIG)
    assert result.accounting.gap == 0
    return result.table.to_pylist(), dict(result.accounting.filtered)


def test_values_errors_and_colours() -> None:
    (first, second), filtered = features()
    assert (first["g_mag"], first["g_mag_err"]) == (16.0, 0.03)
    assert first["g_r"] == pytest.approx(0.5) and first["g_r_err"] == pytest.approx(0.05)
    assert first["is_good"] is True and second["is_good"] is False
    assert filtered == {"no_photometry": 2}


def test_a_value_that_a_flag_forbids_comes_from_the_next_survey_with_its_own_error() -> None:
    (_, second), _ = features()
    assert (second["g_mag"], second["g_mag_err"]) == (15.2, None)
    assert second["g_r"] == pytest.approx(1.2) and second["g_r_err"] is None


def test_absolute_magnitudes_only_of_sure_parallaxes() -> None:
    (first, second), _ = features()
    assert first["g_abs_mag"] == pytest.approx(11.0), "10 mas are 100 pc, 5 magnitudes"
    # 1% of a parallax is 0.0217 mag
    assert first["g_abs_mag_err"] == pytest.approx(np.hypot(0.03, 0.0217147), rel=1e-4)
    assert second["parallax_mas"] == -0.5 and second["g_abs_mag"] is None


@settings(deadline=None)
@given(st.floats(0, 360, exclude_max=True), st.floats(-90, 90))
def test_galactic_coordinates_are_astropys(ra: float, dec: float) -> None:
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    from stellar.sky.separation import separation_arcsec

    longitude, latitude = galactic([ra], [dec])
    there = SkyCoord(ra * u.deg, dec * u.deg).galactic
    # astropy goes through FK4 and differs by 0.04 arcsec
    assert separation_arcsec(longitude, latitude, there.l.deg, there.b.deg)[0] < 0.1
