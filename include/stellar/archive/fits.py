"""What the two FITS writers share: whole HDUs as bytes, with checksums, in about a millisecond.

astropy makes the headers of the tables (once per layout) and formats the cards; the file is put together here,
because building table HDUs anew for each file takes tens of milliseconds and stamps the time into the checksum cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from astropy.io import fits

BLOCK = 2880
Card = tuple[str, object, str]


def cards_text(cards: Sequence[Card]) -> str:
    """Header cards of 80 characters each; NaN and None become undefined values, as SPOC writes them."""
    out = []
    for keyword, value, comment in cards:
        missing = value is None or (isinstance(value, float) and value != value)
        text = str(fits.Card(keyword, fits.card.UNDEFINED if missing else value, comment))
        if len(text) != 80:
            raise ValueError(f"header card {keyword} does not fit in 80 characters: {value!r}")
        out.append(text)
    return "".join(out)


def primary_bytes(cards: Sequence[Card]) -> bytes:
    """A primary HDU without data."""
    opening = [
        ("SIMPLE", True, "conforms to FITS standard"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 0, "number of array dimensions"),
        ("EXTEND", True, "file contains extensions"),
    ]
    return _hdu_bytes(cards_text([*opening, *cards]), b"")


def table_bytes(
    data: np.ndarray, name: str, cards: Sequence[Card] = (), units: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """A binary-table HDU of a structured array of big-endian fields."""
    before, after = _table_header(data.dtype, name, units)
    rows = cards_text([("NAXIS2", len(data), "number of table rows")])
    return _hdu_bytes(before + rows + after + cards_text(cards), data.tobytes())


def image_bytes(data: np.ndarray, name: str, cards: Sequence[Card] = ()) -> bytes:
    """An image HDU of a two-dimensional big-endian int32 array."""
    opening = [
        ("XTENSION", "IMAGE", "Image extension"),
        ("BITPIX", 32, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", data.shape[1], ""),
        ("NAXIS2", data.shape[0], ""),
        ("PCOUNT", 0, "number of parameters"),
        ("GCOUNT", 1, "number of groups"),
        ("EXTNAME", name, "name of extension"),
    ]
    return _hdu_bytes(cards_text([*opening, *cards]), data.astype(">i4").tobytes())


@lru_cache(maxsize=16)
def _table_header(dtype: np.dtype, name: str, units: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    hdu = fits.BinTableHDU(data=np.zeros(1, dtype=dtype), name=name)
    for column, unit in units:
        hdu.header.set(f"TUNIT{dtype.names.index(column) + 1}", unit, after=f"TFORM{dtype.names.index(column) + 1}")
    cards = [str(card) for card in hdu.header.cards]
    here = next(i for i, card in enumerate(cards) if card.startswith("NAXIS2 "))
    return "".join(cards[:here]), "".join(cards[here + 1 :])


def _hdu_bytes(header: str, data: bytes) -> bytes:
    data += b"\0" * (-len(data) % BLOCK)
    data_sum = _sum32(data)
    header += cards_text([("DATASUM", str(data_sum), "data unit checksum")])
    place = len(header) + len("CHECKSUM= '")
    header += cards_text([("CHECKSUM", "0" * 16, "HDU checksum")]) + "END".ljust(80)
    raw = header.encode("ascii")
    raw += b" " * (-len(raw) % BLOCK)
    total = _fold(_sum32(raw) + data_sum)
    return raw[:place] + _encode(~total & 0xFFFFFFFF) + raw[place + 16 :] + data


def _fold(total: int) -> int:
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _sum32(raw: bytes) -> int:
    """Ones' complement sum of 32-bit words (FITS standard 4.0, appendix J)."""
    return _fold(int(np.frombuffer(raw, dtype=">u4").sum(dtype=np.uint64)))


def _encode(value: int) -> bytes:
    """The 16 characters that make an HDU's sum zero: each byte as four that add up to it, none of them punctuation."""
    punctuation = set(b":;<=>?@[\\]^_`")
    out = bytearray(16)
    for position in range(4):
        byte = (value >> (24 - 8 * position)) & 0xFF
        four = [byte // 4 + 48] * 4
        four[0] += byte % 4
        while punctuation & set(four):
            for pair in (0, 2):
                if {four[pair], four[pair + 1]} & punctuation:
                    four[pair] += 1
                    four[pair + 1] -= 1
        for index, character in enumerate(four):
            out[4 * index + position] = character
    return bytes(out[-1:] + out[:-1])  # the standard rotates by one: the string starts in column 12 of the card
