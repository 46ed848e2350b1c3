"""What the two FITS writers share: headers from compact text, and files with checksums whose bytes never change."""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits

# The checksum cards carry a time in their comment; a fixed one keeps the bytes the same.
CHECKSUM_STAMP = "of the embedded archive"


def table_hdu(data: np.ndarray, name: str, cards: list[tuple], units: dict[str, str] | None = None) -> fits.BinTableHDU:
    """A binary table of a structured array, with the cards appended to its header."""
    hdu = fits.BinTableHDU(data=data, name=name)
    for index, column in enumerate(data.dtype.names, 1):
        if units and units.get(column):
            hdu.header.set(f"TUNIT{index}", units[column], after=f"TFORM{index}")
    hdu.header.extend(fits.Header([fits.Card(*card) for card in cards]), update=True, end=True)
    return hdu


def to_bytes(hdus: list) -> bytes:
    """The file, every HDU with CHECKSUM and DATASUM."""
    for hdu in hdus:
        hdu.add_checksum(when=CHECKSUM_STAMP)
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()
