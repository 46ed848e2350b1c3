"""SDSS spectroscopy of the simulated sky: which stars were on which plate, and the spectra with their faults."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stellar.archive.fields import FIELDS, Field
from stellar.archive.population import Sky
from stellar.archive.spectra_model import (
    LOGLAM,
    N_PIXELS,
    WAVELENGTH,
    extinction_curve,
    galaxy_spectrum,
    quasar_spectrum,
    stellar_spectrum,
)
from stellar.archive.stars import spectral_letter


class Plate(NamedTuple):
    """A plate and its survey. `fibres` is the number of its spectrograph; `depth` scales the exposure's S/N."""

    plate: int
    mjd: int
    field: Field
    survey: str
    run2d: str
    programname: str
    fibres: int
    depth: float


PLATES = (
    Plate(2801, 54331, FIELDS[0], "segue1", "103", "segue", 640, 1.0),
    Plate(2822, 54389, FIELDS[0], "segue1", "103", "segue", 640, 1.25),
    Plate(6172, 56269, FIELDS[0], "boss", "v5_13_2", "boss", 1000, 1.4),
    Plate(2551, 54552, FIELDS[1], "segue1", "103", "seglow", 640, 1.0),
    Plate(2557, 54589, FIELDS[1], "segue1", "103", "seglow", 640, 1.1),
)
# Field stars observed at scale 1, by letter, beyond the special targets.
FIELD_TARGETS = {"A": 30, "F": 330, "G": 300, "K": 280, "M": 230, "QSO": 90, "GALAXY": 70}
REPEATED_SHARE = 0.05
# Codes of sdss_mask.npy and the SPPIXMASK bits that they stand for: (in and_mask, in or_mask).
MASK_BITS = {
    1: (0, 1 << 23),
    2: (1 << 23, 1 << 23),
    4: (0, 1 << 25),
    8: (1 << 24, 1 << 24),
    16: (1 << 16, 1 << 16),
    32: (0, 1 << 27),
}
BRIGHTSKY_ONCE, BRIGHTSKY_ALWAYS, COMBINEREJ, NODATA, NEARBADPIXEL, BADSKYCHI = MASK_BITS
SKY_LINES = ((5578.9, 60.0), (5891.6, 6.0), (5897.6, 5.0), (6302.0, 12.0), (6365.5, 5.0))


def sky_template() -> np.ndarray:
    """Night sky of one fibre [1e-17 erg/s/cm2/A]: a continuum, oxygen and sodium lines, the OH forest in the red."""
    rng = np.random.default_rng(8888)  # a constant of nature here, not of the archive's seed
    flux = 2.0 + 0.8 * np.clip((WAVELENGTH - 6800.0) / 2400.0, 0, 1)
    oh = [
        (w, 2.0 + 22.0 * s * np.clip((w - 6600.0) / 2200.0, 0.1, 1.0))
        for w, s in zip(rng.uniform(6850, 9200, 95), rng.random(95), strict=True)
    ]
    for wavelength, strength in (*SKY_LINES, *oh):
        flux = flux + strength * np.exp(-0.5 * ((WAVELENGTH - wavelength) / 1.3) ** 2)
    return flux.astype(np.float32)


def throughput() -> np.ndarray:
    """Relative throughput of telescope and spectrograph; the dichroic dips at 6000 A."""
    curve = np.interp(
        WAVELENGTH, [3700, 4200, 5000, 5800, 6500, 7200, 8000, 9200], [0.18, 0.55, 0.85, 0.95, 1.0, 0.95, 0.8, 0.4]
    )
    return (curve * (1.0 - 0.25 * np.exp(-0.5 * ((WAVELENGTH - 6000.0) / 90.0) ** 2))).astype(np.float32)


def choose_targets(sky: Sky, scale: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the sky with a spectrum, and for each the index of its plate. Some stars stand on two plates."""
    letter = spectral_letter(np.nan_to_num(sky["teff_k"], nan=5000.0), sky["kind"])
    wanted = sky["wants_spectrum"] & (sky["sdss_r"] > 10.5) & (sky["sdss_r"] < 20.0)
    chosen = [np.flatnonzero(wanted)]
    natural = ~sky["wants_spectrum"] & (sky["sdss_r"] > 13.5) & (sky["sdss_r"] < 19.6)
    natural &= (sky["field"] == "halo") | (sky["sdss_r"] < 17.5)
    for name, n in FIELD_TARGETS.items():
        pool = np.flatnonzero(natural & (letter == name))
        # Half by lot among all, half among the bright, so that S/N spreads widely.
        bright = pool[np.argsort(sky["sdss_r"][pool] + rng.normal(size=len(pool)))][: max(1, len(pool) // 3)]
        n = min(max(6, round(n * scale)), len(pool))
        pick = np.union1d(
            rng.choice(bright, min(n // 2, len(bright)), replace=False), rng.choice(pool, n - n // 2, replace=False)
        )
        chosen.append(pick)
    variable = np.flatnonzero((sky["var_class"] != "") & (sky["sdss_r"] > 13.5))
    chosen.append(variable[rng.random(len(variable)) < 0.25])
    star = np.unique(np.concatenate(chosen))
    plates_of = {f.name: np.array([i for i, p in enumerate(PLATES) if p.field.name == f.name]) for f in FIELDS}
    plate = np.empty(len(star), dtype=np.int64)
    again_plate = np.empty(len(star), dtype=np.int64)
    for name, indices in plates_of.items():
        mine = np.flatnonzero(sky["field"][star] == name)
        turn = rng.permutation(len(mine)) % len(indices)
        plate[mine], again_plate[mine] = indices[turn], indices[(turn + 1) % len(indices)]
    again = rng.random(len(star)) < REPEATED_SHARE
    return np.concatenate([star, star[again]]), np.concatenate([plate, again_plate[again]])


def observe(sky: Sky, star: np.ndarray, plate: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Spectra of targets: arrays flux, ivar, model [n, 3840] float32, mask codes uint8, and scalars per spectrum."""
    true = {key: value[star] for key, value in sky.items()}
    n = len(star)
    depth = np.array([p.depth for p in PLATES])[plate]
    model = np.empty((n, N_PIXELS), dtype=np.float32)
    is_qso, is_galaxy = true["kind"] == "QSO", true["kind"] == "GALAXY"
    is_star = ~(is_qso | is_galaxy)
    star_forming = np.mod(true["ra"] * 7919.0, 1.0) < 0.4
    # Activity falls with mass: most late M dwarfs show H alpha in emission (West et al. 2008).
    true["activity"] = (
        rng.random(n) < np.clip((3900.0 - np.nan_to_num(true["teff_k"], nan=9999.0)) / 1100.0, 0.0, 0.8)
    ) * rng.random(n)
    model[is_star] = stellar_spectrum({key: value[is_star] for key, value in true.items()})
    model[is_qso] = quasar_spectrum(true["redshift"][is_qso])
    model[is_galaxy] = galaxy_spectrum(true["redshift"][is_galaxy], star_forming[is_galaxy])
    curve = extinction_curve(WAVELENGTH).astype(np.float32)
    model *= 10.0 ** (-0.4 * true["a_v_mag"].astype(np.float32)[:, None] * curve[None, :])
    # Scale to the r magnitude (AB), with a spectrophotometric error, a tilt of it, and light lost at the fibre.
    red = slice(*np.searchsorted(WAVELENGTH, (5600.0, 6900.0)))
    target = (
        2.854e8 * 10.0 ** (-0.4 * true["sdss_r"]) * np.exp(0.05 * rng.normal(size=n))
    )  # 1e-17 erg/s/cm2/A at 6180 A
    model *= (target / model[:, red].mean(axis=1)).astype(np.float32)[:, None]
    tilt = (0.05 * rng.normal(size=n)).astype(np.float32)[:, None]
    model *= 1.0 + tilt * ((WAVELENGTH - 6200.0) / 2400.0).astype(np.float32)[None, :]

    sky_scale = np.exp(0.12 * rng.normal(size=n)).astype(np.float32)
    noise = _noise(model, sky_scale, depth, rng)
    ivar = (1.0 / noise**2).astype(np.float32)
    flux = model + noise * rng.standard_normal(model.shape, dtype=np.float32)
    mask = _faults(flux, ivar, noise, sky_scale, rng)
    ivar[(mask & (NODATA | NEARBADPIXEL)) > 0] = 0.0
    flux[(mask & NODATA) > 0] = 0.0
    good = ivar > 0
    ratio = np.where(good, flux * np.sqrt(ivar), np.nan).astype(np.float32)
    out = {
        "flux": flux,
        "ivar": ivar,
        "model": model,
        "mask": mask,
        "sky_scale": sky_scale,
        "snMedian": np.nanmedian(ratio, axis=1),
    }
    for band, low, high in (
        ("u", 3800, 4000),
        ("g", 4000, 5400),
        ("r", 5600, 6900),
        ("i", 6900, 8200),
        ("z", 8200, 9200),
    ):
        out[f"sn_median_{band}"] = np.nanmedian(ratio[:, slice(*np.searchsorted(WAVELENGTH, (low, high)))], axis=1)
    out["activity"] = true["activity"]
    return out


def _noise(model: np.ndarray, sky_scale: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sigma per pixel: photons of star and sky, read noise, a floor of the flux calibration; 20% scatter in depth."""
    gain = throughput() * 1.0
    depth = (depth * np.exp(0.2 * rng.normal(size=len(depth)))).astype(np.float32)[:, None]
    counts = np.clip(model, 0, None) + sky_scale[:, None] * sky_template()[None, :]
    variance = 0.09 * counts / (gain * depth) + 0.05 / (gain * gain * depth) + np.square(0.008 * model)
    return np.sqrt(variance).astype(np.float32)


def _faults(
    flux: np.ndarray, ivar: np.ndarray, noise: np.ndarray, sky_scale: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Sky residuals, cosmic rays missed and caught, bad columns, stretches without data; marks them in codes."""
    n = len(flux)
    mask = np.zeros(flux.shape, dtype=np.uint8)
    template = sky_template()
    bright = template > 12.0
    mask[:, bright] |= BRIGHTSKY_ALWAYS
    mask[:, template > 8.0] |= BRIGHTSKY_ONCE
    # The sky model's error is not in ivar: residuals are a few percent of the sky, correlated along a spectrum.
    residual = (0.035 * rng.normal(size=n)).astype(np.float32)[:, None] * (
        np.gradient(template) + 0.3 * template * bright
    )[None, :]
    flux += residual * sky_scale[:, None]
    hits = rng.poisson(2.0, n)
    row = np.repeat(np.arange(n), hits)
    column = rng.integers(5, N_PIXELS - 5, len(row))
    height = (6.0 + rng.exponential(15.0, len(row))).astype(np.float32)
    caught = rng.random(len(row)) < 0.7
    for step, share in ((-1, 0.4), (0, 1.0), (1, 0.5)):
        flux[row[~caught], column[~caught] + step] += (
            share * height[~caught] * noise[row[~caught], column[~caught] + step]
        )
        np.bitwise_or.at(mask, (row[caught], column[caught] + step), np.uint8(COMBINEREJ))
        ivar[row[caught], column[caught] + step] *= 0.7
    for first in rng.integers(0, N_PIXELS - 8, 6):  # bad CCD columns hit the same pixels of a third of the fibres
        rows = np.flatnonzero(rng.random(n) < 0.33)
        mask[rows[:, None], first + np.arange(4)[None, :]] |= NEARBADPIXEL
    for i in np.flatnonzero(rng.random(n) < 0.015):  # a stretch without data
        first = int(rng.integers(0, N_PIXELS - 400))
        mask[i, first : first + int(rng.integers(60, 400))] |= NODATA
    for i in np.flatnonzero(rng.random(n) < 0.03):
        first = int(rng.integers(2000, N_PIXELS - 300))
        mask[i, first : first + 200] |= BADSKYCHI
    return mask


def loglam() -> np.ndarray:
    """The grid, float32, as files carry it."""
    return LOGLAM.astype(np.float32)
