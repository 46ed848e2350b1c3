"""Noise-free optical spectra of stars by class and parameters, on the SDSS log-lambda grid.

Not model atmospheres: a Planck curve with the absorption features that carry the classification (the strengths and
where they peak after Gray & Corbally 2009, Stellar Spectral Classification), each with an optical depth that is a
smooth function of Teff, log g and [Fe/H]. Wavelengths are vacuum, in Angstrom (vanden Berk et al. 2001 and NIST).
"""

from __future__ import annotations

import numpy as np

from stellar.archive.population import Sky

LOGLAM_START, LOGLAM_STEP, N_PIXELS = 3.5798, 1e-4, 3840
LOGLAM = LOGLAM_START + LOGLAM_STEP * np.arange(N_PIXELS)
WAVELENGTH = 10.0**LOGLAM

BALMER = (6564.61, 4862.68, 4341.68, 4102.89, 3971.19, 3890.15, 3836.47)
PASCHEN = (9017.4, 8865.2, 8752.9, 8667.4, 8600.8, 8547.7, 8504.8)
HELIUM_1 = ((4027.3, 0.8), (4472.7, 1.0), (4923.3, 0.5), (5017.1, 0.5), (5877.2, 1.0), (6680.0, 0.8), (7067.2, 0.6))
HELIUM_2 = ((4201.0, 0.5), (4542.9, 0.8), (4687.0, 1.0), (5413.0, 0.9))
# Iron-peak and other metal lines that matter at this resolution, with their relative depths.
METALS = (
    (4046.9, 0.5),
    (4064.7, 0.35),
    (4072.9, 0.35),
    (4144.6, 0.4),
    (4261.7, 0.35),
    (4272.9, 0.4),
    (4326.9, 0.4),
    (4384.8, 0.6),
    (4405.9, 0.5),
    (4455.0, 0.4),
    (4532.0, 0.3),
    (4669.0, 0.3),
    (4921.8, 0.25),
    (4958.9, 0.3),
    (5042.0, 0.25),
    (5206.5, 0.45),
    (5271.0, 0.55),
    (5329.5, 0.45),
    (5372.9, 0.3),
    (5407.2, 0.35),
    (5448.5, 0.3),
    (5530.0, 0.2),
    (5588.3, 0.25),
    (5711.0, 0.2),
    (5783.0, 0.15),
    (6123.9, 0.25),
    (6138.3, 0.25),
    (6163.9, 0.25),
    (6192.0, 0.15),
    (6337.0, 0.15),
    (6394.9, 0.2),
    (6440.8, 0.2),
    (6496.7, 0.3),
    (6719.5, 0.12),
)
# TiO band heads (degrading to the red): head, depth scale, length of the tail.
TITANIUM_OXIDE = (
    (4762.0, 0.55, 90.0),
    (4955.0, 0.75, 110.0),
    (5168.0, 0.85, 110.0),
    (5449.0, 0.75, 110.0),
    (5760.0, 0.45, 70.0),
    (5848.0, 0.50, 70.0),
    (6160.0, 0.75, 130.0),
    (6652.0, 0.60, 110.0),
    (7055.0, 1.00, 150.0),
    (7126.0, 0.5, 90.0),
    (7590.0, 0.55, 100.0),
    (7668.0, 0.5, 100.0),
    (8208.0, 0.3, 90.0),
    (8434.0, 0.6, 70.0),
    (8860.0, 0.6, 90.0),
)
# C2 Swan and CN heads (degrading to the blue).
CARBON_BANDS = (
    (4216.0, 0.7, 60.0),
    (4383.0, 0.5, 60.0),
    (4738.5, 1.3, 130.0),
    (5166.5, 1.8, 170.0),
    (5637.0, 1.3, 170.0),
    (6122.0, 0.5, 110.0),
    (6192.0, 0.4, 70.0),
    (7900.0, 0.5, 150.0),
    (8100.0, 0.4, 120.0),
    (9180.0, 0.5, 160.0),
)
# A(lambda)/A_V for R_V = 3.1 (Fitzpatrick 1999, PASP 111, 63).
EXTINCTION_CURVE = np.array(
    [
        [3700, 1.56],
        [4000, 1.43],
        [4400, 1.31],
        [5000, 1.13],
        [5500, 1.0],
        [6000, 0.89],
        [6500, 0.80],
        [7000, 0.72],
        [8000, 0.59],
        [9300, 0.46],
    ]
)


def extinction_curve(wavelength: np.ndarray) -> np.ndarray:
    """A(lambda)/A_V."""
    return np.interp(wavelength, EXTINCTION_CURVE[:, 0], EXTINCTION_CURVE[:, 1])


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -50, 50)))


def _bump(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - centre) / width) ** 2)


class _Depths:
    """Optical depth of a batch of stars, built feature by feature in the frame of the observer."""

    def __init__(self, redshift: np.ndarray) -> None:
        self.shift = 1.0 + redshift
        self.depth = np.zeros((len(redshift), N_PIXELS), dtype=np.float32)

    def _window(self, low: float, high: float) -> slice:
        first = np.searchsorted(WAVELENGTH, low - 12.0)
        last = np.searchsorted(WAVELENGTH, high + 12.0)
        return slice(first, last)

    def line(self, wavelength: float, strength: np.ndarray, width: np.ndarray | float, power: float = 2.0) -> None:
        """A line of central optical depth `strength` and half width `width` (A); small `power` gives wide wings."""
        width = np.broadcast_to(np.asarray(width, dtype=np.float32), strength.shape)
        reach = float(width.max()) * (9.0 if power >= 2.0 else 14.0)
        columns = self._window(wavelength - reach, wavelength + reach)
        if columns.stop <= columns.start:
            return
        offset = (WAVELENGTH[columns][None, :] - wavelength * self.shift[:, None]).astype(np.float32) / width[:, None]
        self.depth[:, columns] += strength[:, None].astype(np.float32) / (1.0 + offset * offset) ** np.float32(power)

    def band(self, head: float, strength: np.ndarray, tail: float, *, to_red: bool) -> None:
        """A molecular band: a sharp head and an exponential tail."""
        low, high = (head - 10.0, head + 6.0 * tail) if to_red else (head - 6.0 * tail, head + 10.0)
        columns = self._window(low, high)
        if columns.stop <= columns.start:
            return
        x = (WAVELENGTH[columns][None, :] - head * self.shift[:, None]).astype(np.float32)
        x = x if to_red else -x
        shape = np.where(
            x > 0, np.exp(-np.clip(x, 0, None) / np.float32(tail)), np.exp(-np.square(x / np.float32(2.5)))
        )
        self.depth[:, columns] += strength[:, None].astype(np.float32) * shape


def stellar_spectrum(stars: Sky) -> np.ndarray:
    """Relative f_lambda [n, 3840] (float32) of stars, with Doppler shift, without extinction.

    Parameters
    ----------
    stars : arrays teff_k, logg_dex, feh_dex, redshift, kind, a_v_mag, activity (0 to 1).
    """
    teff, logg, kind = stars["teff_k"], stars["logg_dex"], stars["kind"]
    white, carbon = kind == "WD", kind == "CARBON"
    metal = 10.0 ** (0.42 * np.clip(stars["feh_dex"], -3.0, 0.5)) * ~white
    low_gravity = np.clip(4.5 - logg, 0.0, 4.0)
    depth = _Depths(stars["redshift"])
    _hydrogen(depth, teff, logg, white)
    _helium(depth, teff, logg, white)
    _metals(depth, teff, metal, low_gravity)
    _molecules(depth, teff, stars["feh_dex"], low_gravity, white | carbon)
    strength = carbon * (0.75 + 0.35 * np.sin(teff / 90.0))  # a spread of carbon abundance
    for head, scale, tail in CARBON_BANDS:
        depth.band(head, scale * strength, tail, to_red=False)
    flux = _continuum(teff, metal, carbon) * np.exp(-depth.depth)
    return _emission(flux, teff, stars["activity"] * ~white, 1.0 + stars["redshift"])


def _continuum(teff: np.ndarray, metal: np.ndarray, carbon: np.ndarray) -> np.ndarray:
    x = 1.438777e8 / (WAVELENGTH[None, :] * teff[:, None])
    flux = (WAVELENGTH[None, :] / 5500.0) ** -5 / np.expm1(x) * np.expm1(1.438777e8 / (5500.0 * teff[:, None]))
    flux = flux.astype(np.float32)
    # Crowded lines take blue light from cool stars; more so with metals.
    blanketing = (0.32 * metal * _logistic((6600.0 - teff) / 500.0) + 0.5 * carbon)[:, None]
    blue = np.clip((4700.0 - WAVELENGTH) / 800.0, 0.0, 1.2)[None, :].astype(np.float32)
    return flux * np.exp(-blanketing.astype(np.float32) * blue)


def _hydrogen(depth: _Depths, teff: np.ndarray, logg: np.ndarray, white: np.ndarray) -> None:
    log = np.log10(teff)
    peak = np.where(log < 3.965, _bump(log, 3.965, 0.095), _bump(log, 3.965, 0.24))
    cool = 0.42 * _bump(log, 3.76, 0.075)
    strength = np.maximum(1.35 * peak, cool) * (log > 3.57)
    # Stark wings: dwarfs of type A have lines of 20 A, giants half of that, white dwarfs three times as much.
    width = 2.2 + 9.0 * peak**1.5 * 10.0 ** (0.28 * np.clip(logg - 4.0, -2.0, 1.0))
    strength = np.where(white, 1.15 * _bump(log, 4.1, 0.2), strength)
    width = np.where(white, 16.0 + 16.0 * _bump(log, 4.1, 0.12), width)
    for k, wavelength in enumerate(BALMER):
        depth.line(
            wavelength,
            strength * (0.8, 1.0, 1.0, 1.0, 0.95, 0.85, 0.75)[k],
            width * (0.8, 1.0, 1.0, 0.95, 0.8, 0.65, 0.5)[k],
            1.5,
        )
    for wavelength in PASCHEN:
        depth.line(wavelength, 0.3 * peak * ~white, 0.8 * width, 1.5)


def _helium(depth: _Depths, teff: np.ndarray, logg: np.ndarray, white: np.ndarray) -> None:
    log = np.log10(teff)
    neutral = 0.42 * np.where(log < 4.34, _bump(log, 4.34, 0.11), _bump(log, 4.34, 0.16)) * ~white
    ionised = 0.45 * _logistic((teff - 32500.0) / 2200.0) * ~white
    width = 2.6 + 1.2 * np.clip(logg - 4.0, 0.0, 1.5)
    for wavelength, scale in HELIUM_1:
        depth.line(wavelength, scale * neutral, width)
    for wavelength, scale in HELIUM_2:
        depth.line(wavelength, scale * ionised, width)
    depth.line(4482.4, 0.28 * np.exp(-0.5 * ((log - 3.98) / 0.12) ** 2) * ~white, 2.2)  # Mg II


def _metals(depth: _Depths, teff: np.ndarray, metal: np.ndarray, low_gravity: np.ndarray) -> None:
    calcium = 2.6 * metal**0.8 * _logistic((7600.0 - teff) / 650.0) + 0.12 * metal * (teff < 12000)
    width = 2.5 + 4.5 * _logistic((5800.0 - teff) / 500.0)
    depth.line(3934.78, calcium, width)
    depth.line(3969.59, 0.9 * calcium, 0.95 * width)
    depth.line(4227.9, 1.1 * metal * _logistic((4900.0 - teff) / 350.0), 4.0)
    iron = 0.85 * metal * _logistic((6500.0 - teff) / 550.0) * _logistic(
        (teff - 3300.0) / 300.0
    ) + 0.12 * metal * _bump(teff, 7300.0, 700.0)
    for wavelength, scale in METALS:
        depth.line(wavelength, scale * iron, 2.4)
    depth.line(4306.0, 0.75 * metal * _bump(teff, 5250.0, 750.0), 9.0, 3.0)  # G band of CH
    depth.line(4313.0, 0.35 * metal * _bump(teff, 5250.0, 750.0), 6.0, 3.0)
    magnesium = metal**0.9 * _logistic((5750.0 - teff) / 480.0) * np.clip(1.0 - 0.22 * low_gravity, 0.3, 1.0)
    for wavelength, scale in ((5168.74, 0.7), (5174.14, 0.9), (5185.05, 1.0)):
        depth.line(wavelength, scale * (0.9 * magnesium + 0.12 * metal * (teff < 7500)), 2.8)
    hydride = 0.35 * metal * _bump(teff, 4500.0, 450.0) * np.clip(1.0 - 0.35 * low_gravity, 0.0, 1.0)
    depth.line(5120.0, hydride, 55.0, 3.0)  # MgH, in K dwarfs
    sodium = metal**0.9 * _logistic((4750.0 - teff) / 420.0) * np.clip(1.0 - 0.25 * low_gravity, 0.25, 1.0)
    for wavelength in (5891.58, 5897.56):
        depth.line(wavelength, 1.5 * sodium + 0.15 * metal * (teff < 6500), 3.0)
    depth.line(8190.0, 0.5 * sodium * (teff < 3900), 6.0)
    triplet = (
        0.75
        * metal**0.5
        * _logistic((7200.0 - teff) / 900.0)
        * (0.75 + 0.14 * low_gravity)
        * _logistic((teff - 2900.0) / 200.0)
    )
    for wavelength, scale in ((8500.36, 0.6), (8544.44, 1.0), (8664.52, 0.85)):
        depth.line(wavelength, scale * triplet, 3.2)


def _molecules(
    depth: _Depths, teff: np.ndarray, feh: np.ndarray, low_gravity: np.ndarray, not_here: np.ndarray
) -> None:
    cool = np.clip((4050.0 - teff) / 900.0, 0.0, 1.4) * ~not_here
    oxide = 1.25 * cool * 10.0 ** (0.3 * np.clip(feh, -1.5, 0.4)) * (1.0 + 0.08 * low_gravity)
    for head, scale, tail in TITANIUM_OXIDE:
        depth.band(head, scale * oxide, tail, to_red=True)
    hydride = 0.75 * cool * 10.0 ** (-0.1 * np.clip(feh, -1.5, 0.4)) * np.clip(1.0 - 0.5 * low_gravity, 0.0, 1.0)
    depth.line(6385.0, 0.7 * hydride, 14.0, 3.0)  # CaH
    for wavelength, scale in ((6840.0, 0.7), (6910.0, 0.8), (6975.0, 0.9)):
        depth.line(wavelength, scale * hydride, 38.0, 3.0)
    vanadium = np.clip((3050.0 - teff) / 400.0, 0.0, 1.2) * ~not_here
    for head in (7334.0, 7851.0):
        depth.band(head, 0.7 * vanadium, 110.0, to_red=True)


def _emission(flux: np.ndarray, teff: np.ndarray, activity: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Balmer emission of active M dwarfs."""
    strength = activity * np.clip((4000.0 - teff) / 700.0, 0.0, 1.5)
    rows = np.flatnonzero(strength > 0.01)
    for wavelength, scale in ((6564.61, 1.0), (4862.68, 0.9), (4341.68, 0.7)):
        line = np.exp(-0.5 * ((WAVELENGTH[None, :] - wavelength * shift[rows, None]) / 2.2) ** 2)
        flux[rows] *= (1.0 + 1.8 * scale * strength[rows, None] * line).astype(np.float32)
    return flux


def quasar_spectrum(redshift: np.ndarray) -> np.ndarray:
    """Relative f_lambda of quasars: a power law and broad emission lines (vanden Berk et al. 2001, AJ 122, 549)."""
    rest = WAVELENGTH[None, :] / (1.0 + redshift[:, None])
    flux = (rest / 3000.0) ** -1.55
    lines = (
        (1215.7, 2.2, 19),
        (1240.1, 0.6, 16),
        (1396.8, 0.3, 16),
        (1549.1, 1.0, 18),
        (1908.7, 0.6, 26),
        (2798.8, 0.8, 30),
        (4341.7, 0.25, 30),
        (4862.7, 0.8, 38),
        (4960.3, 0.3, 6),
        (5008.2, 0.9, 6),
        (6564.6, 2.6, 45),
    )
    for wavelength, scale, width in lines:
        flux = flux * (1.0 + scale * np.exp(-0.5 * ((rest - wavelength) / width) ** 2))
    forest = np.where(rest < 1215.0, 0.65, 1.0)
    return (flux * forest).astype(np.float32)


def galaxy_spectrum(redshift: np.ndarray, star_forming: np.ndarray) -> np.ndarray:
    """Relative f_lambda of galaxies: the light of K giants, with emission lines where stars form."""
    n = len(redshift)
    stars = {
        "teff_k": np.where(star_forming, 5700.0, 4700.0),
        "logg_dex": np.full(n, 3.0),
        "feh_dex": np.full(n, -0.1),
        "redshift": redshift,
        "kind": np.full(n, "GALAXY"),
        "activity": np.zeros(n),
    }
    flux = stellar_spectrum(stars)
    for wavelength, scale in (
        (3728.5, 1.2),
        (4862.7, 0.5),
        (4960.3, 0.3),
        (5008.2, 0.9),
        (6564.6, 1.8),
        (6585.3, 0.6),
        (6718.3, 0.35),
        (6732.7, 0.3),
    ):
        line = np.exp(-0.5 * ((WAVELENGTH[None, :] - wavelength * (1.0 + redshift[:, None])) / 3.0) ** 2)
        flux *= (1.0 + scale * star_forming[:, None] * line).astype(np.float32)
    return flux
