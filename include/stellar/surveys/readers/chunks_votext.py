"""Rows of a VOTable's TABLEDATA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.chunks_arrays import BadCell, parsed, parsed_lists
from stellar.surveys.readers.chunks_sources import SourceFile
from stellar.surveys.readers.chunks_vofields import VoField


class TextRows:
    """Cells as they come, and tables of them."""

    def __init__(self, source: SourceFile, fields: Sequence[VoField], columns: Sequence[str]) -> None:
        self.source, self.fields, self.columns = source, list(fields), list(columns)
        self.nbytes = self._before = 0
        self._rows: list[list[str]] = []
        self._row: list[str] = []

    @property
    def count(self) -> int:
        return len(self._rows)

    def cell(self, text: str) -> None:
        self._row.append(text)
        self.nbytes += len(text) + 56  # of a str beside its text

    def encoded(self, attributes: Mapping[str, str], fault: Callable[[str], InputError]) -> None:
        """A cell may be base64 by the standard; nobody writes it."""
        if "encoding" in attributes:
            raise fault(f"TD in encoding {attributes['encoding']!r} is not read; convert the file to Parquet")

    def end_row(self, fault: Callable[[str], InputError]) -> None:
        if len(self._row) != len(self.fields):
            raise fault(f"{len(self._row)} cells instead of {len(self.fields)}; mend the row or fetch the file again")
        self._rows.append(self._row)
        self._row = []

    def take(self) -> pa.Table:
        """The rows since the last call."""
        cells = list(zip(*self._rows, strict=True)) or [()] * len(self.fields)
        place = {column.name: i for i, column in enumerate(self.fields)}
        arrays = {}
        for name in self.columns:
            column = self.fields[place[name]]
            try:
                arrays[name] = _column(column, cells[place[name]])
            except BadCell as bad:
                row = self._before + bad.index + 1
                raise InputError(
                    f"{self.source}: row {row}, column {name}: {bad}, as the FIELD says; mend the cell or the FIELD"
                ) from None
        self._before += len(self._rows)
        self._rows, self.nbytes = [], 0
        return pa.table(arrays)


def _column(column: VoField, cells: Sequence[str]) -> pa.Array:
    type_ = column.type
    if not pa.types.is_list(type_) and not pa.types.is_fixed_size_list(type_):
        return parsed(cells, type_, None if column.is_text else column.null)
    if column.text_width is not None:  # texts of one width, one after the other
        width, count = column.text_width, getattr(type_, "list_size", None)
        texts = [[cell[i : i + width].strip() or None for i in range(0, len(cell), width)] for cell in cells]
        if count is not None:
            texts = [(row + [None] * count)[:count] for row in texts]
        return pa.array(texts, type_)
    if column.datatype == "bit":  # bits may stand without spaces between
        cells = [" ".join(cell.replace(" ", "")) for cell in cells]
    return parsed_lists(cells, column.scalar, column.count)
