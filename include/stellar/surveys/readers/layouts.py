"""Any file of spectra: its layout is found by what is in it, and each spectrum becomes a row of the same columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers import layouts_desi, layouts_sdssv, layouts_specutils, layouts_tables
from stellar.surveys.readers.fits import opened
from stellar.surveys.readers.members import Member
from stellar.surveys.readers.parse import TOLD
from stellar.surveys.readers.spectrum_rows import Spectrum, to_table, told_apart

#: Layouts of FITS files, the narrow ones first: name, whether HDUs are of it, how they are read.
FITS_LAYOUTS = (
    ("SDSS-V BOSS spec", layouts_sdssv.is_boss, layouts_sdssv.read_boss),
    ("SDSS-V mwmStar or mwmVisit", layouts_sdssv.is_mwm, layouts_sdssv.read_mwm),
    ("APOGEE apStar", layouts_sdssv.is_apstar, layouts_sdssv.read_apstar),
    ("DESI coadd or spectra", layouts_desi.is_desi, layouts_desi.read_desi),
    ("table of a spectrum", layouts_tables.is_fits_table, layouts_tables.read_fits_table),
)
KNOWN = (*(name for name, _, _ in FITS_LAYOUTS), "CSV, ECSV, VOTable or text columns", "what specutils reads")


def read_spectra_file(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """Every spectrum of one file; see `spectrum_rows.to_table` for the columns.

    Names are unique within it; where they were made so, the schema's metadata `stellar.told` says it.

    Parameters
    ----------
    options
        `checksum` as of `fits.opened`.

    Raises
    ------
    InputError
        When the file is damaged, of a layout that is not known (its own is told, and those that are), or wrong in
        itself.
    """
    spectra = _of_fits(member, options) if member.data[:6] == b"SIMPLE" else layouts_tables.read_text(member)
    if not spectra:
        raise InputError(f"{member.name}: there is no spectrum in it")
    spectra, twice = told_apart(spectra)
    table = to_table(spectra)
    if not twice:
        return table
    names = f"{', '.join(twice[:5])}{' and more' if len(twice) > 5 else ''}"
    told = f"several of its spectra are called {names}: those after the first are numbered, as in {twice[0]}-2"
    return table.replace_schema_metadata({TOLD: told.encode()})


def _of_fits(member: Member, options: Mapping[str, Any]) -> list[Spectrum]:
    with opened(member, options) as hdus:
        if "COADD" in hdus and {"SPECOBJ", "SPALL"} & {hdu.name for hdu in hdus} and not layouts_sdssv.is_boss(hdus):
            raise InputError(f"{member.name}: a spectrum of a plate of SDSS-I to IV, which `sdss_spectrum` reads")
        for name, is_of, read in FITS_LAYOUTS:
            if is_of(hdus):
                try:
                    return read(hdus, member.name)
                except (KeyError, IndexError, TypeError, ValueError, AttributeError) as fault:
                    raise InputError(f"{member.name}: a damaged {name} file: {fault!r}") from None
        described = layouts_specutils.described(hdus)
    return layouts_specutils.read(member, described, KNOWN)
