"""The HDU writer: astropy accepts every checksum."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.archive.fits import cards_text, image_bytes, primary_bytes, table_bytes


@settings(deadline=None, max_examples=60)
@given(
    st.binary(max_size=6000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
)
def test_checksums_hold(raw: bytes, number: float, text: str) -> None:
    table = np.zeros(len(raw) // 6, dtype=[("A", ">i4"), ("B", ">i2")])
    table["A"] = np.frombuffer(raw[: 4 * len(table)], dtype=">i4") if len(table) else 0
    cards = [("NUMBER", number, "a number"), ("TEXT", text, "")]
    whole = primary_bytes(cards) + table_bytes(table, "T", cards) + image_bytes(np.full((3, 5), len(raw)), "I", cards)
    assert len(whole) % 2880 == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(io.BytesIO(whole), checksum=True) as hdus:
            hdus.verify("exception")
            assert (hdus[1].data["A"] == table["A"]).all()
            assert hdus[2].data.shape == (3, 5)
            for hdu in hdus:
                assert hdu.header["NUMBER"] == pytest.approx(number, rel=1e-10)
                assert hdu.header["TEXT"].rstrip() == text.rstrip()


def test_nan_is_an_undefined_card_and_long_values_are_refused() -> None:
    header = fits.Header.fromstring(cards_text([("TEFF", float("nan"), "[K]")]))
    assert "TEFF" in header and header["TEFF"] is None
    with pytest.raises(ValueError, match="80 characters"):
        cards_text([("LONG", "x" * 100, "")])
