"""Magnitudes to fluxes: round trips, astropy's own conversions, propagated errors."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.photometry.bands import Band, band, load_bands
from stellar.photometry.flux import ab_minus_vega, flux_jy, magnitude, per_angstrom

BANDS = load_bands().bands
SOFT = [one for one in BANDS if one.asinh_softening]


@given(st.sampled_from(BANDS), st.floats(-5, 30))
def test_round_trip(one: Band, mag: float) -> None:
    flux, _ = flux_jy([mag], [0.1], one)
    assert magnitude(flux, one)[0] == pytest.approx(mag, abs=1e-9)


@given(st.sampled_from(SOFT), st.floats(0, 28))
def test_round_trip_of_inverse_hyperbolic_sines(one: Band, mag: float) -> None:
    flux, _ = flux_jy([mag], [0.1], one, asinh=True)
    assert magnitude(flux, one, asinh=True)[0] == pytest.approx(mag, abs=1e-6)


@pytest.mark.parametrize("mag", [0.0, 12.3, 21.7])
def test_ab_fluxes_are_astropys(mag: float) -> None:
    r = band("SLOAN/SDSS.r")
    jy = (mag * u.ABmag).to_value(u.Jy)
    flux, _ = flux_jy([mag], [0.0], r)
    # 3631 Jy is rounded: exactly it is 3630.78
    assert flux[0] == pytest.approx(jy, rel=1e-4)
    there = (flux[0] * u.Jy).to_value(u.erg / u.s / u.cm**2 / u.AA, u.spectral_density(r.pivot_angstrom * u.AA))
    assert per_angstrom(flux, r)[0] == pytest.approx(there, rel=1e-9)


def test_published_zero_points_per_wavelength() -> None:
    """Cohen et al. (2003): J of magnitude 0 is 3.129e-13 W/cm2/um at its isophotal, not its pivot, wavelength."""
    assert per_angstrom(1594.0, band("2MASS/2MASS.J")) == pytest.approx(3.129e-10, rel=0.01)
    # the SVO's zero points of Gaia, per Angstrom
    for name, given_ in (("G", 2.50e-9), ("Gbp", 4.08e-9), ("Grp", 1.27e-9)):
        one = band(f"GAIA/GAIA3.{name}")
        assert per_angstrom(one.vega_jy, one) == pytest.approx(given_, rel=0.005)


def test_errors_are_of_magnitude_and_zero_point() -> None:
    one = band("2MASS/2MASS.H")
    flux, error = flux_jy([10.0, 10.0, 10.0], [0.1, 0.0, np.nan], one)
    relative = error / flux * 2.5 / np.log(10)
    assert relative[0] == pytest.approx(np.hypot(0.1, 0.0212))
    assert relative[1] == pytest.approx(0.0212)
    assert np.isnan(error[2]) and np.isfinite(flux[2])


def test_inverse_hyperbolic_sines_are_magnitudes_of_bright_stars_and_zero_flux_is_where_sdss_says() -> None:
    for name, zero in {"u": 24.63, "g": 25.11, "r": 24.80, "i": 24.36, "z": 22.83}.items():
        one = band(f"SLOAN/SDSS.{name}")
        soft, soft_error = flux_jy([15.0, zero], [0.02, 0.02], one, asinh=True)
        plain, plain_error = flux_jy([15.0, zero], [0.02, 0.02], one)
        assert soft[0] == pytest.approx(plain[0], rel=1e-5) and soft_error[0] == pytest.approx(plain_error[0], rel=1e-5)
        assert abs(soft[1]) < 0.01 * plain[1]


def test_a_band_without_a_softening_has_no_such_magnitudes() -> None:
    for call in (lambda one: flux_jy([20.0], [0.1], one, asinh=True), lambda one: magnitude([1.0], one, asinh=True)):
        with pytest.raises(ValueError, match="no asinh_softening"):
            call(band("GAIA/GAIA3.G"))


def test_no_magnitude_of_no_flux() -> None:
    assert np.isnan(magnitude([0.0, -1.0, np.nan], band("GAIA/GAIA3.G"))).all()


def test_vega_in_ab() -> None:
    # Blanton & Roweis (2007), AJ 133, 734, table 1: 2MASS J 0.91, H 1.39, Ks 1.85
    for name, offset in (("J", 0.91), ("H", 1.39), ("Ks", 1.85)):
        assert ab_minus_vega(band(f"2MASS/2MASS.{name}")) == pytest.approx(offset, abs=0.03)
