"""Corrected features: reddening taken off by band, the corrected parallax, absolute magnitudes, saturation."""

import numpy as np
import pyarrow as pa
import pytest

from stellar.features.sed import SedConfig, load_sed, schema, sed_features, sed_step
from stellar.photometry.extinction import BP, RP, per_ebv
from stellar.profile import load_profile

CONFIG = SedConfig.model_validate(
    {
        "values": [
            {"name": name, "band": band, "from": [{"survey": "a", "value": column, "error": "mag_err"}]}
            for name, band, column in (
                ("g_mag", "GAIA/GAIA3.G", "g"),
                ("bp_mag", "GAIA/GAIA3.Gbp", "bp"),
                ("rp_mag", "GAIA/GAIA3.Grp", "rp"),
                ("sdss_g_mag", "SLOAN/SDSS.g", "sg"),
                ("sdss_r_mag", "SLOAN/SDSS.r", "sr"),
            )
        ]
        + [
            {"name": "parallax_mas", "from": [{"survey": "a", "value": "plx", "error": "plx_err"}]},
            {
                "name": "ebv",
                "from": [
                    {"survey": "b", "value": "ar / 2.285", "error": "0.16 * ar / 2.285"},
                    {"survey": "a", "value": "ebr / 1.134"},
                ],
            },
        ],
        "astrometry": [
            {"name": "solved", "from": [{"survey": "a", "value": "solved"}]},
            {"name": "nu_eff", "from": [{"survey": "a", "value": "nu"}]},
        ],
        "photometry": ["g_mag"],
        "colours": {"bp_rp": ["bp_mag", "rp_mag"], "g_r": ["sdss_g_mag", "sdss_r_mag"]},
    }
)
STAR = {
    **{"n": "1", "g": 15.0, "bp": 15.5, "rp": 14.3, "sg": 15.6, "sr": 14.9, "mag_err": 0.01},
    **{"plx": 2.0, "plx_err": 0.02, "ebr": None, "solved": 31, "nu": 1.5},
}
TYPES = {"n": pa.string(), "solved": pa.int32()}


def features(ar: float | None = 0.457, **changes) -> dict:
    star = STAR | changes
    a = pa.table({name: pa.array([value], TYPES.get(name, pa.float64())) for name, value in star.items()})
    b = pa.table({"n": ["1"], "ar": pa.array([ar], pa.float64())})
    objects = pa.table({"object_id": ["o"], "ra": [80.0], "dec": [20.0], "a_id": ["1"], "b_id": ["1"]})
    result = sed_features(objects, {"a": a, "b": b}, {"a": "n", "b": "n"}, CONFIG)
    return result.table.to_pylist()[0]


def test_colours_lose_their_reddening() -> None:
    found = features()
    assert found["ebv"] == pytest.approx(0.2) and found["ebv_source"] == "b"
    assert found["g_r_0"] == pytest.approx(0.7 - 0.2 * (3.303 - 2.285))
    x = [found["bp_rp_0"]]
    assert found["bp_rp"] == pytest.approx(found["bp_rp_0"] + 0.2 * (per_ebv(BP, x, [0.2]) - per_ebv(RP, x, [0.2]))[0])
    assert found["g_mag"] - found["g_mag_0"] == pytest.approx(0.2 * per_ebv("GAIA/GAIA3.G", x, [0.2])[0])


def test_errors_hold_that_of_the_dust() -> None:
    found = features()
    assert found["g_r_0_err"] == pytest.approx(np.hypot(0.01 * np.sqrt(2), (3.303 - 2.285) * 0.16 * 0.2))
    assert found["g_r_err"] == pytest.approx(0.01 * np.sqrt(2))


def test_the_stars_own_reddening_where_there_is_no_map() -> None:
    found = features(ar=None, ebr=0.1134)
    assert (found["ebv"], found["ebv_err"], found["ebv_source"]) == (pytest.approx(0.1), None, "a")
    assert found["g_r_0"] == pytest.approx(0.7 - 0.1018) and found["g_r_0_err"] is None


def test_without_dust_known_nothing_is_dereddened() -> None:
    found = features(ar=None)
    names = ("ebv", "ebv_source", "g_mag_0", "g_mag_0_err", "bp_rp_0", "bp_rp_0_err", "g_r_0", "g_abs_mag_0")
    assert [found[name] for name in names] == [None] * len(names)
    assert found["g_abs_mag_corrected"] is not None


def test_gaias_bands_need_the_colour_and_others_do_not() -> None:
    found = features(bp=None)
    assert found["g_mag_0"] is None and found["bp_rp_0"] is None
    assert found["g_r_0"] is not None


def test_parallaxes_lose_their_zero_point() -> None:
    found = features()
    assert found["parallax_zero_point_source"] == "lindegren2021"
    assert -0.06 < found["parallax_zero_point_mas"] < -0.01
    assert found["parallax_corrected_mas"] == pytest.approx(2.0 - found["parallax_zero_point_mas"])
    plain = features(nu=None)
    assert (plain["parallax_zero_point_mas"], plain["parallax_zero_point_source"]) == (-0.017, "global")
    none = features(plx=None)
    assert (
        none["parallax_zero_point_mas"] is none["parallax_zero_point_source"] is none["parallax_corrected_mas"] is None
    )


def test_absolute_magnitudes_by_the_corrected_parallax_and_the_old_one_stays() -> None:
    found = features(nu=None)
    assert found["g_abs_mag"] == pytest.approx(15.0 + 5 * np.log10(0.02))
    assert found["g_abs_mag_corrected"] == pytest.approx(15.0 + 5 * np.log10(0.02017))
    extinction = found["g_mag"] - found["g_mag_0"]
    assert found["g_abs_mag_0"] == pytest.approx(found["g_abs_mag_corrected"] - extinction)
    spread = 5 / np.log(10) * 0.02 / 2.017
    assert found["g_abs_mag_corrected_err"] == pytest.approx(np.hypot(0.01, spread))
    assert found["g_abs_mag_0_err"] == pytest.approx(np.hypot(found["g_mag_0_err"], spread))
    for unsure in (features(plx=0.03, nu=None), features(plx=-2.0)):
        assert unsure["g_abs_mag_corrected"] is unsure["g_abs_mag_0"] is unsure["g_abs_mag_corrected_err"] is None


def test_saturation_is_by_the_bands_limits() -> None:
    assert features()["is_saturated"] is False
    assert features(g=7.9)["is_saturated"] is True
    assert features(sr=13.9)["is_saturated"] is True


def test_the_reddening_of_gspphot_is_put_on_the_maps_scale_by_the_same_law() -> None:
    ebv = next(value for value in load_sed().values if value.name == "ebv")
    factor = float(next(o.value for o in ebv.sources if o.survey == "gaia").split("/")[1])
    assert factor == pytest.approx((per_ebv(BP, [0.8], [0.1]) - per_ebv(RP, [0.8], [0.1]))[0], rel=0.01)


def test_all_colours_of_the_configuration_have_a_dereddened_twin() -> None:
    config = load_sed()
    assert {f"{name}_0" for name in config.colours} <= set(schema(config).names)


def test_a_change_of_the_bands_changes_the_step() -> None:
    params = sed_step(load_profile("tiny")).params
    assert params["bands"]["bands"] and params["bands"]["gaia_law"]["a0_per_ebv"]
