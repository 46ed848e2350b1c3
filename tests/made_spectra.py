"""Files of spectra in the layouts that surveys publish, by their public data models.

BOSS spec (DR18): https://data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/lite/PLATE4/spec.html;
mwmStar: https://data.sdss.org/datamodel/files/MWM_ASTRA/V_ASTRA/spectra/star/mwmStar.html, columns of sdss/astra;
apStar: https://data.sdss.org/datamodel/files/APOGEE_REDUX/APRED_VERS/stars/TELESCOPE/FIELD/apStar.html;
DESI: https://desidatamodel.readthedocs.io/en/latest/DESI_SPECTRO_REDUX/SPECPROD/tiles/GROUPTYPE/TILEID/GROUPID/coadd-SPECTROGRAPH-TILEID-GROUPID.html
"""

import io

import numpy as np
from astropy.io import fits

from stellar.surveys.readers.layouts import read_spectra_file
from stellar.surveys.readers.members import Member
from stellar.surveys.readers.spectrum_rows import BAD

BOSS_GRID = 10 ** (3.5523 + 1e-4 * np.arange(4648))
DESI_ARMS = {"B": (3600.0, 2751), "R": (5760.0, 2326), "Z": (7520.0, 2881)}  # first Angstrom, pixels of 0.8 Angstrom
SIGMA = 0.02


def star(wave, depth=0.6):
    """Flux of a made star at vacuum Angstrom: a slope, Balmer lines, the calcium triplet."""
    flux = (wave / 6000.0) ** -1.5
    for line, width in ((4102.9, 12), (4341.7, 12), (4862.7, 12), (6564.6, 10), (8500.4, 5), (8544.4, 5), (8664.5, 5)):
        flux = flux * (1 - depth * np.exp(-0.5 * ((wave - line) / width) ** 2))
    return flux


def seen(wave, depth=0.6, seed=0):
    """The same with noise, and its inverse variance."""
    noise = np.random.default_rng(seed).normal(0, SIGMA, len(wave))
    return star(wave, depth) + noise, np.full(len(wave), SIGMA**-2)


def written(hdus):
    out = io.BytesIO()
    fits.HDUList(hdus).writeto(out, checksum=True)
    return out.getvalue()


def table(name, **columns):
    """A binary table; arrays as they are, texts and numbers as single rows."""
    made = []
    for column, values in columns.items():
        values = np.atleast_1d(values)
        if values.dtype.kind in "SU":
            form = f"{max(len(str(one)) for one in values)}A"
        else:
            letter = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "i2": "I", "b1": "L"}[values.dtype.str[1:]]
            form = f"{values.shape[1] if values.ndim == 2 else ''}{letter}"
        made.append(fits.Column(column, form, array=values))
    return fits.BinTableHDU.from_columns(made, name=name)


def boss_spec(depth=0.6, *, catalogid=27021598150201532, objtype="science", and_mask=None):
    flux, ivar = seen(BOSS_GRID, depth)
    n = len(flux)
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "SDSS 2.5-M", "VERS2D": "v6_0_4", "OBSERVAT": "APO"})
    coadd = table(
        "COADD",
        FLUX=flux.astype("f4"),
        LOGLAM=np.log10(BOSS_GRID).astype("f4"),
        IVAR=ivar.astype("f4"),
        AND_MASK=np.zeros(n, "i4") if and_mask is None else and_mask,
        OR_MASK=np.full(n, 1 << 23, "i4"),
        WDISP=np.ones(n, "f4"),
        SKY=np.zeros(n, "f4"),
        MODEL=star(BOSS_GRID, depth).astype("f4"),
        WRESL=np.ones(n, "f4"),
    )
    spall = table(
        "SPALL",
        PROGRAMNAME="MWM",
        OBJTYPE=objtype,
        FIELD=np.array([15143], "i8"),
        MJD=np.array([59205], "i4"),
        CATALOGID=np.array([catalogid], "i8"),
        SDSS_ID=np.array([54392544], "i8"),
        PLUG_RA=np.array([219.2]),
        PLUG_DEC=np.array([38.4]),
        RACAT=np.array([219.2003]),
        DECCAT=np.array([38.4001]),
        CLASS="STAR",
        SUBCLASS="A0",
        Z=np.array([0.0], "f4"),
        Z_ERR=np.array([1e-5], "f4"),
        ZWARNING=np.array([0], "i4"),
        SN_MEDIAN_ALL=np.array([50.0], "f4"),
    )
    zall = table("ZALL", CLASS="STAR", Z=np.array([0.0], "f4"))
    zline = table("ZLINE", LINENAME="H_beta", LINEWAVE=np.array([4862.7]))
    return written([primary, coadd, spall, zall, zline])


def mwm(depth=0.6, *, visits=0, apogee=False):
    """mwmStar, or mwmVisit with so many visits; columns by name as Astra 0.6 writes them, pixels as arrays of a row."""
    primary = fits.PrimaryHDU()
    primary.header.update({"V_ASTRA": "0.6.0", "SDSS_ID": 54392544, "RA": 219.2, "DEC": 38.4})

    def part(instrument, observatory, wave, rows):
        many = [seen(wave, depth, seed) for seed in range(rows)]
        columns = {
            "spectrum_pk": np.arange(rows, dtype="i8"),
            "release": np.array(["sdss5"] * rows),
            "telescope": np.array([f"{observatory.lower()}25m"] * rows),
            **({"mjd": np.arange(59000, 59000 + rows, dtype="i4")} if visits else {}),
            **({} if visits else {"max_mjd": np.full(rows, 59010, "i4"), "v_rad": np.full(rows, -80.0)}),
            "snr": np.full(rows, 50.0),
            **({} if visits else {"wavelength": np.tile(wave, (rows, 1)).astype("f8")}),
            "flux": np.array([flux for flux, _ in many], "f4").reshape(rows, len(wave)),
            "ivar": np.array([ivar for _, ivar in many], "f4").reshape(rows, len(wave)),
            "pixel_flags": np.full((rows, len(wave)), 1 << 23, "i8"),
        }
        hdu = table(f"{instrument}/{observatory}", **columns)
        hdu.header.update({"INSTRMNT": instrument, "OBSRVTRY": observatory})
        hdu.header.update({"CRVAL": np.log10(wave[0]), "CDELT": np.log10(wave[1] / wave[0]), "NPIXELS": len(wave)})
        return hdu

    infrared = 10 ** (4.179 + 6e-6 * np.arange(8575))
    return written(
        [
            primary,
            part("BOSS", "APO", BOSS_GRID, visits or 1),
            part("BOSS", "LCO", BOSS_GRID, 0),
            part("APOGEE", "APO", infrared, 1 if apogee else 0),
            part("APOGEE", "LCO", infrared, 0),
        ]
    )


def apstar():
    wave = 10 ** (4.179 + 6e-6 * np.arange(8575))
    flux = np.array([star(wave), star(wave)], "f4")
    error = np.full(flux.shape, 0.01, "f4")
    error[:, :10] = 1e10
    mask = np.zeros(flux.shape, "i2")
    mask[0, 20] = 1 << 2  # saturated
    mask[0, 21] = 1 << 12  # a sky line, which is no fault
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(flux), fits.ImageHDU(error), fits.ImageHDU(mask)]
    hdus += [fits.ImageHDU(np.zeros_like(flux)) for _ in range(4)]
    hdus.append(table("RV", NVISITS=np.array([1], "i4")))
    hdus[0].header.update({"OBJID": "2M05560393-0133549", "NVISITS": 1, "RA": 89.0, "DEC": -1.5, "APRED": "1.2"})
    for hdu in hdus[1:4]:
        hdu.header.update({"CRVAL1": 4.179, "CDELT1": 6e-6, "CTYPE1": "LOG-LINEAR", "BUNIT": "Flux"})
    return written(hdus)


def desi_coadd(depths=(0.6, 0.1), *, sky=True, exposures=False, units="Angstrom"):
    """Targets of these depths of lines, and one fibre on empty sky."""
    targets = len(depths) + bool(sky)
    fibermap = {
        "TARGETID": np.arange(39627652591521181, 39627652591521181 + targets, dtype="i8"),
        "FIBER": np.arange(100, 100 + targets, dtype="i4"),
        "COADD_FIBERSTATUS": np.zeros(targets, "i4"),
        "TARGET_RA": np.linspace(10, 11, targets),
        "TARGET_DEC": np.linspace(-1, 1, targets),
        "REF_EPOCH": np.full(targets, 2015.5, "f4"),
        "OBJTYPE": np.array(["TGT"] * len(depths) + ["SKY"] * bool(sky)),
        **({"EXPID": np.full(targets, 70000, "i4")} if exposures else {}),
    }
    hdus = [fits.PrimaryHDU(), table("FIBERMAP", **fibermap), table("EXP_FIBERMAP", TARGETID=fibermap["TARGETID"])]
    scale = {"Angstrom": 1.0, "nm": 0.1}[units]
    for number, (arm, (first, pixels)) in enumerate(DESI_ARMS.items()):
        wave = first + 0.8 * np.arange(pixels)
        rows = [seen(wave, depth, seed=number + 10 * row) for row, depth in enumerate(depths)]
        flux = np.array([flux for flux, _ in rows] + [np.zeros(pixels)] * bool(sky), "f4")
        ivar = np.full(flux.shape, SIGMA**-2, "f4")
        mask = np.zeros(flux.shape, "i4")
        flux[:, 100], mask[:, 100] = 1e6, 1  # a cosmic ray, which the mask tells
        parts = {"WAVELENGTH": wave * scale, "FLUX": flux, "IVAR": ivar, "MASK": mask}
        made = [fits.ImageHDU(values, name=f"{arm}_{part}") for part, values in parts.items()]
        made[0].header["BUNIT"] = units
        made[1].header["BUNIT"] = "10**-17 erg/(s cm2 Angstrom)"
        hdus += [*made, fits.ImageHDU(np.zeros((targets, 11, pixels), "f4"), name=f"{arm}_RESOLUTION")]
    hdus.append(table("SCORES", TARGETID=fibermap["TARGETID"]))
    return written(hdus)


WAVE = BOSS_GRID[::2]
FLUX, IVAR = seen(WAVE)
ERROR = IVAR**-0.5


def read(data, name="star.fits"):
    """Rows of a file's bytes or text."""
    data = data.encode() if isinstance(data, str) else data
    return read_spectra_file(Member(name, data), {}).to_pylist()


def arrays(row):
    """Wavelength in Angstrom, flux, inverse variance and mask of a row."""
    return 10 ** np.array(row["loglam"]), np.array(row["flux"]), np.array(row["ivar"]), np.array(row["and_mask"])


def is_star(row, depth=0.6, sigmas=6.0, scale=1.0):
    """Whether every good pixel is within its noise of the star as it was made."""
    wave, flux, ivar, mask = arrays(row)
    good = (ivar > 0) & (mask & BAD == 0)
    assert good.sum() > 0.9 * len(wave) and (np.diff(wave) > 0).all()
    assert np.abs((flux - star(wave, depth) * scale) * np.sqrt(ivar))[good].max() < sigmas
