"""Opening FITS files of unknown health."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from stellar.errors import InputError
from stellar.surveys.readers.members import Member


@contextmanager
def opened(member: Member, options: Mapping[str, Any]) -> Iterator[Any]:
    """The file's HDUs.

    Parameters
    ----------
    options
        `checksum: true` refuses a file whose CHECKSUM or DATASUM cards do not agree with its content. Off unless given:
        published files that a tool cut or edited often keep their old cards.

    Raises
    ------
    InputError
        When it is no FITS file, ends early, or (with `checksum`) is not what its cards say.
    """
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning, AstropyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        warnings.filterwarnings("error", message=".*(truncated|[Cc]hecksum|[Dd]atasum).*", category=AstropyUserWarning)
        try:
            with fits.open(
                io.BytesIO(member.data), checksum=bool(options.get("checksum", False)), lazy_load_hdus=False
            ) as hdus:
                yield hdus
        except InputError:
            raise
        except (OSError, ValueError, TypeError, KeyError, AstropyUserWarning, fits.VerifyError) as fault:
            raise InputError(f"{member.name}: not a healthy FITS file: {fault}; fetch it again") from None


def native(values: Any, dtype: type) -> npt.NDArray[Any]:
    """A FITS column (big-endian) as an array of this machine's byte order, shape (n,)."""
    return np.ascontiguousarray(np.asarray(values), dtype=np.dtype(dtype).newbyteorder("="))


def card(header: Any, *names: str) -> Any:
    """The first of these cards that the header has with a value, else None."""
    for name in names:
        value = header.get(name)
        if isinstance(value, str | int | float | bool) and value != "":
            return value
    return None
