"""The band table: each number has a source, and the numbers agree with each other."""

import numpy as np
import pytest
from pydantic import ValidationError

from stellar.errors import InputError
from stellar.photometry.bands import AB_ZERO_JY, Band, BandTable, band, load_bands

BANDS = load_bands().bands
WANTED = {
    *(f"GAIA/GAIA3.{name}" for name in ("G", "Gbp", "Grp")),
    *(f"PAN-STARRS/PS1.{name}" for name in "grizy"),
    *(f"SLOAN/SDSS.{name}" for name in "ugriz"),
    *(f"2MASS/2MASS.{name}" for name in ("J", "H", "Ks")),
    "WISE/WISE.W1",
    "WISE/WISE.W2",
}


def test_all_bands_of_the_surveys_are_there() -> None:
    assert {one.id for one in BANDS} >= WANTED


@pytest.mark.parametrize("one", BANDS, ids=lambda one: one.id)
def test_zero_points_of_both_systems_agree(one: Band) -> None:
    """A survey's own zero point and the SVO's of its system differ by a few percent, not by a wrong band."""
    other = one.vega_jy if one.system == "Vega" else AB_ZERO_JY
    assert one.zero_jy == pytest.approx(other, rel=0.04)
    assert abs(one.pivot_angstrom / one.effective_angstrom - 1) < 0.07
    assert one.zero_point_error_mag < 0.03


def test_ab_magnitude_zero_is_3631_jy() -> None:
    for name in ("SLOAN/SDSS.g", "SLOAN/SDSS.r", "SLOAN/SDSS.i", "PAN-STARRS/PS1.g", "PAN-STARRS/PS1.y"):
        assert band(name).zero_jy == 3631.0
    # u(AB) = u - 0.04, z(AB) = z + 0.02
    assert band("SLOAN/SDSS.u").zero_jy == pytest.approx(3631.0 * 10**0.016)
    assert band("SLOAN/SDSS.z").zero_jy == pytest.approx(3631.0 * 10**-0.008)


def test_gaia_offsets_are_those_of_its_zero_points() -> None:
    zero_points = {"G": (25.6874, 25.8010), "Gbp": (25.3385, 25.3540), "Grp": (24.7479, 25.1040)}
    for name, (vega, ab) in zero_points.items():
        assert band(f"GAIA/GAIA3.{name}").ab_offset_mag == pytest.approx(ab - vega, abs=1.5e-4)


def test_dust_takes_more_of_blue_light() -> None:
    fixed = [one for one in sorted(BANDS, key=lambda one: one.pivot_angstrom) if one.extinction_per_ebv]
    assert np.all(np.diff([one.extinction_per_ebv for one in fixed]) < 0)


def test_an_unknown_band_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no band 'Gaia\.G'.*GAIA/GAIA3\.G"):
        band("Gaia.G")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zero_point_jy": 1.0}, "one of them"),
        ({"ab_offset_mag": None}, "one of them"),
        ({"saturation_source": None}, "belong together"),
        ({"extinction_source": None}, "belong together"),
    ],
)
def test_a_band_that_does_not_hold_together_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Band.model_validate(band("SLOAN/SDSS.u").model_dump() | changes)


def test_a_number_without_a_source_is_refused() -> None:
    table = load_bands().model_dump()
    del table["sources"]["tonry"]
    with pytest.raises(ValidationError, match="`sources` has no tonry"):
        BandTable.model_validate(table)
    table = load_bands().model_dump()
    table["bands"].append(table["bands"][0])
    with pytest.raises(ValidationError, match="given twice"):
        BandTable.model_validate(table)
