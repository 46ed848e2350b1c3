"""Every constant of the simulated eclipsing binaries, with where it comes from. FROZEN.

They were set once, so that the stock random forest scores on the simulated catalogue what was published for the real
one (`docs/eclipsing_binaries.md`), and `tests/unit/archive/eclipsing/test_generate.py` pins the rows that follow from
them. A change here makes another catalogue: figures measured before cannot be compared with those after it.

Constants marked SET have no source of their own: within what their comment says is plausible, their values were chosen
so that the stock forest, the shares of missing values and the spread of temperatures come out as published. All others
are the literature's.

The published set is `gaia-eb-teff-datasets` (2,179,680 binaries of the Gaia DR3 catalogue of Mowlavi et al. 2023, A&A
674, A16, with Pan-STARRS DR1 and 2MASS).
"""

from __future__ import annotations

from typing import NamedTuple

from stellar.archive.population import COMPONENTS, Component

VERSION = 1  # of what is generated; raise it with any change here or in the modules beside
ROWS = 2_180_000
SEED = 20_260_101
CHUNK_ROWS = 100_000
MISSING = -999.0

# --- the sky -------------------------------------------------------------------------------------------------------
FAINT_LIMIT_G = 20.0  # of the Gaia eclipsing binaries (Mowlavi et al. 2023, section 2)
SIGHTLINE_ORDER = 4  # HEALPix order of the sightlines that counts are summed along; 3.7 degrees
# Dust disc: height and length of Drimmel & Spergel (2001, ApJ 556, 181, table 1): 134 pc, 0.28 of the Sun's distance
# from the centre. SET: A_V at the Sun, where 0.5 to 0.7 mag/kpc lie between the clouds and 1.8 in the mean with them.
DUST_AV_PER_KPC = 0.5
DUST_HEIGHT_PC = 134.0
DUST_LENGTH_PC = 2300.0
# Clouds: log-normal, the same power at each HEALPix order from 3 (7 degrees) to 8 (14 arcmin), as of turbulence.
DUST_ORDERS = (3, 4, 5, 6, 7, 8)
DUST_SIGMA_LN = 0.50  # SET: standard deviation of ln A_V on a sightline, all orders together
R_V = 3.1

# Stars of the last 0.3 Gyr keep the small scale height that they were born with (OB stars: 60-90 pc, Reed 2000, AJ
# 120, 314); a constant star formation rate gives them 0.3/9.5 of the thin disc's column.
YOUNG_AGE_GYR = 0.3
YOUNG_HEIGHT_PC = 90.0
YOUNG_RATE = 3.3  # SET, for the share of hot stars: their number over that of a constant rate
_THIN = COMPONENTS[0]
_YOUNG_SHARE = _THIN.local_share * YOUNG_RATE * YOUNG_AGE_GYR / _THIN.age[1] * _THIN.scale_height / YOUNG_HEIGHT_PC
POPULATION: tuple[Component, ...] = (
    _THIN._replace(
        name="young",
        local_share=_YOUNG_SHARE,
        scale_height=YOUNG_HEIGHT_PC,
        age=(0.004, YOUNG_AGE_GYR),
        feh=(0.0, 0.12),
    ),
    _THIN._replace(age=(YOUNG_AGE_GYR, _THIN.age[1])),
    *COMPONENTS[1:],
)

# --- the binaries --------------------------------------------------------------------------------------------------
MASSES_MSUN = (0.12, 25.0)
POOL_SIZE = 150_000  # systems of each component that a chunk draws from; copies are varied
TWIN_SHARE = 0.12  # mass ratios above 0.95 beyond a flat distribution (Moe & Di Stefano 2017, ApJS 230, 15, section 9)
CLOSE_FRACTION_MIN = 0.014  # the law of close companions turns up again below the masses that it was fitted to
MASS_RATIO_MIN = 0.15
# Two kinds of orbits: those that magnetic braking has shrunk, and the short end of Opik's law. Eclipses favour both
# short ones (most of Gaia's catalogue has periods below a day, Mowlavi et al. 2023, section 6). SET: their shares.
CLOSE_SHARE = 0.1
CLOSE_LOG_PERIOD = (-0.40, 0.16)  # mean and standard deviation of log10 P [d]
WIDE_LOG_PERIOD = (-0.6, 2.3)
CONTACT_RADII = 0.70  # (R1 + R2) / a from which the stars touch (Eggleton 1983: two Roche lobes fill 0.74 to 0.76)
OVERFLOW_RADII = 0.85  # beyond it the common envelope would merge (outer Lagrangian surface)
# SET: an eclipse is found when it is deeper than this, with what grows as Gaia's error of a single epoch (0.02 mag at
# G = 20 times the sparse sampling of eclipses).
DEPTH_FLOOR_MAG = 0.03
DEPTH_AT_G20_MAG = 0.35

# SET: systems drawn from the pool more than once differ by this much (standard deviations).
VARIED_LN_PERIOD = 0.1
VARIED_LN_TEFF = 0.01
VARIED_MAG = 0.05
VARIED_FEH_DEX = 0.03

# --- photometry ----------------------------------------------------------------------------------------------------
ATMOSPHERE_SCATTER_MAG = 0.015  # of each colour at given Teff, log g, [Fe/H]: rotation, spots, abundances


class Law(NamedTuple):
    """A(band) / A_V = c1 + c2 x + c3 x^2 + c4 x^3 + c5 A + c6 A^2 + c7 x A; x the unreddened BP-RP, A = A_V."""

    c: tuple[float, float, float, float, float, float, float]


# Gaia: Babusiaux et al. (Gaia Collaboration 2018, A&A 616, A10, table 1), the coefficients of Danielski et al. (2018).
GAIA_EXTINCTION = {
    "g": Law((0.9761, -0.1704, 0.0086, 0.0011, -0.0438, 0.0013, 0.0099)),
    "bp": Law((1.1517, -0.0871, -0.0333, 0.0173, -0.0230, 0.0006, 0.0043)),
    "rp": Law((0.6104, -0.0170, -0.0026, -0.0017, -0.0078, 0.00005, 0.0006)),
}
EXTINCTION_COLOUR_RANGE = (-0.6, 3.0)  # BP-RP within which the fit is used; beyond, its ends
EXTINCTION_AV_MAX = 10.0
# Schlafly & Finkbeiner (2011, ApJ 737, 103, table 6), R_V = 3.1, over Landolt V (2.742).
SURVEY_EXTINCTION = {
    "ps_g": 3.172 / 2.742,
    "ps_r": 2.271 / 2.742,
    "ps_i": 1.682 / 2.742,
    "ps_z": 1.322 / 2.742,
    "ps_y": 1.087 / 2.742,
    "j": 0.723 / 2.742,
    "h": 0.460 / 2.742,
    "k": 0.310 / 2.742,
}
# SDSS to Pan-STARRS: x = (g - r)_SDSS, band_PS - band_SDSS = a + b x + c x^2 (Tonry et al. 2012, ApJ 750, 99, table 6);
# y from z.
SDSS_TO_PS = {
    "ps_g": ("sdss_g", -0.011, -0.125, -0.015),
    "ps_r": ("sdss_r", 0.001, -0.006, -0.002),
    "ps_i": ("sdss_i", 0.004, -0.014, 0.001),
    "ps_z": ("sdss_z", -0.013, 0.040, -0.001),
    "ps_y": ("sdss_z", 0.031 - 0.013, -0.106 + 0.040, 0.011 - 0.001),
}
# G - band = a + b x + c x^2, x = BP-RP (Gaia EDR3 documentation, section 5.5.1, table 5.7).
GAIA_TO_2MASS = {
    "j": (0.01798, 1.389, -0.09338),
    "h": (-0.1048, 2.011, -0.1758),
    "k": (-0.0981, 2.089, -0.1579),
}
GAIA_TO_2MASS_RANGE = (-0.6, 4.5)
GAIA_EPOCHS = 40.0  # transits in the mean of BP and RP, over which eclipses average (Riello et al. 2021)
PS_EPOCHS = 10.0  # of each band (Chambers et al. 2016, arXiv:1612.05560: 12, a sixth lost to chip gaps)
# Depth (5 sigma) of one epoch and its calibration floor (Chambers et al. 2016, tables 11 and 1), and saturation.
PS_DEPTH = {"ps_g": 22.0, "ps_r": 21.8, "ps_i": 21.5, "ps_z": 20.9, "ps_y": 19.7}
PS_FLOOR_MAG = 0.012
PS_BRIGHT_I = 13.5  # below it the mean object is saturated in most bands
PS_SOUTH_DEG = -30.0
PS_MATCHED = 0.968  # SET: share of detected stars whose match is unique and passes the quality flags
# Magnitudes of 10 sigma: the survey promises 15.8, 15.1, 14.3 and reached more over most of the sky (Skrutskie et al.
# 2006, AJ 131, 1163, section 1). SET: how much more (0.2 mag). A source is listed when a band reaches SNR_2MASS.
DEPTH_2MASS = {"j": 16.02, "h": 15.22, "k": 14.52}
FLOOR_2MASS_MAG = 0.022
SNR_2MASS = 6.0
MATCHED_2MASS = 0.93
# SET. Blends: a neighbour in the long windows of BP and RP, not in that of G; more towards the plane.
BLEND_SHARE = (0.012, 0.05)  # at the poles, in the plane
BLEND_MAG = 0.6  # largest
OUTLIER_SHARE = 0.004  # mean magnitudes spoilt by a bad transit

# --- the catalogue's temperatures ----------------------------------------------------------------------------------
# GSP-Phot (Andrae et al. 2023, A&A 674, A27) fits temperature and extinction to BP/RP spectra; what it takes from the
# one it gives to the other (their section 3.4). All of this block is SET; it is what the stock forest scores against.
# The prior pulls the reddening towards what is common, and its error [mag of E(BP-RP)] has these parts, added in
# squares:
RIDGE_PRIOR = 0.6  # weight of what the prior expects of the reddening against what the spectrum says
RIDGE_PRIOR_EBPRP = 0.2  # what it expects [mag]
RIDGE_PRIOR_REACH = 2.0  # beyond this surprise [mag] the parallax and the spectrum win
RIDGE_BASE = 0.09  # spectra and library
RIDGE_PER_EBPRP = 0.22  # per magnitude of true reddening: the extinction law varies
RIDGE_NOISE = 2.0  # times the photometric error of BP-RP
RIDGE_PARALLAX = 0.10  # where the parallax says nothing: dwarf or giant
# and it becomes an error of ln Teff through d lnTeff / d(BP-RP) along the main sequence, which the priors keep finite.
RIDGE_SLOPE_MAX = 0.8
TEFF_FLOOR = 0.015  # relative error without any dust
CONFUSED_SHARE = 0.05  # solutions in another minimum of the posterior,
CONFUSED_LN = 0.445  # this far off in ln Teff; of a star hotter than the next, the other minimum is the cooler one
CONFUSED_COOLER_FROM_K = 9_000.0
COMPOSITE_LN = 0.10  # a binary's composite spectrum fits no single star: error of ln Teff per unit of ln(T1/T2) * share
# Hot stars come out too cool, ever more so (Fouesneau et al. 2023, A&A 674, A28, section 3.4; the published pipeline
# corrects it by a parabola): T_cat = T [1 - a (1 - exp(-(T - T0)/s))] above T0.
HOT_FROM_K = 10_000.0
HOT_LOSS = 0.45
HOT_SCALE_K = 12_000.0
TEFF_RANGE_K = (2_500.0, 50_000.0)
# Where there is a solution: published 58.4% of the rows. SET: limits that give as many; fits fail where BP is faint.
TEFF_LIMIT_BP = 19.9
TEFF_LIMIT_WIDTH = 0.25
TEFF_LIMIT_EBPRP = 0.64  # fits behind more dust than this mostly fail the filters
TEFF_LIMIT_EBPRP_WIDTH = 0.1
TEFF_SUCCESS = 0.985
# SET. log g and [M/H] take part of the error (published: given log g the stock forest gains 13%, with [M/H] 31%).
LOGG_PER_LN_TEFF = 1.2
LOGG_ERROR_DEX = 0.10
MH_PER_LN_TEFF = 2.5
MH_ERROR_DEX = 0.20
# E(B-V) of a map is that of the whole sightline, blurred by its beam: 16% at high latitudes, and not calibrated within
# 5 degrees of the plane, where most of these stars are and clouds within the beam make it wrong by a factor of about
# two (Schlegel et al. 1998, ApJ 500, 525, section 6 and appendix C). SET: how wrong, by what it was found to help.
MAP_ORDER = 7
MAP_ERROR = 0.75
MAP_FLOOR = 0.008
# Spectroscopic temperatures of bright hot stars; errors of 3% (e.g. Xiang et al. 2022, A&A 662, A66). SET: how many.
REFERENCE_FROM_K = 8_500.0
REFERENCE_LIMIT_G = 14.5
REFERENCE_SHARE = 0.08
REFERENCE_ERROR = 0.03
