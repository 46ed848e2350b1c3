import numpy as np
import pytest

from stellar.features.line_indices import LINES, RATIOS
from stellar.features.wavelengths import spoilt_by_sky
from stellar.photometry.refraction import air_to_vacuum


@pytest.mark.parametrize(
    ("name", "air"),
    [("fe_5270", (5245.65, 5285.65)), ("g_band", (4281.375, 4316.375)), ("ca_8498", (8484.0, 8513.0))],
)
def test_windows_of_lines_published_in_air_are_in_vacuum(name, air):
    line = next(line for line in LINES if line.name == name)
    assert np.array(line.line) == pytest.approx(air_to_vacuum(np.array(air)), abs=0.06)


def test_windows_of_bands_published_in_air_are_in_vacuum():
    published = {"tio5": (7126, 7135), "cah2": (6814, 6846), "cah3": (6960, 6990), "tio1": (6718, 6723)}
    for ratio in RATIOS:
        if ratio.name in published:
            assert np.array(ratio.band) == pytest.approx(air_to_vacuum(np.array(published[ratio.name])), abs=0.09)


def test_the_sky():
    wave = np.array([5000.0, 5577.0, 5578.9, 5590.0, 6300.0, 6900.0, 7000.0, 7600.0, 8200.0, 8500.0])
    assert spoilt_by_sky(wave).tolist() == [False, True, True, False, True, True, False, True, True, False]
    assert spoilt_by_sky(wave.reshape(2, 5)).shape == (2, 5)
