"""SIMBAD's view of a part of the stars: types, spectral types, identifiers, variability; a few of them wrong."""

from __future__ import annotations

import numpy as np

from stellar.archive.population import Sky
from stellar.archive.stars import spectral_letter, spectral_subclass
from stellar.sky.motion import propagate

WRONG_SHARE = 0.03
# otype, its long name, and GCVS vartyp by class of variability.
VARIABLE_TYPES = {
    "EA": ("EB*", "Eclipsing Binary", "EA"),
    "EB": ("EB*", "Eclipsing Binary", "EB"),
    "EW": ("EB*", "Eclipsing Binary", "EW"),
    "RRab": ("RR*", "RR Lyrae Variable", "RRAB"),
    "RRc": ("RR*", "RR Lyrae Variable", "RRC"),
    "DSCT": ("dS*", "delta Sct Variable", "DSCT"),
    "ROT": ("Ro*", "Rotating Variable", "ROT"),
    "FLARE": ("Er*", "Eruptive Variable", "UV"),
    "SOLR": ("*", "Star", "SRS"),
    "CONST": ("*", "Star", "CST"),
}
KIND_TYPES = {
    "WD": ("WD*", "White Dwarf"),
    "CARBON": ("C*", "Carbon Star"),
    "SUBDWARF": ("HS*", "Hot Subdwarf"),
    "QSO": ("QSO", "Quasar"),
    "GALAXY": ("G", "Galaxy"),
    "HB": ("HB*", "Horizontal Branch Star"),
    "GIANT": ("RG*", "Red Giant Branch star"),
}


def choose(
    sky: Sky, has_spectrum: np.ndarray, has_lightcurve: np.ndarray, in_gaia: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Rows of the sky that SIMBAD knows: nearly all targets, the fastest stars, and some bright ones."""
    bright = in_gaia & (sky["g_mag"] < 12.5) & (rng.random(len(in_gaia)) < 0.5)
    fast = np.hypot(sky["pmra"], sky["pmdec"]) > 200.0
    targets = (has_spectrum & (rng.random(len(in_gaia)) < 0.9)) | (has_lightcurve & (rng.random(len(in_gaia)) < 0.97))
    return np.flatnonzero(targets | bright | fast)


def sexagesimal(ra: np.ndarray, dec: np.ndarray) -> list[str]:
    """IAU names `Jhhmmss.ss+ddmmss.s`, truncated as the rule says."""
    names = []
    for r, d in zip(ra.tolist(), dec.tolist(), strict=True):
        hundredths = int(r / 15.0 * 360000.0) % 8640000
        tenths = int(abs(d) * 36000.0)
        names.append(
            f"J{hundredths // 360000:02d}{hundredths // 6000 % 60:02d}{hundredths % 6000 / 100:05.2f}"
            f"{'-' if d < 0 else '+'}{tenths // 36000:02d}{tenths // 600 % 60:02d}{tenths % 600 / 10:04.1f}"
        )
    return names


def spectral_types(true: Sky, rng: np.random.Generator) -> np.ndarray:
    """MK types such as `G2V`, `K5III`, `DA2`, `C-R`; a subclass off now and then, empty for some."""
    n = len(true["ra"])
    teff = np.nan_to_num(true["teff_k"], nan=5000.0)
    base = spectral_subclass(teff * np.exp(0.015 * rng.normal(size=n)))
    letter = spectral_letter(teff, np.full(n, "MS"))
    luminosity = np.select(
        [true["logg_dex"] < 1.5, true["logg_dex"] < 3.5, true["logg_dex"] < 3.95], ["II", "III", "IV"], "V"
    )
    metal_poor = (true["feh_dex"] < -1.0) & np.isin(letter, ("F", "G", "K"))
    out = np.char.add(
        np.char.add(np.where(metal_poor & (luminosity == "V"), "sd", ""), base), np.where(metal_poor, "", luminosity)
    )
    emission = (true["var_class"] == "FLARE") & (rng.random(n) < 0.7)
    out = np.where(emission, np.char.add(out, "e"), out)
    # The digit of a white dwarf's type is 50400 K / Teff (Sion et al. 1983).
    digit = np.clip(np.round(50400.0 / teff), 1, 9).astype(int).astype(str)
    out = np.where(true["kind"] == "WD", np.char.add("DA", digit), out)
    out = np.where(true["kind"] == "CARBON", rng.choice(["C-R", "C-H", "C-N", "dC"], n, p=[0.3, 0.4, 0.15, 0.15]), out)
    out = np.where(true["kind"] == "SUBDWARF", np.where(teff > 31500, "sdO", "sdB"), out)
    return np.where(np.isin(true["kind"], ("QSO", "GALAXY")) | (rng.random(n) < 0.12), "", out)


def tables(sky: Sky, star: np.ndarray, ids: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[dict, dict, dict]:
    """Columns of basic, ident and mesVar.

    Parameters
    ----------
    star : rows of the sky that SIMBAD knows.
    ids : by row of the sky, `source_id` and `ticid` (0 where none), `has_spectrum`.
    """
    n = len(star)
    true = {key: value[star] for key, value in sky.items()}
    oid = 20_000_000 + 7 * np.arange(n) + np.sort(rng.integers(0, 7, n))
    ra, dec = propagate(true["ra"], true["dec"], true["pmra"], true["pmdec"], 2016.0, 2000.0)
    otype, text = np.full(n, "*", dtype="<U4"), np.full(n, "Star", dtype="<U32")
    for kind, (short, long) in KIND_TYPES.items():
        otype[true["kind"] == kind], text[true["kind"] == kind] = short, long
    near = np.hypot(true["pmra"], true["pmdec"]) > 150.0
    otype[near & (otype == "*")], text[near & (text == "Star")] = "PM*", "High Proper Motion Star"
    low_mass = (np.nan_to_num(true["teff_k"], nan=9e3) < 3800) & (otype == "*")
    otype[low_mass], text[low_mass] = "LM*", "Low-mass Star"
    vartyp = np.full(n, "", dtype="<U6")
    for name, (short, long, variability) in VARIABLE_TYPES.items():
        mine = true["var_class"] == name
        otype[mine], text[mine], vartyp[mine] = short, long, variability
    by_draconis = (true["var_class"] == "ROT") & (np.nan_to_num(true["teff_k"]) < 4700) & (rng.random(n) < 0.6)
    otype[by_draconis], text[by_draconis], vartyp[by_draconis] = "BY*", "BY Dra Variable", "BY"
    flaring = (true["var_class"] == "FLARE") & (rng.random(n) < 0.4)
    otype[flaring], text[flaring] = "Fl*", "Flare Star"
    # A few are wrong: they carry another star's type.
    wrong = np.flatnonzero((rng.random(n) < WRONG_SHARE) & (true["var_class"] != ""))
    swap = rng.permutation(wrong)
    otype[wrong], text[wrong], vartyp[wrong] = otype[swap], text[swap], vartyp[swap]
    sp_type = spectral_types(true, rng)
    wrong_type = np.flatnonzero(rng.random(n) < WRONG_SHARE)
    sp_type[wrong_type] = sp_type[rng.permutation(wrong_type)]

    identifiers, main_id = _identifiers(oid, true, star, ids, vartyp, ra, dec)
    known = ids["source_id"][star] > 0
    with np.errstate(divide="ignore"):
        plx = np.where(
            known & np.isfinite(true["distance_pc"]), 1000.0 / true["distance_pc"] + 0.03 * rng.normal(size=n), np.nan
        )
    outside = np.isin(true["kind"], ("QSO", "GALAXY"))
    basic = {
        "oid": oid,
        "main_id": main_id,
        "ra": ra,
        "dec": dec,
        "coo_err_maj": np.where(known, 0.05, 60.0),
        "coo_err_min": np.where(known, 0.04, 60.0),
        "coo_bibcode": np.where(known, "2020yCat.1350....0G", "2003yCat.2246....0C"),
        "pmra": np.where(known & ~outside, true["pmra"], np.nan),
        "pmdec": np.where(known & ~outside, true["pmdec"], np.nan),
        "plx_value": plx,
        "plx_err": np.where(np.isnan(plx), np.nan, 0.03),
        "rvz_radvel": np.where(outside, np.nan, true["rv_kms"] + 2.0 * rng.normal(size=n)),
        "rvz_redshift": true["redshift"],
        "otype": otype,
        "otype_txt": text,
        "sp_type": sp_type,
        "sp_qual": np.where(sp_type == "", "", rng.choice(list("BCDE"), n)),
        "sp_bibcode": np.where(sp_type == "", "", "2015yCat....1.2034L"),
        "nbref": rng.geometric(0.12, n),
        "update_date": np.full(n, "2024-05-17"),
    }
    has_variability = np.flatnonzero((vartyp != "") & (rng.random(n) < 0.96))
    half = 1.0857 * np.nan_to_num(true["amplitude_frac"][has_variability]) / 2.0
    bright = true["g_mag"][has_variability]
    variability = {
        "oidref": oid[has_variability],
        "vartyp": vartyp[has_variability],
        "period": np.where(np.isin(vartyp[has_variability], ("CST", "SRS")), np.nan, true["period_d"][has_variability]),
        "magtyp": np.full(len(half), "G"),
        "uppVmax": np.full(len(half), ""),
        "max": bright - half,
        "min": bright + half,
        "bibcode": np.full(len(half), "2017ARep...61...80S"),
    }
    return basic, identifiers, variability


def _identifiers(
    oid: np.ndarray,
    true: Sky,
    star: np.ndarray,
    ids: dict[str, np.ndarray],
    vartyp: np.ndarray,
    ra: np.ndarray,
    dec: np.ndarray,
) -> tuple[dict, np.ndarray]:
    n = len(star)
    source, tic = ids["source_id"][star], ids["ticid"][star]
    names = sexagesimal(ra, dec)
    refs: list[int] = []
    texts: list[str] = []
    main: list[str] = []
    in_sdss = ids["has_spectrum"][star] | (ids["objid"][star] > 0)
    for i in range(n):
        mine = []
        if vartyp[i] not in ("", "CST", "SRS"):
            mine.append(f"V* SIM V{i + 1:04d}")
        if true["g_mag"][i] < 13.0:
            mine.append(f"TYC {1000 + i // 1000}-{i % 1000 + 1}-1")
        if source[i] > 0:
            mine.append(f"Gaia DR3 {source[i]}")
        if tic[i] > 0:
            mine.append(f"TIC {tic[i]}")
        if in_sdss[i]:
            mine.append(f"SDSS {names[i]}")
        if true["kind"][i] == "WD":
            mine.append(f"WD {names[i][1:5]}{names[i][10:13]}")
        if not mine:
            mine.append(f"2MASS {names[i]}")
        main.append(mine[0])
        refs.extend([int(oid[i])] * len(mine))
        texts.extend(mine)
    return {"oidref": np.array(refs, dtype=np.int64), "id": np.array(texts)}, np.array(main)
