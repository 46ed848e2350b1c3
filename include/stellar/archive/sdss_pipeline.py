"""What the SDSS pipelines said of each spectrum: the `SpecObj` table, with the stellar parameters of the SSPP."""

from __future__ import annotations

import numpy as np

from stellar.archive.population import Sky
from stellar.archive.sdss_photo import mjd_to_year
from stellar.archive.sdss_spec import PLATES
from stellar.archive.spectra_model import WAVELENGTH
from stellar.archive.stars import spectral_letter, spectral_subclass
from stellar.sky.motion import propagate


def spec_obj_id(plate: np.ndarray, fibre: np.ndarray, mjd: np.ndarray, run2d: list[str]) -> np.ndarray:
    """SpecObjID as decimal strings: plate, fibre, mjd - 50000 and run2d packed into 64 bits."""
    packed = []
    for p, f, m, r in zip(plate.tolist(), fibre.tolist(), mjd.tolist(), run2d, strict=True):
        if r.startswith("v"):
            major, minor, patch = (int(x) for x in r[1:].split("_"))
            number = (major - 5) * 10000 + minor * 100 + patch
        else:
            number = int(r)
        packed.append(str((p << 50) | (f << 38) | ((m - 50000) << 24) | (number << 10)))
    return np.array(packed)


def specobj(
    sky: Sky,
    star: np.ndarray,
    plate: np.ndarray,
    seen: dict[str, np.ndarray],
    primary_objid: np.ndarray,
    imaged_mjd: np.ndarray,
    rng: np.random.Generator,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of `SpecObj` with those of `sppParams`, and the order that sorts the spectra by plate, MJD and fibre.

    Parameters
    ----------
    primary_objid : int64[len(sky)], the star's primary PhotoObj, 0 where none.
    imaged_mjd : [len(sky)], night of that image.
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
    # Fibres are plugged at the position of the image that the star was chosen from; without one, at 2000.0 (2MASS).
    epoch = np.where(primary_objid[star] > 0, mjd_to_year(imaged_mjd[star]), 2000.0)
    ra, dec = propagate(true["ra"], true["dec"], true["pmra"], true["pmdec"], 2016.0, epoch)
    dec = dec + 0.08 / 3600.0 * rng.normal(size=n)
    ra = (ra + 0.08 / 3600.0 / np.cos(np.radians(dec)) * rng.normal(size=n)) % 360.0
    run2d = [p.run2d for p in plates]
    class_, subclass, z, z_error, warning = _verdict(true, seen, rng)
    columns: dict[str, np.ndarray] = {
        "specObjID": spec_obj_id(number, fibre, mjd, run2d),
        "bestObjID": primary_objid[star],
        "plate": number,
        "mjd": mjd,
        "fiberID": fibre,
        "run2d": np.array(run2d),
        "survey": np.array([p.survey for p in plates]),
        "instrument": np.where(mjd > 55100, "BOSS", "SDSS"),
        "programname": np.array([p.programname for p in plates]),
        "chunk": np.array([f"{p.programname}{p.plate}" for p in plates]),
        "sourceType": _source_type(true),
        "plug_ra": ra,
        "plug_dec": dec,
        "ra": ra,
        "dec": dec,
        "class": class_,
        "subClass": subclass,
        "z": z,
        "zErr": z_error,
        "zWarning": warning,
        "rChi2": np.clip(1.05 + 0.1 * rng.normal(size=n), 0.6, 3.0),
        "snMedian": seen["snMedian"],
        **{f"sn_median_{b}": seen[f"sn_median_{b}"] for b in "ugriz"},
        "plateQuality": np.full(n, "good"),
        "waveMin": np.full(n, WAVELENGTH[0]),
        "waveMax": np.full(n, WAVELENGTH[-1]),
        "spectroFlux_r": 10.0 ** (0.4 * (22.5 - true["sdss_r"])) * np.exp(0.05 * rng.normal(size=n)),
        # As on the real archive, the ELODIE temperature is off by thousands of K for some: it must not be a label.
        "elodieTEff": np.where(
            class_ == "STAR", np.nan_to_num(true["teff_k"]).clip(3200, 25000) * np.exp(0.15 * rng.normal(size=n)), 0.0
        ),
        "ebv": true["a_v_mag"] / 3.1 * np.exp(0.1 * rng.normal(size=n)),
    }
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
        ("TEFFADOP", teff, 0.011 * teff, has),
        ("LOGGADOP", true["logg_dex"], 0.18, has),
        ("FEHADOP", true["feh_dex"], 0.14, has_feh),
        ("RVADOP", true["rv_kms"], 2.5, has),
    ):
        sigma = error * scale
        out[name] = np.where(known, value + sigma * rng.normal(size=n), -9999.0)
        out[f"{name}UNC"] = np.where(known, sigma * np.exp(0.25 * rng.normal(size=n)), -9999.0)
    out["SPECTYPE_SUBCLASS"] = np.where(is_star, subclass, "")
    out["SSPP_FLAG"] = np.where(~is_star, "", np.where(has, np.where(rng.random(n) < 0.9, "nnnnn", "nnnGn"), "NnnXX"))
    return out
