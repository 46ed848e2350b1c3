"""Labels: types follow the stars but for a few, and identifiers are well formed."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from stellar.archive.simbad import VARIABLE_TYPES, sexagesimal


@given(st.floats(0.0, 359.9999), st.floats(-89.0, 89.0))
def test_names_give_the_position_back(ra: float, dec: float) -> None:
    (name,) = sexagesimal(np.array([ra]), np.array([dec]))
    assert len(name) == 19
    text = f"{name[1:3]}h{name[3:5]}m{name[5:10]}s {name[10:13]}d{name[13:15]}m{name[15:]}s"
    assert SkyCoord(text).separation(SkyCoord(ra * u.deg, dec * u.deg)).arcsec < 0.2


def test_variable_types_are_right_but_for_a_few(table) -> None:
    truth, variability = table("truth"), table("simbad_vartype")
    true_class = dict(zip(truth["simbad_oid"], truth["var_class"], strict=True))
    right = []
    for oid, vartyp in zip(variability["oidref"], variability["vartyp"], strict=True):
        expected = VARIABLE_TYPES[true_class[oid]][2]
        right.append(vartyp == expected or (expected == "ROT" and vartyp == "BY"))
    assert np.mean(right) > 0.9
    assert {"EA", "EB", "EW", "RRAB", "RRC", "DSCT", "UV"} <= set(variability["vartyp"])


def test_main_id_is_an_identifier(table) -> None:
    basic, ident = table("simbad_basic"), table("simbad_ident")
    pairs = set(zip(ident["oidref"], ident["id"], strict=True))
    assert all(pair in pairs for pair in zip(basic["oid"], basic["main_id"], strict=True))
    assert len(set(basic["main_id"])) == len(basic["main_id"])


def test_spectral_types_agree_with_temperature(table) -> None:
    truth, basic = table("truth"), table("simbad_basic")
    letter = dict(zip(truth["simbad_oid"], truth["letter"], strict=True))
    kind = dict(zip(truth["simbad_oid"], truth["kind"], strict=True))
    same = [
        s[0] == letter[o][0]
        for o, s in zip(basic["oid"], basic["sp_type"], strict=True)
        if s and kind[o] in ("MS", "GIANT") and not s.startswith("sd")
    ]
    assert 0.75 < np.mean(same) < 1.0
    assert any(s.startswith("DA") for s in basic["sp_type"]) and any(s.startswith("C-") for s in basic["sp_type"])
