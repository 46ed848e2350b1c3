import numpy as np
import pytest
from astropy.timeseries import LombScargleMultiband

from stellar.errors import InputError
from stellar.features.multiband import Band, multiband_peak


def bands(period, seed=0, points=25):
    rng = np.random.default_rng(seed)
    made = []
    for number, (level, height) in enumerate([(17.0, 0.5), (16.5, 0.4), (16.3, 0.3)]):
        time = np.sort(rng.choice(1500, points, replace=False) + rng.uniform(0, 0.3, points))
        shape = np.interp(np.mod(time / period + 0.02 * number, 1), [0, 0.2, 1], [0.5, -0.5, 0.5])
        made.append(Band(time, level + height * shape + 0.03 * rng.normal(size=points), np.full(points, 0.03)))
    return made


@pytest.mark.parametrize("period", [0.3217, 0.5613, 0.7429])
def test_bands_together_find_what_each_cannot(period):
    peak = multiband_peak(bands(period), fmax=5.0)
    assert 1 / peak.frequency == pytest.approx(period, rel=1e-3)
    assert peak.bands == 3
    assert peak.log10_fap < -5


def test_power_is_astropys_multiband_model():
    made = bands(0.5613)
    peak = multiband_peak(made, fmax=5.0)
    time, value, error = (np.concatenate([getattr(band, name) for band in made]) for name in ("time", "value", "error"))
    names = np.repeat(["g", "r", "i"], 25)
    reference = LombScargleMultiband(time, value, names, error, nterms_base=0, nterms_band=1)
    assert peak.power == pytest.approx(float(reference.power(peak.frequency, method="flexible")), abs=0.01)


def test_noise_is_no_period():
    rng = np.random.default_rng(5)
    noise = [Band(band.time, rng.normal(size=25), np.ones(25)) for band in bands(0.5)]
    assert multiband_peak(noise, fmax=5.0).log10_fap > -2.5


def test_too_little_is_refused():
    few = Band(np.arange(3.0), np.zeros(3), np.ones(3))
    with pytest.raises(InputError, match="they have 3, 3"):
        multiband_peak([few, few], fmax=5.0)
    still = Band(np.zeros(9), np.arange(9.0), np.ones(9))
    with pytest.raises(InputError, match="one time"):
        multiband_peak([still], fmax=5.0)
