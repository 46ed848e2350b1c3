"""SDSS spectroscopy of the simulated sky: which stars were on which plate, the spectra, and the pipeline's verdicts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stellar.archive.fields import FIELDS, Field
from stellar.archive.population import Sky
from stellar.archive.sdss_photo import mjd_to_year
from stellar.archive.spectra_model import (
    LOGLAM,
    N_PIXELS,
    WAVELENGTH,
    extinction_curve,
    galaxy_spectrum,
    quasar_spectrum,
    stellar_spectrum,
)
from stellar.archive.stars import spectral_letter, spectral_subclass
from stellar.sky.motion import propagate


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
    """Night sky of one fibre [1e-17 erg/s/cm2/A]: a continuum, oxygen and sodium lines, and the OH forest in the red."""
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
    """Sky residuals, cosmic rays that were missed and that were caught, bad columns, lost halves; marks them in codes."""
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


def spec_obj_id(plate: np.ndarray, fibre: np.ndarray, mjd: np.ndarray, run2d: list[str]) -> np.ndarray:
    """specObjID as decimal strings: plate, fibre, mjd - 50000 and run2d packed into 64 bits."""
    packed = []
    for p, f, m, r in zip(plate.tolist(), fibre.tolist(), mjd.tolist(), run2d, strict=True):
        if r.startswith("v"):
            major, minor, patch = (int(x) for x in r[1:].split("_"))
            number = (major - 5) * 10000 + minor * 100 + patch
        else:
            number = int(r)
        packed.append(str((p << 50) | (f << 38) | ((m - 50000) << 24) | (number << 10)))
    return np.array(packed)


def specobj(sky: Sky, star: np.ndarray, plate: np.ndarray, seen: dict[str, np.ndarray], primary_objid: np.ndarray, scale: float,
            rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:  # fmt: skip
    """Columns of `SpecObj` with those of `sppParams`, and the order that sorts the spectra by plate, MJD and fibre.

    Parameters
    ----------
    primary_objid : int64[len(sky)], the star's primary PhotoObj, 0 where none.
    """
    n = len(star)
    true = {key: value[star] for key, value in sky.items()}
    plates = [PLATES[i] for i in plate]
    mjd = np.array([p.mjd for p in plates])
    number = np.array([p.plate for p in plates])
    fibre = np.empty(n, dtype=np.int64)
    for index, entry in enumerate(PLATES):
        mine = np.flatnonzero(plate == index)
        fibre[mine] = rng.permutation(max(entry.fibres, len(mine)))[: len(mine)] + 1
    # Fibres are plugged at the catalogue's position: the imaging epoch in the halo field, 2000.0 (2MASS) in the plane.
    epoch = np.where(true["field"] == "halo", mjd_to_year(np.array(53270.0)), 2000.0)
    ra, dec = propagate(true["ra"], true["dec"], true["pmra"], true["pmdec"], 2016.0, epoch)
    dec = dec + 0.08 / 3600.0 * rng.normal(size=n)
    ra = (ra + 0.08 / 3600.0 / np.cos(np.radians(dec)) * rng.normal(size=n)) % 360.0
    run2d = [p.run2d for p in plates]
    class_, subclass, z, z_error, warning = _verdict(true, seen, rng)
    columns: dict[str, np.ndarray] = {
        "specObjID": spec_obj_id(number, fibre, mjd, run2d), "bestObjID": primary_objid[star], "plate": number, "mjd": mjd,
        "fiberID": fibre, "run2d": np.array(run2d), "survey": np.array([p.survey for p in plates]),
        "instrument": np.where(mjd > 55100, "BOSS", "SDSS"), "programname": np.array([p.programname for p in plates]),
        "chunk": np.array([f"{p.programname}{p.plate}" for p in plates]), "sourceType": _source_type(true),
        "plug_ra": ra, "plug_dec": dec, "ra": ra, "dec": dec, "class": class_, "subClass": subclass, "z": z, "zErr": z_error,
        "zWarning": warning, "rChi2": np.clip(1.05 + 0.1 * rng.normal(size=n), 0.6, 3.0), "snMedian": seen["snMedian"],
        **{f"sn_median_{b}": seen[f"sn_median_{b}"] for b in "ugriz"}, "plateQuality": np.full(n, "good"),
        "waveMin": np.full(n, WAVELENGTH[0]), "waveMax": np.full(n, WAVELENGTH[-1]),
        "spectroFlux_r": 10.0 ** (0.4 * (22.5 - true["sdss_r"])) * np.exp(0.05 * rng.normal(size=n)),
        # As on the real archive, the ELODIE temperature is off by thousands of K for some: it must not be a label.
        "elodieTEff": np.where(class_ == "STAR", np.nan_to_num(true["teff_k"]).clip(3200, 25000) * np.exp(0.15 * rng.normal(size=n)), 0.0),
        "ebv": true["a_v_mag"] / 3.1 * np.exp(0.1 * rng.normal(size=n)),
    }  # fmt: skip
    first = np.zeros(n, dtype=np.int64)
    best = np.lexsort((-seen["snMedian"], star))
    first[best[np.r_[True, np.diff(star[best]) != 0]]] = 1
    columns["sciencePrimary"] = first
    columns |= _sspp(true, seen["snMedian"], class_ == "STAR", mjd, subclass, rng)
    return columns, np.lexsort((fibre, mjd, number))


def _source_type(true: Sky) -> np.ndarray:
    return np.select(
        [true["kind"] == "QSO", true["kind"] == "GALAXY", true["kind"] == "WD"],
        ["QSO", "GALAXY", "WHITE_DWARF_SDSS"],
        "STAR",
    )


def _verdict(true: Sky, seen: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """class, subClass, z, zErr and zWarning of the pipeline: templates a subclass or two off, and worse at low S/N."""
    n = len(true["ra"])
    sn = np.clip(seen["snMedian"], 0.3, None)
    teff = np.nan_to_num(true["teff_k"], nan=5000.0) * np.exp((0.012 + 0.08 / sn) * rng.normal(size=n))
    subclass = np.char.add(spectral_subclass(teff), "").astype("<U24")
    letter = spectral_letter(teff, np.full(n, "MS"))
    subclass = np.where(letter == "O", np.where(rng.random(n) < 0.75, "O", "OB"), subclass)
    white, carbon = true["kind"] == "WD", true["kind"] == "CARBON"
    subclass = np.where(
        white, np.where(teff < 7500, "WDcooler", np.where(rng.random(n) < 0.93, "WD", "WDhotter")), subclass
    )
    subclass = np.where(carbon, np.where(rng.random(n) < 0.6, "Carbon", "Carbon_lines"), subclass)
    # Half of the star templates carry the name of the Indo-US star that they come from.
    named = (rng.random(n) < 0.5) & np.isin(letter, ("B", "A", "F", "G", "K")) & ~white & ~carbon
    digit = np.array([int(s[1]) if len(s) > 1 and s[1].isdigit() else 0 for s in subclass])
    luminosity = np.where(true["logg_dex"] < 3.3, "III", "V")
    number = (1000 + (np.nan_to_num(true["teff_k"], nan=0.0) * 37).astype(np.int64) % 250000).astype(str)
    labelled = np.array([f"{a}{d}{v} ({h})" for a, d, v, h in zip(letter, digit, luminosity, number, strict=True)])
    subclass = np.where(named, labelled, subclass)
    confused = rng.random(n) < np.clip(0.10 * np.exp(-sn / 5.0), 0.0, 0.1)
    subclass = np.where(confused, rng.permutation(subclass), subclass)
    class_ = np.where(true["kind"] == "QSO", "QSO", np.where(true["kind"] == "GALAXY", "GALAXY", "STAR"))
    subclass = np.where(class_ == "QSO", "BROADLINE", np.where(class_ == "GALAXY", "", subclass))
    z_error = (4e-6 + 6e-5 / sn) * np.where(class_ == "STAR", 1.0, 3.0 * (1.0 + np.nan_to_num(true["redshift"])))
    z = true["redshift"] + z_error * rng.normal(size=n)
    lost = (sn < 2.0) & (rng.random(n) < 0.3)
    warning = np.where(lost, 4, np.where(rng.random(n) < 0.02, 16, 0)) | np.where(rng.random(n) < 0.004, 128, 0)
    return class_, subclass, z, np.where(lost & (rng.random(n) < 0.3), -1.0, z_error), warning


def _sspp(
    true: Sky, sn: np.ndarray, is_star: np.ndarray, mjd: np.ndarray, subclass: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """SSPP parameters (Lee et al. 2008): from 4,000 to 10,000 K, S/N above 10; else -9999."""
    n = len(sn)
    teff = np.nan_to_num(true["teff_k"])
    normal = is_star & ~np.isin(true["kind"], ("WD", "CARBON", "SUBDWARF"))
    has = normal & (sn > 8.0) & (teff > 3700) & (teff < 10500) & (rng.random(n) < 0.96)
    scale = np.sqrt(1.0 + (18.0 / np.clip(sn, 1.0, None)) ** 2)
    has_feh = has & (teff > 4300) & (teff < 9000)
    out: dict[str, np.ndarray] = {}
    for name, value, error, known in (
        ("TEFFADOP", teff, 0.011 * teff, has), ("LOGGADOP", true["logg_dex"], 0.18, has),
        ("FEHADOP", true["feh_dex"], 0.14, has_feh), ("RVADOP", true["rv_kms"], 2.5, has),
    ):  # fmt: skip
        sigma = error * scale
        out[name] = np.where(known, value + sigma * rng.normal(size=n), -9999.0)
        out[f"{name}UNC"] = np.where(known, sigma * np.exp(0.25 * rng.normal(size=n)), -9999.0)
    out["SPECTYPE_SUBCLASS"] = np.where(is_star, subclass, "")
    out["SSPP_FLAG"] = np.where(~is_star, "", np.where(has, np.where(rng.random(n) < 0.9, "nnnnn", "nnnGn"), "NnnXX"))
    return out


def loglam() -> np.ndarray:
    """The grid, float32, as files carry it."""
    return LOGLAM.astype(np.float32)
