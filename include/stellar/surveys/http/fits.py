"""FITS files as they come over the wire: whole, and with the checksums that their headers promise."""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits

from stellar.surveys.http import checks
from stellar.surveys.http.checks import AnswerError

_ALL_ONES = 0xFFFFFFFF


def open_fits(body: bytes) -> fits.HDUList:
    """The HDUs of a verified file.

    Raises
    ------
    AnswerError
        When the file is cut off, is no FITS, or an HDU does not match its CHECKSUM.
    """
    checks.fits(body)
    try:
        hdus = fits.open(io.BytesIO(body), memmap=False, lazy_load_hdus=False)
    except (OSError, ValueError, TypeError, fits.VerifyError) as error:
        raise AnswerError(f"broken FITS file: {error}") from error
    for number, hdu in enumerate(hdus):
        at = hdu.fileinfo()
        end = at["datLoc"] + at["datSpan"]
        if end > len(body):
            raise AnswerError(f"the FITS file is cut off: HDU {number} ends at byte {end} of {len(body)}")
        if "CHECKSUM" in hdu.header and ones_complement_sum(body[at["hdrLoc"] : end]) != _ALL_ONES:
            raise AnswerError(f"HDU {number} does not match its CHECKSUM")
    return hdus


def ones_complement_sum(block: bytes) -> int:
    """32-bit ones'-complement sum; all ones for an HDU whose CHECKSUM holds (FITS standard 4.0, appendix J)."""
    total = int(np.frombuffer(block, ">u4").sum(dtype=np.uint64))
    while total > _ALL_ONES:
        total = (total & _ALL_ONES) + (total >> 32)
    return total


def native(values: np.ndarray, dtype: type) -> np.ndarray:
    """Contiguous values in this machine's byte order."""
    return np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("="))
