"""VOTable 1.4 as a stream of bytes: BINARY2 or TABLEDATA, batch by batch. https://www.ivoa.net/documents/VOTable/"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .results import Column

MIME = "application/x-votable+xml"
PIECE_BYTES = 4 << 20
# What XML 1.0 has no way to write.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_XML_RE2 = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f]"
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
    '<RESOURCE type="results">\n'
)
_TAIL = "</RESOURCE>\n</VOTABLE>\n"
OVERFLOW = '<INFO name="QUERY_STATUS" value="OVERFLOW">there are more rows; ask with a larger MAXREC</INFO>\n'


def error_document(message: str) -> bytes:
    """A VOTable that says what went wrong, as DALI asks."""
    return f'{_HEAD}<INFO name="QUERY_STATUS" value="ERROR">{_text(message)}</INFO>\n{_TAIL}'.encode()


def document(
    columns: Sequence[Column],
    batches: Iterable[pa.RecordBatch],
    infos: Sequence[tuple[str, str]],
    *,
    binary: bool,
) -> Iterator[bytes]:
    """A table; its caller ends it with `tail`, since overflow is known at the end only.

    Parameters
    ----------
    columns : sequence of Column
    batches : iterable of pyarrow.RecordBatch
        Of plain types (`stellar.serving.results`).
    infos : sequence of (name, value)
    binary : bool
        BINARY2, else TABLEDATA.
    """
    told = "".join(f"<INFO name={_attribute(name)} value={_attribute(value)}/>\n" for name, value in infos)
    fields = "".join(map(_field, columns))
    yield f'{_HEAD}<INFO name="QUERY_STATUS" value="OK"/>\n{told}<TABLE>\n{fields}<DATA>\n'.encode()
    forms = ["fixed" if column.arraysize.isdigit() else column.datatype for column in columns]
    if binary:
        yield b'<BINARY2>\n<STREAM encoding="base64">\n'
        left = b""
        for batch in _pieces(batches):
            data = left + rows_binary(batch, forms)
            whole = len(data) - len(data) % 57
            left = data[whole:]
            yield base64.encodebytes(data[:whole])
        yield base64.encodebytes(left)
        yield b"</STREAM>\n</BINARY2>\n"
    else:
        yield b"<TABLEDATA>\n"
        for batch in _pieces(batches):
            yield rows_text(batch)
        yield b"</TABLEDATA>\n"
    yield b"</DATA>\n</TABLE>\n"


def _pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches in pieces of some `PIECE_BYTES`, since writing one takes several times its memory."""
    for batch in batches:
        rows = max(1, int(PIECE_BYTES * batch.num_rows / max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def tail(overflow: bool) -> bytes:
    """The end of a document."""
    return f"{OVERFLOW if overflow else ''}{_TAIL}".encode()


def rows_binary(batch: pa.RecordBatch, forms: Sequence[str]) -> bytes:
    """Rows as BINARY2: a bit per null, then the values, big-endian; text as UTF-16 with its length before it.

    `forms` says of each column whether it is an array of a declared size (`fixed`), which has no length before it, or
    text of one byte a character (`char`); else it is the column's datatype.
    """
    n = batch.num_rows
    if not n:
        return b""
    mask = _null_bits(batch)
    # The bytes of every cell: (how many in each row, all of them one after another).
    cells = [(np.full(n, mask.shape[1]), mask.reshape(-1)), *map(_cells, batch.columns, forms)]
    widths = np.stack([width for width, _ in cells])
    starts = np.cumsum(widths.sum(axis=0)) - widths.sum(axis=0)
    out = np.empty(int(widths.sum()), np.uint8)
    for width, data in cells:
        out[_spread(starts, width)] = data
        starts = starts + width
    return out.tobytes()


def rows_text(batch: pa.RecordBatch) -> bytes:
    """Rows as TABLEDATA; a null is an empty cell."""
    if not batch.num_rows:
        return b""
    parts: list[pa.Array | pa.Scalar] = [pa.scalar("<TR>")]
    for column in batch.columns:
        parts += [pa.scalar("<TD>"), _shown(column), pa.scalar("</TD>")]
    parts.append(pa.scalar("</TR>\n"))
    lines = pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="")
    return "".join(lines.to_pylist()).encode()


def number_text(column: pa.Array) -> pa.Array:
    """Numbers as VOTable writes them: shortest, NaN, +Inf and -Inf."""
    text = column.cast(pa.string())
    if pa.types.is_floating(column.type):
        for word, there in (("nan", "NaN"), ("-nan", "NaN"), ("inf", "+Inf"), ("-inf", "-Inf")):
            text = pc.if_else(pc.equal(text, word), there, text)
    return text


def _shown(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        text = pc.replace_substring_regex(column, _NOT_XML_RE2, " ")
        for raw, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = pc.replace_substring(text, raw, entity)
        return text
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "T", "F")
    if pa.types.is_list(column.type):
        words = pc.fill_null(number_text(pc.list_flatten(column)), "NaN")
        ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy())
        return pc.binary_join(pa.ListArray.from_arrays(pa.array([0, *ends], pa.int32()), words), " ")
    return number_text(column)


def _null_bits(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    null = np.stack([column.is_null().to_numpy(zero_copy_only=False) for column in batch.columns], axis=1)
    return np.packbits(null, axis=1)


def _cells(column: pa.Array, form: str) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """How many bytes each value takes, and the bytes of all."""
    n = len(column)
    if pa.types.is_string(column.type) and form == "char":
        texts = [(text or "").encode("ascii", "replace") for text in column.to_pylist()]
        return _counted([np.frombuffer(text, np.uint8) for text in texts])
    if pa.types.is_string(column.type):
        return _text_cells(column)
    if pa.types.is_list(column.type):
        rows = [np.array([np.nan if x is None else x for x in row or ()], ">f8") for row in column.to_pylist()]
        return _counted(rows, counts=form != "fixed")
    if pa.types.is_boolean(column.type):
        values = column.to_numpy(zero_copy_only=False)
        letters = [b"?" if value is None else b"T" if value else b"F" for value in values]
        return np.full(n, 1), np.frombuffer(b"".join(letters), np.uint8)
    kind = np.dtype(column.type.to_pandas_dtype())
    nothing = np.nan if kind.kind == "f" else 0
    values = column.fill_null(pa.scalar(nothing, column.type)).to_numpy(zero_copy_only=False)
    data = np.ascontiguousarray(values.astype(kind.newbyteorder(">")))
    return np.full(n, kind.itemsize), data.view(np.uint8).reshape(-1)


def _text_cells(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    values = column.fill_null("")
    if pc.all(pc.string_is_ascii(values)).as_py():
        # Of each character its byte, behind a zero.
        lengths = pc.binary_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
        letters = np.frombuffer("".join(values.to_pylist()).encode("ascii"), np.uint8)
        data = np.zeros(4 * len(lengths) + 2 * len(letters), np.uint8)
        ends = np.cumsum(4 + 2 * lengths)
        starts = ends - (4 + 2 * lengths)
        data[_spread(starts, np.full(len(lengths), 4))] = lengths.astype(">i4").view(np.uint8)
        data[_spread(starts + 4, 2 * lengths)] = np.stack([np.zeros_like(letters), letters], axis=1).reshape(-1)
        return 4 + 2 * lengths, data
    return _counted([np.frombuffer(_text_of(text).encode("utf-16-be"), ">u2") for text in values.to_pylist()])


def _counted(rows: list[NDArray[np.generic]], *, counts: bool = True) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    parts = [(len(row).to_bytes(4, "big") if counts else b"") + row.tobytes() for row in rows]
    return np.array([len(part) for part in parts]), np.frombuffer(b"".join(parts), np.uint8)


def _spread(starts: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of bytes that lie in runs: run k from `starts[k]`, `widths[k]` long."""
    before = np.cumsum(widths) - widths
    return np.repeat(starts - before, widths) + np.arange(int(widths.sum()))


def _field(column: Column) -> str:
    given = {key: getattr(column, key) for key in ("name", "datatype", "arraysize", "xtype", "unit", "ucd", "utype")}
    text = " ".join(f"{key}={_attribute(value)}" for key, value in given.items() if value)
    if not column.description:
        return f"<FIELD {text}/>\n"
    return f"<FIELD {text}>\n<DESCRIPTION>{_text(column.description)}</DESCRIPTION>\n</FIELD>\n"


def _attribute(value: str) -> str:
    return quoteattr(_text_of(value))


def _text(value: str) -> str:
    return escape(_text_of(value))


def _text_of(value: str) -> str:
    return _NOT_XML.sub(" ", value)
