"""Extinction: the law's coefficients, the reddening taken off again, errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.photometry.bands import load_bands
from stellar.photometry.extinction import BP, RP, dereddened, gaia_coefficient, intrinsic_colour, per_ebv

G = "GAIA/GAIA3.G"


def test_coefficients_are_near_those_of_the_earlier_release() -> None:
    """Gaia Collaboration, Babusiaux et al. (2018), A&A 616, A10, eq. 1 and table 1: other passbands, an older law."""
    earlier = {
        G: (0.9761, -0.1704, 0.0086, 0.0011, -0.0438, 0.0013, 0.0099),
        BP: (1.1517, -0.0871, -0.0333, 0.0173, -0.0230, 0.0006, 0.0043),
        RP: (0.6104, -0.0170, -0.0026, -0.0017, -0.0078, 0.00005, 0.0006),
    }
    x, a = np.meshgrid([0.0, 0.8, 1.6], [0.1, 1.0, 2.0])
    for name, c in earlier.items():
        theirs = c[0] + c[1] * x + c[2] * x**2 + c[3] * x**3 + c[4] * a + c[5] * a**2 + c[6] * x * a
        assert np.allclose(gaia_coefficient(name, x, a), theirs, rtol=0.12), name


def test_mean_coefficients_of_a_sunlike_star() -> None:
    """Casagrande & VandenBerg (2018), MNRAS 479, L102, of true E(B-V), which is 0.86 of the map's."""
    for name, mean in ((G, 2.740), (BP, 3.374), (RP, 2.035)):
        assert per_ebv(name, [0.8], [0.1])[0] == pytest.approx(0.86 * mean, rel=0.05)


def test_outside_its_range_the_law_is_taken_at_its_ends() -> None:
    assert gaia_coefficient(G, 9.0, 0.5) == gaia_coefficient(G, 2.5, 0.5)
    assert gaia_coefficient(G, 0.5, -1.0) == gaia_coefficient(G, 0.5, 0.01)


def test_fixed_bands_need_no_colour_and_gaias_do() -> None:
    assert per_ebv("SLOAN/SDSS.r", [np.nan, 1.0], [0.1, 2.0]).tolist() == [2.285, 2.285]
    assert np.isnan(per_ebv(G, [np.nan], [0.1])).all()


@given(st.floats(-0.5, 4.0), st.floats(0.0, 2.0))
def test_the_intrinsic_colour_reddens_to_the_observed_one(colour: float, ebv: float) -> None:
    observed = colour + ebv * (per_ebv(BP, [colour], [ebv]) - per_ebv(RP, [colour], [ebv]))
    assert intrinsic_colour(observed, [ebv])[0] == pytest.approx(colour, abs=2e-3)


def test_no_colour_behind_a_wall_or_of_an_unknown_one() -> None:
    assert np.isnan(intrinsic_colour([2.0, np.nan], [40.0, 0.1])[1])
    found = intrinsic_colour([3.0], [40.0])
    assert np.isnan(found[0]) or found[0] < 0


def test_errors_of_magnitude_and_dust_add_in_quadrature() -> None:
    value, error = dereddened([15.0, 15.0], [0.03, np.nan], [2.0, 2.0], [0.1, 0.1], [0.02, 0.02])
    assert value.tolist() == [14.8, 14.8]
    assert error[0] == pytest.approx(0.05) and np.isnan(error[1])


def test_the_scale_of_a0_is_that_of_the_recalibrated_map() -> None:
    # Schlafly & Finkbeiner (2011): 14% less than the map of Schlegel et al. (1998); R(V) = 3.1
    assert load_bands().gaia_law.a0_per_ebv == pytest.approx(3.1 * 0.86, rel=0.01)
