"""VOTable 1.4 documents: results with their fields, and errors. https://www.ivoa.net/documents/VOTable/20191021/"""

from __future__ import annotations

import io
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from stellar.archive.columns import Column
from stellar.archive.service.catalogue import Result

CONTENT_TYPE = "application/x-votable+xml"
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n<RESOURCE type="results">\n'
)
_TAIL = "</RESOURCE>\n</VOTABLE>\n"
_DATATYPES = {
    pa.bool_(): 'datatype="boolean"',
    pa.int16(): 'datatype="short"',
    pa.int32(): 'datatype="int"',
    pa.int64(): 'datatype="long"',
    pa.float32(): 'datatype="float"',
    pa.float64(): 'datatype="double"',
}


def document(result: Result, query: str) -> bytes:
    """The result as a VOTable with TABLEDATA; rows cut off by MAXREC are told by an OVERFLOW at the end."""
    fields = "".join(_field(column) for column in result.columns)
    overflow = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n' if result.overflow else ""
    head = (
        f'{_HEAD}<INFO name="QUERY_STATUS" value="OK"/>\n<INFO name="QUERY" value={quoteattr(query)}/>\n'
        f"<TABLE>\n{fields}<DATA>\n<TABLEDATA>\n"
    )
    tail = f"</TABLEDATA>\n</DATA>\n</TABLE>\n{overflow}{_TAIL}"
    return head.encode() + _rows(result.table) + tail.encode()


def error_document(message: str) -> bytes:
    """A VOTable whose QUERY_STATUS is ERROR, as DALI asks (https://www.ivoa.net/documents/DALI/)."""
    return f'{_HEAD}<INFO name="QUERY_STATUS" value="ERROR">{escape(message)}</INFO>\n{_TAIL}'.encode()


def csv_document(result: Result, first_line: str = "") -> bytes:
    """The result as CSV with a header; nulls are empty."""
    out = io.BytesIO(first_line.encode())
    out.seek(0, io.SEEK_END)
    header = ",".join(column.name for column in result.columns) + "\n"
    out.write(header.encode())
    pacsv.write_csv(result.table, out, pacsv.WriteOptions(include_header=False, quoting_style="needed"))
    return out.getvalue()


def _field(column: Column) -> str:
    datatype = _DATATYPES.get(column.type, 'datatype="char" arraysize="*"')
    attributes = f"{datatype} name={quoteattr(column.name)}"
    for key, value in (("unit", column.unit), ("ucd", column.ucd)):
        attributes += f" {key}={quoteattr(value)}" if value else ""
    return f"<FIELD {attributes}><DESCRIPTION>{escape(column.description)}</DESCRIPTION></FIELD>\n"


def _rows(table: pa.Table) -> bytes:
    if not table.num_rows:
        return b""
    parts: list[pa.Array | str] = ["<TR>"]
    for column in table.itercolumns():
        text = column.combine_chunks().cast(pa.string())
        if pa.types.is_string(column.type):
            for raw, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
                text = pc.replace_substring(text, raw, entity)
        parts += ["<TD>", text, "</TD>"]
    parts.append("</TR>\n")
    cells = [p if isinstance(p, pa.Array | pa.ChunkedArray) else pa.scalar(p) for p in parts]
    lines = pc.binary_join_element_wise(*cells, "", null_handling="replace", null_replacement="")
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "")
    return joined[0].as_buffer().to_pybytes()
