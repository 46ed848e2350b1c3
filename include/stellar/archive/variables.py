"""Light curves of variable stars, as relative flux, by the physics of each class.

Shapes are the usual phenomenological ones; periods and amplitudes follow from the star: contact binaries by the
period-colour relation (Eggen 1967; Rucinski 1997), RR Lyrae by the Bailey diagram, delta Scuti by the mean density,
granulation by nu_max (Kallinger et al. 2014, A&A 570, A41), noise-free. Times in days.
"""

from __future__ import annotations

import numpy as np

from stellar.archive.population import Sky

CADENCE_D = 600.0 / 86400.0


def draw_parameters(sky: Sky, rng: np.random.Generator) -> None:
    """Period [d] and amplitude (fraction of the flux) of every variable star, set in place."""
    n = len(sky["ra"])
    period, amplitude = np.full(n, np.nan), np.full(n, np.nan)
    teff, logg = sky["teff_k"], sky["logg_dex"]

    def members(name: str) -> tuple[np.ndarray, int]:
        rows = np.flatnonzero(sky["var_class"] == name)
        return rows, len(rows)

    rows, k = members("EA")
    period[rows], amplitude[rows] = 10 ** rng.uniform(-0.1, 0.9, k), 10 ** rng.uniform(-2.2, -0.25, k)
    rows, k = members("EB")
    period[rows], amplitude[rows] = 10 ** rng.uniform(-0.3, 0.35, k), 10 ** rng.uniform(-1.5, -0.3, k)
    rows, k = members("EW")
    period[rows] = np.clip(0.33 + 0.12 * (teff[rows] - 5800.0) / 1000.0 + 0.035 * rng.normal(size=k), 0.22, 0.75)
    amplitude[rows] = 10 ** rng.uniform(-1.8, -0.35, k)
    rows, k = members("RRab")
    period[rows] = np.clip(0.57 + 0.07 * rng.normal(size=k), 0.42, 0.85)
    amplitude[rows] = np.clip(0.62 - 1.5 * (period[rows] - 0.57) + 0.08 * rng.normal(size=k), 0.2, 0.95)
    rows, k = members("RRc")
    period[rows] = np.clip(0.32 + 0.035 * rng.normal(size=k), 0.23, 0.42)
    amplitude[rows] = np.clip(0.34 + 0.06 * rng.normal(size=k), 0.15, 0.5)
    rows, k = members("DSCT")
    # P = Q / sqrt(mean density), Q = 0.033 d for the fundamental mode; the strongest is often an overtone.
    density = sky["mass_msun"][rows] / sky["radius_rsun"][rows] ** 3
    period[rows] = 0.033 / np.sqrt(density) * rng.uniform(0.45, 1.0, k)
    amplitude[rows] = 10 ** rng.uniform(-3.5, -1.4, k)
    rows, k = members("ROT")
    period[rows] = 10 ** rng.uniform(-0.3, 1.1, k)
    amplitude[rows] = 0.03 * 10 ** rng.uniform(-1.5, 0.2, k) * np.clip(period[rows], 0.7, None) ** -0.25
    rows, k = members("FLARE")
    period[rows], amplitude[rows] = 10 ** rng.uniform(-0.4, 1.0, k), 10 ** rng.uniform(-2.8, -1.7, k)
    rows, k = members("SOLR")
    nu_max = 3090.0 * 10.0 ** (logg[rows] - 4.438) / np.sqrt(teff[rows] / 5777.0)
    period[rows], amplitude[rows] = 1.0 / (nu_max * 0.0864), 3382e-6 * nu_max**-0.609
    sky["period_d"], sky["amplitude_frac"] = period, amplitude


def relative_flux(name: str, stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Relative flux [n, len(time)] (float32, around 1) of stars of one class.

    Parameters
    ----------
    stars : arrays ra, dec, period_d, amplitude_frac of `n` stars; phase and shape are functions of the star's position,
        so two sectors of one star agree.
    time : days, evenly spaced by the cadence.
    """
    maker = {
        "EA": _detached,
        "EB": _semidetached,
        "EW": _contact,
        "RRab": _rrab,
        "RRc": _rrc,
        "DSCT": _delta_scuti,
        "ROT": _rotation,
        "FLARE": _flaring,
        "SOLR": _granulation,
    }.get(name)
    if maker is None:
        return np.ones((len(stars["ra"]), len(time)), dtype=np.float32)
    return maker(stars, time, rng).astype(np.float32)


def _fixed(stars: Sky, salt: float) -> np.ndarray:
    """A number in [0, 1) per star that does not change between sectors."""
    return np.mod(stars["ra"] * 1e4 * salt + stars["dec"] * 7e3, 1.0)


def _phase(stars: Sky, time: np.ndarray) -> np.ndarray:
    cycles = time[None, :] / stars["period_d"][:, None] + _fixed(stars, 1.618)[:, None]
    return (cycles - np.floor(cycles)).astype(np.float32)


def _dip(phase: np.ndarray, centre: float, half_width: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """An eclipse of depth 1: smooth ingress over `half_width`, flat within the fraction `flat` of it."""
    distance = np.abs(phase - np.float32(centre))
    distance = np.minimum(distance, 1.0 - distance) / half_width[:, None].astype(np.float32)
    x = np.clip((distance - flat[:, None]) / (1.0 - flat[:, None]), 0.0, 1.0).astype(np.float32)
    return np.square(1.0 - x * x)


def _smear(depth: np.ndarray, period: np.ndarray, half_width: np.ndarray) -> np.ndarray:
    """Ten-minute exposures make eclipses of comparable length shallower."""
    length = 2.0 * half_width * period
    return depth * length / (length + 0.5 * CADENCE_D)


def _detached(stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    phase, depth = _phase(stars, time), stars["amplitude_frac"]
    half_width = np.clip(0.045 * stars["period_d"] ** -0.45 * (0.6 + _fixed(stars, 2.2)), 0.012, 0.11)
    ratio = 0.1 + 0.85 * _fixed(stars, 3.3)
    flat = np.where(_fixed(stars, 4.4) < 0.3, 0.4, 0.0)
    secondary = 0.5 + np.where(
        _fixed(stars, 5.5) < 0.25, 0.12 * (_fixed(stars, 6.6) - 0.5), 0.0
    )  # some orbits are eccentric
    shifted = np.mod(phase - secondary[:, None].astype(np.float32) + 0.5, 1.0)
    depth = _smear(depth, stars["period_d"], half_width)
    ellipsoidal = 0.004 * stars["period_d"] ** -1.0
    return (
        1.0
        - depth[:, None] * _dip(phase, 0.0, half_width, flat)
        - (ratio * depth)[:, None] * _dip(shifted, 0.5, half_width, flat)
        - ellipsoidal[:, None] * np.cos(4 * np.pi * phase)
    )


def _semidetached(stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    phase, depth = _phase(stars, time), stars["amplitude_frac"]
    half_width = 0.10 + 0.07 * _fixed(stars, 2.2)
    ratio = 0.25 + 0.65 * _fixed(stars, 3.3)
    bulge = depth * (0.18 + 0.12 * _fixed(stars, 4.4))
    zero = np.zeros(len(depth))
    return (
        1.0
        - (depth * 0.75)[:, None] * _dip(phase, 0.0, half_width, zero)
        - (ratio * depth * 0.75)[:, None] * _dip(phase, 0.5, half_width, zero)
        - bulge[:, None] * np.cos(4 * np.pi * phase)
    )


def _contact(stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    phase, depth = _phase(stars, time), stars["amplitude_frac"]
    uneven = 0.22 * _fixed(stars, 2.2) ** 2
    spots = 0.06 * (_fixed(stars, 3.3) - 0.5)  # O'Connell effect
    wave = 0.5 * (1.0 + np.cos(4 * np.pi * phase))
    return 1.0 - depth[:, None] * (
        0.75 * wave
        + 0.25 * wave**3
        + uneven[:, None] * np.cos(2 * np.pi * phase)
        - spots[:, None] * np.sin(2 * np.pi * phase)
    )


def _magnitudes_to_flux(delta: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """Scale a shape to a full amplitude given as a fraction of the mean flux."""
    delta = delta / (delta.max(axis=1) - delta.min(axis=1))[:, None] * (1.0857 * amplitude)[:, None]
    flux = 10.0 ** (-0.4 * delta)
    return flux / flux.mean(axis=1)[:, None]


def _rrab(stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    phase = _phase(stars, time)
    # Fourier terms of a typical fundamental-mode curve in magnitudes, as sines (Jurcsik & Kovacs 1996): R21, phi21, ...
    shape = np.zeros_like(phase)
    skew = 0.85 + 0.3 * _fixed(stars, 2.2)
    for k, (ratio, shift) in enumerate(
        ((1.0, 0.0), (0.47, 2.4), (0.34, 4.9), (0.22, 1.3), (0.13, 3.9), (0.08, 0.2), (0.05, 2.7)), 1
    ):
        weight = ratio * skew ** (k - 1)
        shape = shape + weight[:, None] * np.sin(2 * np.pi * k * phase + shift)
    flux = _magnitudes_to_flux(shape, stars["amplitude_frac"])
    blazhko = np.where(_fixed(stars, 7.7) < 0.25, 0.25, 0.0)[:, None]
    beat = np.sin(
        2 * np.pi * (time[None, :] / (15.0 + 60.0 * _fixed(stars, 8.8))[:, None] + _fixed(stars, 9.9)[:, None])
    )
    return 1.0 + (flux - 1.0) * (1.0 + blazhko * beat)


def _rrc(stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    phase = _phase(stars, time)
    second = (0.10 + 0.1 * _fixed(stars, 2.2))[:, None]
    shape = (
        np.cos(2 * np.pi * phase) + second * np.cos(4 * np.pi * phase + 4.6) + 0.05 * np.cos(6 * np.pi * phase + 2.8)
    )
    return _magnitudes_to_flux(shape, stars["amplitude_frac"])


def _delta_scuti(stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(stars["ra"])
    flux = np.ones((n, len(time)))
    sinc = lambda frequency: np.sinc(frequency * CADENCE_D)  # noqa: E731 - averaging over the exposure
    for mode in range(7):
        ratio = np.ones(n) if mode == 0 else 0.55 + 1.3 * _fixed(stars, 10.0 + mode)
        frequency = ratio / stars["period_d"]
        strength = (
            stars["amplitude_frac"]
            * (1.0 if mode == 0 else 0.75) ** mode
            * (1.0 if mode == 0 else _fixed(stars, 20.0 + mode))
        )
        phase = 2 * np.pi * (frequency[:, None] * time[None, :] + _fixed(stars, 30.0 + mode)[:, None])
        flux += (0.5 * strength * sinc(frequency))[:, None] * np.sin(phase)
    return flux


def _rotation(stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spots that come and go: three harmonics whose amplitudes change over a few turns; differential rotation."""
    n = len(stars["ra"])
    flux = np.ones((n, len(time)))
    life = np.clip(4.0 * stars["period_d"], 15.0, 60.0)
    for k, weight in ((1, 1.0), (2, 0.55), (1, 0.35)):
        salt = 40.0 + 3 * k + weight
        period = stars["period_d"] / k * (1.0 + 0.04 * (_fixed(stars, salt) - 0.5) * (weight < 0.5))
        envelope = 1.0 + 0.45 * np.sin(2 * np.pi * (time[None, :] / life[:, None] + _fixed(stars, salt + 1.0)[:, None]))
        share = weight * (0.3 + 0.7 * _fixed(stars, salt + 2.0)) if k == 2 else np.full(n, weight)
        wave = np.sin(2 * np.pi * (time[None, :] / period[:, None] + _fixed(stars, salt + 3.0)[:, None]))
        flux += (0.5 * stars["amplitude_frac"] * share)[:, None] * envelope * wave
    return flux


def _flaring(stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flares over the rotation of an M dwarf: Poisson in time, power law in amplitude, fast rise and slow decay.

    Decay as two exponentials (Davenport et al. 2014, ApJ 797, 122).
    """
    n = len(stars["ra"])
    flux = _rotation(stars, time, rng)
    rate = 0.12 + 1.6 * _fixed(stars, 50.0) ** 2  # flares a day above the smallest amplitude
    number = np.maximum(rng.poisson(rate * (time[-1] - time[0])), 2)
    row = np.repeat(np.arange(n), number)
    start = rng.uniform(time[0], time[-1], len(row))
    height = np.minimum(0.006 * (1.0 - rng.random(len(row))) ** (-1.0 / 0.9), 1.5)
    width = (5.0 + 35.0 * rng.random(len(row)) * height**0.3) / 1440.0
    first = np.searchsorted(time, start)
    steps = np.arange(24)
    index = np.minimum(first[:, None] + steps[None, :], len(time) - 1)
    age = np.maximum(time[index] - start[:, None], 0.0) / width[:, None]
    shape = 0.69 * np.exp(-1.6 * age) + 0.31 * np.exp(-0.28 * age)
    np.add.at(
        flux,
        (np.repeat(row, 24), index.ravel()),
        (height[:, None] * shape * (first[:, None] + steps < len(time))).ravel(),
    )
    return flux


def _granulation(stars: Sky, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Granulation and solar-like oscillations: noise with two super-Lorentzians and a Gaussian envelope at nu_max."""
    n, m = len(stars["ra"]), len(time)
    frequency = np.fft.rfftfreq(m, CADENCE_D)[None, :]
    nu_max = (1.0 / stars["period_d"])[:, None]
    power = sum(1.0 / scale / (1.0 + (frequency / (scale * nu_max)) ** 4) / nu_max for scale in (0.32, 0.95))
    envelope = 2.2 / nu_max * np.exp(-0.5 * ((frequency - nu_max) / (0.12 * nu_max)) ** 2)
    comb = 0.4 + 1.2 * np.cos(np.pi * frequency / (0.26 * (nu_max / 0.0864) ** 0.772 * 0.0864)) ** 8  # large separation
    amplitude = np.sqrt(power + envelope * comb)
    amplitude[:, 0] = 0.0
    noise = rng.normal(size=(n, frequency.size)) + 1j * rng.normal(size=(n, frequency.size))
    curve = np.fft.irfft(noise * amplitude, n=m, axis=1)
    return 1.0 + 1.6 * stars["amplitude_frac"][:, None] * curve / curve.std(axis=1)[:, None]
