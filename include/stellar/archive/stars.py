"""Compact stellar relations: what a star of given mass, temperature, gravity and metallicity looks like.

The main sequence follows the mean dwarf relation of Pecaut & Mamajek (2013, ApJS 208, 9; the table kept at
pas.rochester.edu/~emamajek), the SDSS colours Covey et al. (2007, AJ 134, 2398), white dwarfs the DA cooling
sequence of Bergeron et al. (1995, PASP 107, 1047); all rounded, and good to about 0.1 mag, which is what a
simulated sky needs.
"""

from __future__ import annotations

import numpy as np

# Teff [K], M_G, (BP-RP)_0, mass and radius [Sun], along the main sequence, hot to cool.
MAIN_SEQUENCE = np.array(
    [
        [41400, -5.35, -0.52, 40.0, 11.2],
        [36000, -4.60, -0.47, 23.0, 8.6],
        [31400, -3.85, -0.43, 17.0, 7.2],
        [26000, -2.80, -0.37, 11.8, 5.7],
        [20600, -1.75, -0.30, 7.3, 4.06],
        [15700, -0.95, -0.21, 4.7, 3.36],
        [12500, -0.20, -0.12, 3.4, 2.90],
        [9700, 1.00, 0.00, 2.3, 2.19],
        [8080, 1.75, 0.215, 1.88, 1.94],
        [7220, 2.43, 0.377, 1.61, 1.79],
        [6550, 3.25, 0.587, 1.33, 1.46],
        [5930, 4.20, 0.782, 1.06, 1.10],
        [5660, 4.83, 0.85, 0.98, 0.95],
        [5280, 5.58, 0.98, 0.87, 0.81],
        [5040, 6.00, 1.11, 0.82, 0.76],
        [4440, 6.92, 1.40, 0.70, 0.69],
        [3850, 8.19, 1.84, 0.57, 0.588],
        [3550, 9.34, 2.16, 0.44, 0.446],
        [3410, 10.10, 2.40, 0.37, 0.361],
        [3200, 11.40, 2.78, 0.23, 0.274],
        [3060, 12.65, 3.20, 0.162, 0.196],
        [2810, 14.20, 3.85, 0.102, 0.137],
        [2570, 16.50, 4.65, 0.085, 0.114],
    ]
)

# Teff [K] -> u-g, g-r, r-i, i-z of dwarfs of solar metallicity.
SDSS_COLOURS = np.array(
    [
        [60000, -0.45, -0.58, -0.38, -0.36],
        [41400, -0.38, -0.54, -0.36, -0.34],
        [31400, -0.25, -0.51, -0.35, -0.32],
        [20600, 0.20, -0.43, -0.31, -0.28],
        [15700, 0.50, -0.36, -0.28, -0.23],
        [12500, 0.78, -0.31, -0.24, -0.19],
        [9700, 1.07, -0.23, -0.18, -0.15],
        [8080, 1.16, -0.04, -0.09, -0.10],
        [7220, 1.10, 0.12, -0.01, -0.06],
        [6550, 1.08, 0.26, 0.06, -0.01],
        [5930, 1.20, 0.40, 0.12, 0.03],
        [5660, 1.32, 0.47, 0.15, 0.05],
        [5280, 1.58, 0.59, 0.20, 0.08],
        [5040, 1.80, 0.69, 0.25, 0.11],
        [4440, 2.35, 1.05, 0.42, 0.21],
        [3850, 2.60, 1.38, 0.72, 0.38],
        [3550, 2.62, 1.45, 1.00, 0.55],
        [3410, 2.64, 1.49, 1.22, 0.67],
        [3200, 2.68, 1.54, 1.50, 0.82],
        [3060, 2.75, 1.62, 1.85, 1.02],
        [2810, 2.90, 1.75, 2.20, 1.20],
        [2570, 3.00, 1.95, 2.60, 1.50],
    ]
)

# Teff [K] -> M_G and BP-RP of DA white dwarfs, log g = 8.
WHITE_DWARFS = np.array(
    [
        [60000, 8.2, -0.56],
        [30000, 9.6, -0.45],
        [20000, 10.6, -0.32],
        [15000, 11.15, -0.17],
        [10000, 12.2, 0.10],
        [8000, 12.95, 0.34],
        [6000, 14.1, 0.78],
        [5000, 14.95, 1.15],
        [4000, 15.8, 1.70],
    ]
)

# Ratios to A_V: mean over the bands, R_V = 3.1 (Danielski et al. 2018 for Gaia; Schlafly & Finkbeiner 2011 for SDSS).
EXTINCTION = {
    "g_mag": 0.80,
    "bp_mag": 1.05,
    "rp_mag": 0.62,
    "tess_mag": 0.61,
    "sdss_u": 1.57,
    "sdss_g": 1.22,
    "sdss_r": 0.84,
    "sdss_i": 0.63,
    "sdss_z": 0.47,
}


def _along(table: np.ndarray, key: int, value: np.ndarray, column: int) -> np.ndarray:
    order = np.argsort(table[:, key])
    return np.interp(value, table[order, key], table[order, column])


def dwarf_from_mass(mass_msun: np.ndarray, feh_dex: np.ndarray) -> tuple[np.ndarray, ...]:
    """Teff [K], M_G and radius [Sun] of zero-age dwarfs.

    At a given mass a metal-poor dwarf is hotter (by 6% per dex), and at a given Teff smaller and fainter (subdwarfs).
    """
    log_mass = np.log10(mass_msun)
    table = MAIN_SEQUENCE.copy()
    table[:, 3] = np.log10(table[:, 3])
    cool = np.clip((9000.0 - _along(table, 3, log_mass, 0)) / 2000.0, 0.0, 1.0)
    teff = _along(table, 3, log_mass, 0) * 10.0 ** (-0.025 * feh_dex * cool)
    abs_g = _along(table, 0, teff, 1) - 0.55 * np.clip(feh_dex, -2.2, 0.4) * cool
    radius = _along(table, 0, teff, 4) * 10.0 ** (0.11 * np.clip(feh_dex, -2.2, 0.4) * cool)
    return teff, abs_g, radius


def dwarf_from_teff(teff_k: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """M_G, mass and radius [Sun] of dwarfs of solar metallicity."""
    return tuple(_along(MAIN_SEQUENCE, 0, teff_k, column) for column in (1, 3, 4))


def giant_teff(abs_g: np.ndarray, feh_dex: np.ndarray) -> np.ndarray:
    """Teff [K] along the red giant branch (M_G from -3 at the tip to 3.3 at its foot); metal-poor ones are hotter."""
    base = np.interp(
        abs_g, [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 3.3], [3650, 3980, 4280, 4570, 4760, 4900, 5080, 5200]
    )
    return base * 10.0 ** (-0.034 * np.clip(feh_dex, -2.5, 0.4))


def white_dwarf(teff_k: np.ndarray) -> np.ndarray:
    """M_G of DA white dwarfs of log g = 8."""
    return _along(WHITE_DWARFS, 0, teff_k, 1)


def radius_from_luminosity(abs_g: np.ndarray, teff_k: np.ndarray) -> np.ndarray:
    """Radius [Sun] from M_G and Teff, with the dwarfs' bolometric corrections."""
    dwarf_abs, _, dwarf_radius = dwarf_from_teff(teff_k)
    return dwarf_radius * 10.0 ** (0.2 * (dwarf_abs - abs_g))


def gravity(mass_msun: np.ndarray, radius_rsun: np.ndarray) -> np.ndarray:
    """Log g [cm s-2] (the Sun's is 4.438)."""
    return 4.438 + np.log10(mass_msun) - 2.0 * np.log10(radius_rsun)


def colours(teff_k: np.ndarray, logg_dex: np.ndarray, feh_dex: np.ndarray, kind: np.ndarray) -> dict[str, np.ndarray]:
    """Unreddened colours `bp_rp`, `u_g`, `g_r`, `r_i`, `i_z`.

    Line blanketing makes u-g redder with metallicity (about 0.2 mag/dex in F and G stars, what SDSS photometric
    metallicities use); the Balmer jump makes it redder at low gravity in A stars; carbon stars are redder in g-r.
    """
    feh = np.clip(feh_dex, -2.5, 0.5)
    solar_type = np.exp(-0.5 * ((teff_k - 5700.0) / 1300.0) ** 2)
    jump = np.exp(-0.5 * ((np.log10(teff_k) - 3.93) / 0.06) ** 2)
    out = {name: _along(SDSS_COLOURS, 0, teff_k, i) for i, name in enumerate(("u_g", "g_r", "r_i", "i_z"), 1)}
    out["bp_rp"] = _along(MAIN_SEQUENCE, 0, teff_k, 2)
    giant = np.clip((4.3 - logg_dex) / 3.0, 0.0, 1.0) * (teff_k < 5600)
    out["u_g"] = out["u_g"] + 0.22 * feh * solar_type + 0.25 * np.clip(4.2 - logg_dex, -1, 1.5) * jump + 0.25 * giant
    out["g_r"] = out["g_r"] + 0.035 * feh * solar_type + 0.03 * giant
    out["bp_rp"] = out["bp_rp"] + 0.03 * feh * solar_type + 0.04 * giant
    white = kind == "WD"
    for name, hot in (("u_g", -0.1), ("g_r", 0.05)):
        out[name] = np.where(
            white & (teff_k < 20000), out[name] + hot * np.clip((20000 - teff_k) / 8000.0, 0, 1), out[name]
        )
    out["u_g"] = np.where(white & (teff_k < 14000), np.minimum(out["u_g"], 0.75), out["u_g"])
    out["bp_rp"] = np.where(white, _along(WHITE_DWARFS, 0, teff_k, 2), out["bp_rp"])
    carbon = kind == "CARBON"
    out["g_r"] = np.where(carbon, out["g_r"] + 0.45, out["g_r"])
    out["u_g"] = np.where(carbon, out["u_g"] + 0.6, out["u_g"])
    out["bp_rp"] = np.where(carbon, out["bp_rp"] + 0.25, out["bp_rp"])
    return out


def band_magnitudes(g_mag: np.ndarray, colour: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Magnitudes in every band from Gaia G and the colours, without extinction.

    G to SDSS g by the polynomial of the Gaia EDR3 documentation, section 5.5.1; TESS by Stassun et al. (2019, AJ 158,
    138).
    """
    x = np.clip(colour["g_r"] + colour["r_i"], -1.0, 4.0)
    bp_rp = colour["bp_rp"]
    sdss_g = g_mag + 0.074189 + 0.51409 * x + 0.080607 * x**2 - 0.0016001 * x**3
    sdss_r = sdss_g - colour["g_r"]
    sdss_i = sdss_r - colour["r_i"]
    # BP and RP from their colour, with G between them (passbands of Riello et al. 2021, rounded).
    rp = g_mag - np.interp(
        bp_rp, [-0.6, 0.0, 0.5, 0.82, 1.5, 2.5, 3.5, 5.0], [-0.35, 0.0, 0.37, 0.55, 0.86, 1.19, 1.42, 1.65]
    )
    tess = g_mag - 0.00522555 * bp_rp**3 + 0.0891337 * bp_rp**2 - 0.633923 * bp_rp + 0.0324473
    return {
        "g_mag": g_mag,
        "bp_mag": rp + bp_rp,
        "rp_mag": rp,
        "tess_mag": tess,
        "sdss_u": sdss_g + colour["u_g"],
        "sdss_g": sdss_g,
        "sdss_r": sdss_r,
        "sdss_i": sdss_i,
        "sdss_z": sdss_i - colour["i_z"],
    }


LETTER_EDGES = ((31500, "O"), (9800, "B"), (7300, "A"), (5960, "F"), (5300, "G"), (3900, "K"), (0, "M"))


def spectral_letter(teff_k: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Spectral class O to M from Teff; WD, CARBON, QSO and GALAXY from the kind."""
    letter = np.select(
        [teff_k >= edge for edge, _ in LETTER_EDGES], [name for _, name in LETTER_EDGES], default="M"
    ).astype("<U6")
    for special in ("WD", "CARBON", "QSO", "GALAXY"):
        letter[kind == special] = special
    return letter


# Teff [K] at subclass 0 of each letter, hot to cool (Pecaut & Mamajek 2013).
SUBCLASS_ZERO = (
    ("O", 50000),
    ("B", 31500),
    ("A", 9800),
    ("F", 7300),
    ("G", 5960),
    ("K", 5300),
    ("M", 3900),
    ("L", 2300),
)


def spectral_subclass(teff_k: np.ndarray) -> np.ndarray:
    """MK letter and decimal subclass such as `G2`, linear in log Teff within a letter."""
    log = np.log10(np.clip(teff_k, 2310.0, 49999.0))
    edges = np.log10([t for _, t in SUBCLASS_ZERO])
    position = np.interp(-log, -edges, np.arange(len(edges), dtype=float))
    letter = np.array([name for name, _ in SUBCLASS_ZERO])[position.astype(int)]
    digit = np.minimum((10 * (position % 1.0)).astype(int), 9)
    return np.char.add(letter, digit.astype(str))
