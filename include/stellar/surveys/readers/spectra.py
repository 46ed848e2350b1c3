"""Readers of spectra: SDSS and BOSS `spec-PLATE-MJD-FIBER.fits` and LAMOST DR1 `spec-….fits`, one row a file; the
templates of the SDSS pipeline, one row a template.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.fits import card, native, opened
from stellar.surveys.readers.members import Member

FLOATS, INTS = pa.list_(pa.float32()), pa.list_(pa.int32())
# Raw column -> column of the file's SPECOBJ table: what SkyServer's SpecObj calls them, and what the files do.
_SPECOBJ = {
    "specobjid": "SPECOBJID",
    "bestobjid": "BESTOBJID",
    "plate": "PLATE",
    "mjd": "MJD",
    "fiberid": "FIBERID",
    "run2d": "RUN2D",
    "survey": "SURVEY",
    "instrument": "INSTRUMENT",
    "programname": "PROGRAMNAME",
    "ra": "PLUG_RA",
    "dec": "PLUG_DEC",
    "class": "CLASS",
    "subclass": "SUBCLASS",
    "z": "Z",
    "zerr": "Z_ERR",
    "zwarning": "ZWARNING",
    "snmedian": "SN_MEDIAN_ALL",
    "platequality": "PLATEQUALITY",
    "elodieteff": "ELODIE_TEFF",
}


def read_sdss_spectrum(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """One SDSS or BOSS spectrum: SpecObj's columns and the lists loglam, flux, ivar, and_mask.

    The layout is that of https://data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/PLATE4/spec.html.
    """
    with opened(member, options) as hdus:
        names = [hdu.name for hdu in hdus]
        if "COADD" not in names or not {"SPECOBJ", "SPALL"} & set(names):
            raise InputError(f"{member.name}: no extensions COADD and SPECOBJ (it has {names}); not an SDSS spectrum")
        about = hdus["SPECOBJ" if "SPECOBJ" in names else "SPALL"].data
        coadd = hdus["COADD"].data
        if len(about) != 1:
            raise InputError(f"{member.name}: SPECOBJ has {len(about)} rows instead of 1")
        there = {name.upper(): name for name in about.names}
        if not {"PLATE", "FIBERID"} <= set(there):  # those of SDSS-V are named by field and catalogue
            raise InputError(f"{member.name}: no PLATE and FIBERID; not a spectrum of SDSS-I to IV")
        row: dict[str, Any] = {k: _scalar(about[there[v]][0]) if v in there else None for k, v in _SPECOBJ.items()}
        lists = {
            "loglam": native(coadd["loglam"], np.float32),
            "flux": native(coadd["flux"], np.float32),
            "ivar": native(coadd["ivar"], np.float32),
            "and_mask": native(coadd["and_mask"], np.int32),
        }
    return _one_row(row, lists)


def read_lamost_spectrum(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """One LAMOST DR1 spectrum: rows of the image are flux, inverse variance, normalised flux, and-mask, or-mask.

    Wavelengths are not stored: pixel i has log10(lambda / Angstrom) = COEFF0 + i * COEFF1, in vacuum.
    """
    with opened(member, options) as hdus:
        header, image = hdus[0].header, hdus[0].data
        start, step = card(header, "COEFF0"), card(header, "COEFF1")
        if image is None or image.ndim != 2 or len(image) < 4 or start is None or step is None:
            raise InputError(f"{member.name}: no image of 4 rows with COEFF0 and COEFF1; not a LAMOST spectrum")
        row = {
            "spec_name": PurePosixPath(member.name).name.removesuffix(".fits").removeprefix("spec-"),
            "designation": str(card(header, "DESIG") or "").removeprefix("LAMOST").strip() or None,
            "ra": card(header, "RA"),
            "dec": card(header, "DEC"),
            "mjd": card(header, "MJD"),
            "lmjd": card(header, "LMJD"),
            "planid": card(header, "PLANID"),
            "spid": card(header, "SPID"),
            "fiberid": card(header, "FIBERID"),
            "fibertype": card(header, "FIBERTYP"),
            "objtype": card(header, "OBJTYPE"),
            "class": card(header, "CLASS"),
            "subclass": card(header, "SUBCLASS"),
            "z": card(header, "Z"),
            "zerr": card(header, "Z_ERR"),
            **{f"sn{band}": card(header, f"SN_{band.upper()}") for band in "ugriz"},
            **{f"mag{i}": card(header, f"MAG{i}") for i in range(1, 8)},
            "magtype": card(header, "MAGTYPE"),
        }
        lists = {
            "loglam": (start + step * np.arange(image.shape[1])).astype(np.float32),
            "flux": native(image[0], np.float32),
            "ivar": native(image[1], np.float32),
            "and_mask": native(np.nan_to_num(image[3]), np.int32),
        }
    return _one_row(row, lists)


def read_sdss_eigen(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """Templates of stars of idlspec2d, `spEigenStar-MJD.fits`: one row a template, named as in the card NAMEn.

    A name is a type and, in brackets, a star: `A0IVn (25642)`; templates made by principal components have no star.
    Pixel i has log10(lambda / Angstrom) = COEFF0 + i * COEFF1, in vacuum; flux 0 means that there is none.
    """
    with opened(member, options) as hdus:
        header, image = hdus[0].header, hdus[0].data
        start, step = card(header, "COEFF0"), card(header, "COEFF1")
        if image is None or image.ndim != 2 or start is None or step is None or card(header, "NAME0") is None:
            raise InputError(
                f"{member.name}: no image with COEFF0, COEFF1 and NAME0; not a file of SDSS star templates"
            )
        names = [card(header, f"NAME{row}") for row in range(len(image))]
        if None in names:
            raise InputError(f"{member.name}: {len(image)} templates, but no card NAME{names.index(None)}")
        names = [str(name).strip() for name in names]
        loglam = (start + step * np.arange(image.shape[1])).astype(np.float32)
        flux = native(image, np.float32)
    parts = [name.partition(" (") for name in names]
    return pa.table(
        {
            "template_name": pa.array(names, pa.string()),
            "type_name": pa.array([kind.strip() for kind, _, _ in parts], pa.string()),
            "star": pa.array([star.removesuffix(")") or None for _, _, star in parts], pa.string()),
            "loglam": pa.array([loglam] * len(names), FLOATS),
            "flux": pa.array(list(np.where(flux == 0, np.float32(np.nan), flux)), FLOATS),
        }
    )


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip() or None
    return value.item() if hasattr(value, "item") else value


def _one_row(row: Mapping[str, Any], lists: Mapping[str, np.ndarray]) -> pa.Table:
    columns = {name: pa.array([value]) for name, value in row.items()}
    for name, values in lists.items():
        columns[name] = pa.array([values], INTS if values.dtype.kind == "i" else FLOATS)
    return pa.table(columns)
