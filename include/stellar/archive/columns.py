"""The tables of the simulated sky: names, types, units and UCDs of every column, as the surveys publish them.

The builder casts to these, and the service describes its tables with them (TAP `/tables`, VOTable FIELDs).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa


class Column(NamedTuple):
    """One published column; `type` is an Arrow type."""

    name: str
    type: pa.DataType
    unit: str = ""
    ucd: str = ""
    description: str = ""


_TYPES = {
    "l": pa.int64(),
    "i": pa.int32(),
    "h": pa.int16(),
    "d": pa.float64(),
    "f": pa.float32(),
    "s": pa.string(),
    "b": pa.bool_(),
}


def parse_columns(text: str) -> tuple[Column, ...]:
    """Lines `name type unit ucd description`; `-` stands for no unit or no UCD."""
    columns = []
    for line in text.strip().splitlines():
        name, kind, unit, ucd, *rest = line.split(maxsplit=4)
        columns.append(
            Column(name, _TYPES[kind], "" if unit == "-" else unit, "" if ucd == "-" else ucd, rest[0] if rest else "")
        )
    return tuple(columns)


GAIA_SOURCE = parse_columns("""
solution_id l - meta.version Solution identifier
designation s - meta.id;meta.main Unique source designation
source_id l - meta.id Unique source identifier: level-12 HEALPix pixel * 2**35 + running number
random_index l - meta.code Random index for subsets
ref_epoch d yr meta.ref;time.epoch Reference epoch (Julian year)
ra d deg pos.eq.ra;meta.main Right ascension at ref_epoch
ra_error f mas stat.error;pos.eq.ra Standard error of right ascension * cos(dec)
dec d deg pos.eq.dec;meta.main Declination at ref_epoch
dec_error f mas stat.error;pos.eq.dec Standard error of declination
parallax d mas pos.parallax.trig Parallax; null for two-parameter solutions
parallax_error f mas stat.error;pos.parallax.trig Standard error of parallax
parallax_over_error f - stat.snr;pos.parallax.trig Parallax divided by its error
pm f mas/yr pos.pm;pos.eq Total proper motion
pmra d mas/yr pos.pm;pos.eq.ra Proper motion in right ascension * cos(dec)
pmra_error f mas/yr stat.error;pos.pm;pos.eq.ra Standard error of pmra
pmdec d mas/yr pos.pm;pos.eq.dec Proper motion in declination
pmdec_error f mas/yr stat.error;pos.pm;pos.eq.dec Standard error of pmdec
astrometric_params_solved h - meta.number 3 (two-parameter), 31 (five) or 95 (six)
nu_eff_used_in_astrometry f um**-1 em.wavenumber Effective wavenumber of the source used in the astrometric solution
pseudocolour f um**-1 em.wavenumber Astrometrically estimated pseudocolour of the source
astrometric_excess_noise f mas stat.value Excess noise of the source
ruwe f - stat.error Renormalised unit weight error
visibility_periods_used h - meta.number Visibility periods used
ipd_frac_multi_peak h - stat.fit.omit Percent of windows with more than one peak
duplicated_source b - meta.code.status Source with duplicate sources
phot_g_n_obs h - meta.number Number of observations to G
phot_g_mean_flux d electron/s phot.flux;em.opt G-band mean flux
phot_g_mean_flux_error f electron/s stat.error;phot.flux;em.opt Error of G-band mean flux
phot_g_mean_flux_over_error f - stat.snr;phot.flux;em.opt G-band mean flux divided by its error
phot_g_mean_mag f mag phot.mag;em.opt G-band mean magnitude
phot_bp_mean_flux d electron/s phot.flux;em.opt.B Integrated BP mean flux
phot_bp_mean_flux_error f electron/s stat.error;phot.flux;em.opt.B Error of the BP mean flux
phot_bp_mean_flux_over_error f - stat.snr;phot.flux;em.opt.B BP mean flux divided by its error
phot_bp_mean_mag f mag phot.mag;em.opt.B Integrated BP mean magnitude
phot_rp_mean_flux d electron/s phot.flux;em.opt.R Integrated RP mean flux
phot_rp_mean_flux_error f electron/s stat.error;phot.flux;em.opt.R Error of the RP mean flux
phot_rp_mean_flux_over_error f - stat.snr;phot.flux;em.opt.R RP mean flux divided by its error
phot_rp_mean_mag f mag phot.mag;em.opt.R Integrated RP mean magnitude
phot_bp_rp_excess_factor f - stat.value;phot.color BP/RP excess factor
bp_rp f mag phot.color;em.opt.B;em.opt.R BP - RP colour
radial_velocity f km/s spect.dopplerVeloc.opt;em.opt.I Radial velocity
radial_velocity_error f km/s stat.error;spect.dopplerVeloc.opt;em.opt.I Radial velocity error
phot_variable_flag s - meta.code;src.var VARIABLE or NOT_AVAILABLE
l d deg pos.galactic.lon Galactic longitude
b d deg pos.galactic.lat Galactic latitude
in_qso_candidates b - meta.code.status In the table of QSO candidates
in_galaxy_candidates b - meta.code.status In the table of galaxy candidates
non_single_star h - meta.code.status Bit 1 astrometric, 2 spectroscopic, 3 eclipsing binary
classprob_dsc_combmod_quasar f - stat.probability Probability from DSC-Combmod of being a quasar
classprob_dsc_combmod_galaxy f - stat.probability Probability from DSC-Combmod of being a galaxy
classprob_dsc_combmod_star f - stat.probability Probability from DSC-Combmod of being a single star
teff_gspphot f K phys.temperature.effective Effective temperature from GSP-Phot
teff_gspphot_lower f K phys.temperature.effective;stat.min Lower confidence level (16%)
teff_gspphot_upper f K phys.temperature.effective;stat.max Upper confidence level (84%)
logg_gspphot f log(cm.s**-2) phys.gravity Surface gravity from GSP-Phot
mh_gspphot f dex phys.abund.Fe Iron abundance from GSP-Phot
distance_gspphot f pc pos.distance;pos.eq Distance from GSP-Phot
ag_gspphot f mag phys.absorption;em.opt Extinction in G from GSP-Phot
ebpminrp_gspphot f mag phot.color.excess Reddening E(BP-RP) from GSP-Phot
""")

_PHOTO_BANDS = "\n".join(
    f"psfMag_{b} f mag phot.mag;em.opt PSF magnitude in {b}; -9999 where not measured\n"
    f"psfMagErr_{b} f mag stat.error;phot.mag Error of psfMag_{b}\n"
    f"modelMag_{b} f mag phot.mag;em.opt Better of the DeV/Exp fit magnitudes in {b}\n"
    f"modelMagErr_{b} f mag stat.error;phot.mag Error of modelMag_{b}\n"
    f"extinction_{b} f mag phys.absorption Galactic extinction in {b} (whole line of sight)"
    for b in "ugriz"
)
SDSS_PHOTOOBJ = parse_columns(f"""
objID l - meta.id;meta.main Composed of skyVersion, rerun, run, camcol, field and obj
skyVersion h - meta.version 2: best
run h - obs.field Run number
rerun h - meta.version Rerun number
camcol h - instr Camera column
field h - obs.field Field number
obj h - meta.id Object within the field
mode h - meta.code 1 primary, 2 secondary (the same object seen again)
type h - src.class 3 galaxy, 6 star
clean i - meta.code.qual 1 clean photometry, 0 not
flags l - meta.code.qual Photometric flags
ra d deg pos.eq.ra;meta.main Right ascension at the epoch of the image
dec d deg pos.eq.dec;meta.main Declination at the epoch of the image
raErr d arcsec stat.error;pos.eq.ra Error of ra * cos(dec)
decErr d arcsec stat.error;pos.eq.dec Error of dec
mjd i d time.epoch Date of the image
b d deg pos.galactic.lat Galactic latitude
l d deg pos.galactic.lon Galactic longitude
{_PHOTO_BANDS}
specObjID s - meta.id Spectrum of this object, 0 where none
score f - meta.code.qual Quality of the field, 0-1
""")

SDSS_SPECOBJ = parse_columns("""
specObjID s - meta.id;meta.main Unsigned 64-bit id, from plate, mjd, fiberID and run2d
bestObjID l - meta.id PhotoObj (position match); 0 where there is none
plate i - meta.id Plate number
mjd i d time.epoch MJD of the observation
fiberID i - meta.id Fibre number, from 1
run2d s - meta.version Reduction of the spectrum; part of its path
survey s - meta.id sdss, segue1 or boss
instrument s - instr SDSS or BOSS
programname s - meta.id Program
chunk s - meta.id Chunk
sourceType s - meta.id What it was targeted as
plug_ra d deg pos.eq.ra;meta.main Right ascension that the fibre was plugged at (epoch of the plate's targeting)
plug_dec d deg pos.eq.dec;meta.main Declination that the fibre was plugged at
ra d deg pos.eq.ra Same as plug_ra
dec d deg pos.eq.dec Same as plug_dec
class s - src.class STAR, QSO or GALAXY, by the pipeline
subClass s - src.spType Subclass by the pipeline
z f - src.redshift Redshift
zErr f - stat.error;src.redshift Error of z; negative where the fit failed
zWarning i - meta.code.qual Bit mask; 0 is good
rChi2 f - stat.fit.chi2 Reduced chi2 of the best fit
snMedian f - stat.snr Median S/N per pixel over all good pixels
sn_median_u f - stat.snr Median S/N in u
sn_median_g f - stat.snr Median S/N in g
sn_median_r f - stat.snr Median S/N in r
sn_median_i f - stat.snr Median S/N in i
sn_median_z f - stat.snr Median S/N in z
sciencePrimary h - meta.code Best observation of this object
plateQuality s - meta.code.qual good, marginal or bad
waveMin f Angstrom em.wl;stat.min Shortest wavelength
waveMax f Angstrom em.wl;stat.max Longest wavelength
spectroFlux_r f nanomaggy phot.flux;em.opt.R Spectrum projected on the r filter
elodieTEff f K phys.temperature.effective Of the best ELODIE template; 0 where none; not reliable
ebv f mag phot.color.excess SFD98 reddening in the line of sight (kept for SEGUE)
TEFFADOP f K phys.temperature.effective SSPP adopted effective temperature, -9999 where none
TEFFADOPUNC f K stat.error;phys.temperature.effective Error of TEFFADOP
LOGGADOP f dex phys.gravity SSPP adopted surface gravity, -9999 where none
LOGGADOPUNC f dex stat.error;phys.gravity Error of LOGGADOP
FEHADOP f dex phys.abund.Fe SSPP adopted [Fe/H], -9999 where none
FEHADOPUNC f dex stat.error;phys.abund.Fe Error of FEHADOP
RVADOP f km/s spect.dopplerVeloc SSPP adopted radial velocity, -9999 where none
RVADOPUNC f km/s stat.error;spect.dopplerVeloc Error of RVADOP
SPECTYPE_SUBCLASS s - src.spType Subclass that the SSPP started from
SSPP_FLAG s - meta.code.qual Five-letter SSPP flag, nnnnn is clean
""")

SDSS_SPECTRA = parse_columns("""
spec_row i - meta.id Row of the .npy arrays
plate i - meta.id Plate number
mjd i - time.epoch MJD
fiberID i - meta.id Fibre number
pix_start i - - First pixel of the grid that the file holds
pix_count i - - Number of pixels that the file holds
sky_scale f - - Scale of the sky template of this fibre
""")

TIC = parse_columns("""
ID s - meta.id;meta.main TESS Input Catalog identifier
version s - meta.version Version of the TIC
GAIA s - meta.id Gaia DR2 source id
ra d deg pos.eq.ra;meta.main Right ascension, epoch 2000
dec d deg pos.eq.dec;meta.main Declination, epoch 2000
ra_orig d deg pos.eq.ra Right ascension at epoch 2015.5 (Gaia DR2)
dec_orig d deg pos.eq.dec Declination at epoch 2015.5 (Gaia DR2)
pmRA d mas/yr pos.pm;pos.eq.ra Proper motion in right ascension * cos(dec)
pmDEC d mas/yr pos.pm;pos.eq.dec Proper motion in declination
plx d mas pos.parallax Parallax
objType s - src.class STAR or EXTENDED
GAIAmag d mag phot.mag;em.opt Gaia G
gaiabp d mag phot.mag;em.opt.B Gaia BP
gaiarp d mag phot.mag;em.opt.R Gaia RP
Tmag d mag phot.mag;em.opt.I TESS magnitude
e_Tmag d mag stat.error;phot.mag Error of Tmag
Teff d K phys.temperature.effective Effective temperature
e_Teff d K stat.error;phys.temperature.effective Error of Teff
logg d log(cm/s2) phys.gravity Surface gravity
MH d dex phys.abund Metallicity
rad d solRad phys.size.radius Radius
mass d solMass phys.mass Mass
d d pc pos.distance Distance
ebv d mag phot.color.excess Reddening E(B-V)
contratio d - - Contamination ratio
lumclass s - src.class DWARF, GIANT or SUBGIANT
""")

TESS_OBSERVATIONS = parse_columns("""
obsid s - meta.id;meta.main CAOM observation id (numeric string)
intentType s - - science
obs_collection s - - HLSP
provenance_name s - - TESS-SPOC
instrument_name s - instr Photometer
project s - - TESS
filters s - - TESS
wavelength_region s - - Optical
target_name s - meta.id TIC id
target_classification s - -
obs_id s - meta.id Observation name
s_ra d deg pos.eq.ra Right ascension (TIC, epoch 2000)
s_dec d deg pos.eq.dec Declination (TIC, epoch 2000)
dataproduct_type s - - timeseries
proposal_pi s - -
calib_level i - - 4
t_min d d time.start Start, MJD
t_max d d time.end End, MJD
t_exptime d s time.duration;obs.exposure Cadence, seconds
em_min d nm em.wl;stat.min 600
em_max d nm em.wl;stat.max 1000
obs_title s - -
t_obs_release d d time.release Release date, MJD
proposal_id s - -
proposal_type s - -
sequence_number i - - Sector
s_region s - - STC-S circle
jpegURL s - -
dataURL s - - Product uri, mast:HLSP/tess-spoc/...
dataRights s - - PUBLIC
mtFlag b - - False
srcDen d - -
objID s - meta.id CAOM plane id (numeric string)
productFilename s - - File name of the light curve
size l byte - Size of the file in bytes
tmag d mag phot.mag TESS magnitude (not part of CAOM)
""")

TESS_LIGHTCURVES = parse_columns("""
lc_row i - meta.id Row of the .npy arrays
ticid l - meta.id TIC id
sector i - - Sector
camera i - - Camera
ccd i - - CCD
dataURL s - - Product uri
ra d deg pos.eq.ra TIC position, epoch 2000
dec d deg pos.eq.dec TIC position, epoch 2000
pmra d mas/yr pos.pm Proper motion
pmdec d mas/yr pos.pm Proper motion
tmag d mag phot.mag TESS magnitude
teff d K phys.temperature.effective TIC Teff
logg d dex phys.gravity TIC logg
mh d dex phys.abund TIC metallicity
radius d solRad phys.size.radius TIC radius
flux_err f electron/s stat.error Error of one cadence
background f electron/s phot.flux Typical background flux
crowdsap f - - Flux of the target over flux in the aperture
column d pixel - Position on the CCD
row d pixel - Position on the CCD
""")

SIMBAD_BASIC = parse_columns("""
oid l - meta.record;meta.id Object internal identifier
main_id s - meta.id;meta.main Main identifier
ra d deg pos.eq.ra;meta.main Right ascension, ICRS, epoch 2000
dec d deg pos.eq.dec;meta.main Declination, ICRS, epoch 2000
coo_err_maj f mas phys.angSize.smajAxis;pos.errorEllipse Coordinate error
coo_err_min f mas phys.angSize.sminAxis;pos.errorEllipse Coordinate error
coo_bibcode s - meta.bib.bibcode Reference of the coordinates
pmra d mas.yr-1 pos.pm;pos.eq.ra Proper motion in ra * cos(dec)
pmdec d mas.yr-1 pos.pm;pos.eq.dec Proper motion in dec
plx_value d mas pos.parallax.trig Parallax
plx_err f mas stat.error;pos.parallax.trig Error of the parallax
rvz_radvel d km.s-1 spect.dopplerVeloc.opt Radial velocity
rvz_redshift d - src.redshift Redshift
otype s - src.class Main object type, short form (V3.5 names such as `EB*`, `RR*`)
otype_txt s - src.class The same as text
sp_type s - src.spType MK spectral type
sp_qual s - meta.code.qual;src.spType Quality A (best) to E
sp_bibcode s - meta.bib.bibcode Reference of the spectral type
nbref i - meta.bib;meta.number Number of references
update_date s - time.processing Date of the last change (ISO)
""")

SIMBAD_IDENT = parse_columns("""
oidref l - meta.record;meta.id oid of the object in basic
id s - meta.id Identifier, such as `Gaia DR3 123`, `TIC 123`, `SDSS J000000.00+200000.0`
""")

SIMBAD_VARTYPE = parse_columns("""
oidref l - meta.record;meta.id oid of the object in basic
vartyp s - src.class;src.var GCVS type: EA, EB, EW, RRAB, RRC, DSCT, BY, UV, SR, CST ...
period d d time.period Period
magtyp s - instr.filter Band of the magnitudes
uppVmax s - stat.max Limit flag
max f mag phot.mag;stat.max Brightest magnitude
min f mag phot.mag;stat.min Faintest magnitude
bibcode s - meta.bib.bibcode Reference
""")

TRUTH = parse_columns("""
star_id l - - Row of the simulated sky
field s - - halo or disc
component s - - thin, thick, halo, extragalactic
kind s - - MS, GIANT, HB, WD, CARBON, SUBDWARF, QSO, GALAXY
var_class s - - EA EB EW RRab RRc DSCT ROT FLARE SOLR CONST, or empty
letter s - - O B A F G K M WD CARBON QSO GALAXY
ra d deg - Right ascension at 2016.0, without error
dec d deg - Declination at 2016.0, without error
pmra d mas/yr - Proper motion
pmdec d mas/yr - Proper motion
rv_kms d km/s - Radial velocity
redshift d - - Redshift (cosmological for QSO and GALAXY)
distance_pc d pc - Distance
teff_k d K - Effective temperature
logg_dex d dex - Surface gravity
feh_dex d dex - [Fe/H]
mass_msun d solMass - Mass
radius_rsun d solRad - Radius
abs_g_mag d mag - Absolute G
a_v_mag d mag - Extinction in V
g_mag d mag - Gaia G, without error
bp_mag d mag - BP
rp_mag d mag - RP
sdss_u d mag - SDSS u
sdss_g d mag - SDSS g
sdss_r d mag - SDSS r
sdss_i d mag - SDSS i
sdss_z d mag - SDSS z
tess_mag d mag - TESS magnitude
period_d d d - Period of the variability
amplitude_frac d - - Its amplitude as a fraction of the flux
source_id l - - Gaia source_id, 0 where Gaia has none
objid l - - Primary PhotoObj, 0 where none
specobjid s - - First spectrum, empty where none
ticid l - - TIC id, 0 where none
simbad_oid l - - SIMBAD oid, 0 where none
""")

TABLES: dict[str, tuple[Column, ...]] = {
    "gaia_source": GAIA_SOURCE,
    "sdss_photoobj": SDSS_PHOTOOBJ,
    "sdss_specobj": SDSS_SPECOBJ,
    "sdss_spectra": SDSS_SPECTRA,
    "tic": TIC,
    "tess_observations": TESS_OBSERVATIONS,
    "tess_lightcurves": TESS_LIGHTCURVES,
    "simbad_basic": SIMBAD_BASIC,
    "simbad_ident": SIMBAD_IDENT,
    "simbad_vartype": SIMBAD_VARTYPE,
    "truth": TRUTH,
}


def to_table(name: str, arrays: dict[str, np.ndarray]) -> pa.Table:
    """An Arrow table of the published columns of table `name`; NaN in a float column becomes null.

    Raises
    ------
    KeyError
        When `arrays` lacks a column of the table.
    """
    columns = []
    for column in TABLES[name]:
        values = arrays[column.name]
        if isinstance(values, pa.Array):
            columns.append(values.cast(column.type))
        else:
            columns.append(pa.array(values, type=column.type, from_pandas=pa.types.is_floating(column.type)))
    schema = pa.schema([(c.name, c.type) for c in TABLES[name]])
    return pa.Table.from_arrays(columns, schema=schema)
