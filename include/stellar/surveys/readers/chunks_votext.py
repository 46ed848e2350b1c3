"""Rows of a VOTable's TABLEDATA."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.csv as pa_csv

from stellar.errors import InputError
from stellar.surveys.readers.chunks_arrays import BadCell, parsed, parsed_lists
from stellar.surveys.readers.chunks_sources import SourceFile
from stellar.surveys.readers.chunks_vofields import VoField

_CELL_END = b"\x1f"  # no XML document may contain it


class TextRows:
    """Cells as they come, and tables of them.

    Parameters
    ----------
    prefix : str
        Of the document's tags, with its colon.
    """

    def __init__(self, source: SourceFile, fields: Sequence[VoField], columns: Sequence[str], prefix: str) -> None:
        self.source, self.fields, self.columns, self.prefix = source, list(fields), list(columns), prefix
        self.row_end = f"</{prefix}TR>".encode()
        self.count = self.nbytes = self._before = 0
        self._tables: list[pa.Table] = []
        self._rows: list[list[str]] = []
        self._row: list[str] = []

    def cell(self, text: str) -> None:
        """One cell of the row that is being read."""
        self._row.append(text)
        self.nbytes += len(text) + 56  # of a str beside its text

    def encoded(self, attributes: Mapping[str, str], fault: Callable[[str], InputError]) -> None:
        """A cell may be base64 by the standard; nobody writes it."""
        if "encoding" in attributes:
            raise fault(f"TD in encoding {attributes['encoding']!r} is not read; convert the file to Parquet")

    def end_row(self, fault: Callable[[str], InputError]) -> None:
        """The row is complete."""
        if len(self._row) != len(self.fields):
            raise fault(f"{len(self._row)} cells instead of {len(self.fields)}; mend the row or fetch the file again")
        self._rows.append(self._row)
        self.count += 1
        self._row = []

    def plain(self, data: bytes) -> bool:
        """Read whole rows that are nothing but TR and TD tags and text; False, and nothing done, if they are more."""
        text = self._separated(data)
        if text is None:
            return False
        names = [column.name for column in self.fields]
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(text),
                pa_csv.ReadOptions(use_threads=False, column_names=names, block_size=max(len(text), 1)),
                pa_csv.ParseOptions(delimiter=_CELL_END.decode(), quote_char=False, ignore_empty_lines=False),
                pa_csv.ConvertOptions(column_types={name: pa.string() for name in names}, include_columns=self.columns),
            )
        except pa.ArrowInvalid:
            return False
        if len(table) != data.count(self.row_end):  # a line end within a cell
            return False
        self._flush()
        self._add([table[name].combine_chunks() for name in self.columns], len(table))
        self.count += len(table)
        return True

    def _separated(self, data: bytes) -> bytes | None:
        """Cells set apart by a mark and rows by line ends; None if there are entities, comments or other tags."""
        if b"&" in data or b"<!" in data or b"<?" in data:
            return None
        row, cell = (f"{self.prefix}{tag}>".encode() for tag in ("TR", "TD"))
        data = data.strip()
        for space in sorted(set(re.findall(rb">(\s+)<", data[: 1 << 12])), key=len, reverse=True):
            data = data.replace(b">" + space + b"<", b"><")
        data = data.replace(b"<" + cell[:-1] + b"/>", b"<" + cell + b"</" + cell)
        first, last = b"<" + row + b"<" + cell, b"</" + cell + b"</" + row
        if not (data.startswith(first) and data.endswith(last)):
            return None
        data = data[len(first) : -len(last)].replace(last + first, b"\n").replace(b"</" + cell + b"<" + cell, _CELL_END)
        return None if b"<" in data or b"\r" in data else data

    def take(self) -> pa.Table:
        """The rows since the last call."""
        self._flush()
        tables, self._tables = self._tables, []
        self.count = self.nbytes = 0
        return pa.concat_tables(tables)

    def _flush(self) -> None:
        """Rows that were read cell by cell become a table."""
        if self._rows:
            place = {column.name: i for i, column in enumerate(self.fields)}
            cells = list(zip(*self._rows, strict=True))
            rows, self._rows, self.nbytes = len(self._rows), [], sum(table.nbytes for table in self._tables)
            self._add([cells[place[name]] for name in self.columns], rows)

    def _add(self, cells: Sequence[Sequence[str] | pa.Array], rows: int) -> None:
        fields = {column.name: column for column in self.fields}
        arrays = {}
        for name, column in zip(self.columns, cells, strict=True):
            try:
                arrays[name] = _column(fields[name], column)
            except BadCell as bad:
                row = self._before + bad.index + 1
                raise InputError(
                    f"{self.source}: row {row}, column {name}: {bad}, as the FIELD says; mend the cell or the FIELD"
                ) from None
        self._before += rows
        self._tables.append(pa.table(arrays))
        self.nbytes += self._tables[-1].nbytes


def _column(column: VoField, cells: Sequence[str] | pa.Array) -> pa.Array:
    type_ = column.type
    if not pa.types.is_list(type_) and not pa.types.is_fixed_size_list(type_):
        return parsed(cells, type_, None if column.is_text else column.null)
    texts = cells.to_pylist() if isinstance(cells, pa.Array) else cells
    if column.text_width is not None:  # texts of one width, one after the other
        width, count = column.text_width, getattr(type_, "list_size", None)
        split = [[text[i : i + width].strip() or None for i in range(0, len(text), width)] for text in texts]
        if count is not None:
            split = [(row + [None] * count)[:count] for row in split]
        return pa.array(split, type_)
    if column.datatype == "bit":  # bits may stand without spaces between
        texts = [" ".join(text.replace(" ", "")) for text in texts]
    return parsed_lists(texts, column.scalar, column.count)
