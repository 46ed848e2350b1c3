import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.photometry.refraction import air_to_vacuum, vacuum_to_air


def test_lines_whose_wavelengths_are_published_in_both():
    # H beta, [O III] twice, H alpha: https://www.sdss3.org/dr8/spectro/spectra.php and NIST
    air = np.array([4861.363, 4958.911, 5006.843, 6562.801])
    vacuum = np.array([4862.721, 4960.295, 5008.239, 6564.614])
    assert air_to_vacuum(air) == pytest.approx(vacuum, abs=0.003)
    assert vacuum_to_air(vacuum) == pytest.approx(air, abs=0.003)


@given(st.floats(2000.6, 30000))
def test_there_and_back(wave):
    assert float(vacuum_to_air(air_to_vacuum(wave))) == pytest.approx(wave, abs=1e-8)
    assert air_to_vacuum(wave) > wave


def test_below_2000_angstrom_there_is_no_air():
    with pytest.raises(InputError, match="1500 Angstrom"):
        vacuum_to_air(np.array([1500.0, 5000.0]))
    assert air_to_vacuum(np.array([])).shape == (0,)
