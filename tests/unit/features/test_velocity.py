import numpy as np
import pyarrow as pa
import pytest

from stellar.features.velocity import LIGHT_KM_S, VELOCITY_GRID, velocities, velocity_templates

LOGLAM = np.arange(3.56, 3.97, 1e-4)
HOT = [(3971.2, 5, 0.5), (4102.9, 6, 0.5), (4341.7, 6, 0.6), (4862.7, 6, 0.6), (6564.6, 6, 0.5)]
COOL = [(3934.8, 6, 0.7), (4227.9, 2, 0.4), (4306, 8, 0.4), (5176, 8, 0.4), (5270.9, 3, 0.3), (5895, 4, 0.4)]
COOL += [(4384, 2, 0.3), (4405.9, 2, 0.3), (5329, 2, 0.3), (6496, 3, 0.2), (8500.4, 4, 0.3), (8544.4, 4, 0.4)]


def star(lines, velocity=0.0, slope=-1.0, loglam=LOGLAM):
    rest = 10**loglam / (1 + velocity / LIGHT_KM_S)
    flux = (rest / 6000) ** slope
    for centre, width, depth in lines:
        flux = flux * (1 - depth * np.exp(-0.5 * ((rest - centre) / width) ** 2))
    return flux


def library(**more):
    rows = {"A1": HOT, "G5": COOL, "CV": HOT, "F0": HOT} | more
    flux = [star(lines) for lines in rows.values()]
    return pa.table(
        {
            "template_name": [f"{name} (1)" for name in rows],
            "spectral_type": [None if name == "CV" else name for name in rows],
            "is_peculiar": [name == "F0" for name in rows],
            "luminosity": ["V"] * len(rows),
            "loglam": pa.array([LOGLAM] * len(rows), pa.list_(pa.float64())),
            "flux": pa.array(flux, pa.list_(pa.float64())),
        }
    )


TEMPLATES = velocity_templates({"sdss_eigen": library()})


def observed(lines, shifts, sn, seed=0, slope=0.5):
    rng = np.random.default_rng(seed)
    flux = np.array([star(lines, v, slope, VELOCITY_GRID.centres_dex) for v in shifts])
    noise = np.abs(flux) / sn
    return flux + noise * rng.normal(size=flux.shape), noise**-2.0


def test_templates_are_normal_stars_of_a_known_type():
    assert TEMPLATES.names == ("A1 (1)", "G5 (1)")
    assert velocity_templates({}) is None
    assert velocity_templates({"other": library()}) is None
    many = library(**{f"K{k}": COOL for k in range(10)})
    assert len(velocity_templates({"sdss_eigen": many}, {"most_templates": 5}).names) == 5


@pytest.mark.parametrize(("lines", "name"), [(HOT, "A1 (1)"), (COOL, "G5 (1)")])
def test_velocities_and_their_errors(lines, name):
    shifts = np.linspace(-450, 450, 40)
    found = velocities(*observed(lines, shifts, 20), TEMPLATES)
    error = found["rv_km_s"] - shifts
    assert set(found["rv_template"]) == {name}
    assert np.abs(error).max() < 30
    assert np.abs(error.mean()) < 4
    # the error is that of noise and of a template that differs; with a perfect one it is too large, never too small
    assert (np.abs(error) < 3 * found["rv_err_km_s"]).all()
    assert (found["rv_r"] > 5).all()


def test_less_signal_larger_errors():
    error = [np.median(velocities(*observed(COOL, np.zeros(10), sn), TEMPLATES)["rv_err_km_s"]) for sn in (30, 5, 2)]
    assert error[0] < error[1] < error[2]


def test_noise_has_no_velocity():
    flux, ivar = observed([], np.zeros(12), 10)
    found = velocities(flux, ivar, TEMPLATES)
    assert np.isnan(found["rv_km_s"]).mean() > 0.7
    ivar[:] = 0
    found = velocities(flux, ivar, TEMPLATES)
    assert np.isnan(found["rv_r"]).all()
    assert found["rv_template"] == [None] * 12


def test_the_sky_has_no_say():
    flux, ivar = observed(COOL, np.array([120.0]), 40)
    wave = VELOCITY_GRID.wavelength_angstrom
    flux[0, (wave > 7590) & (wave < 7700)] *= 0.2
    flux[0, np.abs(wave - 5578.9) < 4] *= 6
    assert velocities(flux, ivar, TEMPLATES)["rv_km_s"][0] == pytest.approx(120, abs=10)


def test_gaps_are_no_lines():
    flux, ivar = observed(COOL, np.array([-80.0]), 40)
    flux[0, 1000:1400] = np.nan
    ivar[0, 1000:1400] = 0
    assert velocities(flux, ivar, TEMPLATES)["rv_km_s"][0] == pytest.approx(-80, abs=12)
