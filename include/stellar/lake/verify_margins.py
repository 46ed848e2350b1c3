"""Whether margins hold just the rows of the partitions that they should: they are made again and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.sky.healpix import INDEX_COLUMN, Cell

from .canonical import canonical
from .hats import margin_file
from .margins import edge_mask, margin_rows, margin_sources
from .schema import stored_schema
from .write import encoded

# Edges are a few percent of their partitions. Cells come in their order on the sky, so that few are read twice.
_EDGES_IN_MEMORY = 256


def margin_faults(
    root: Path,
    partitions: Mapping[Cell, Path],
    margins: Mapping[Cell, str],
    margin_arcsec: float,
    ids: Sequence[str],
    damaged: set[Cell],
    known: set[Cell],
) -> Iterator[tuple[str, str]]:
    """Files of margins and what is wrong with their rows.

    Parameters
    ----------
    root : Path
        The snapshot's folder.
    partitions : mapping of Cell to Path
    margins : mapping of Cell to str
        Files below `root`, of margins that have rows.
    margin_arcsec : float
    ids : sequence of str
    damaged : set of Cell
        Partitions whose rows cannot be trusted: what is made from them is not judged.
    known : set of Cell
        Margins that are faulty already.
    """

    @lru_cache(maxsize=_EDGES_IN_MEMORY)
    def edge(cell: Cell) -> pa.Table:
        return _edge(partitions[cell], cell, margin_arcsec)

    for cell, around in margin_sources([*partitions], margin_arcsec).items():
        if cell in known or damaged & set(around):
            continue
        parts = [edge(one) for one in around]
        wanted = margin_rows(pa.concat_tables(parts), cell, margin_arcsec) if parts else None
        file = margins.get(cell)
        if file is None:
            if wanted is not None and wanted.num_rows:
                yield margin_file(cell), f"is missing: {wanted.num_rows} rows of neighbours lie in the margin of {cell}"
            continue
        with pq.ParquetFile(root / file) as stored:
            found = _plain(stored.read(use_threads=False))
        yield from ((file, what) for what in _difference(found, wanted, ids))
    for cell in sorted(set(margins) - set(partitions), key=Cell.range29):
        yield margins[cell], f"is the margin of {cell}, which has no rows of its own"


def _edge(path: Path, cell: Cell, margin_arcsec: float) -> pa.Table:
    with pq.ParquetFile(path) as file:
        index = file.read(columns=[INDEX_COLUMN], use_threads=False).column(0).to_numpy()
        near = edge_mask(index, cell, margin_arcsec)
        table = file.read(use_threads=False) if near.any() else file.schema_arrow.empty_table()
    return _plain(table.filter(pa.array(near)) if table.num_rows else table)


def _plain(table: pa.Table) -> pa.Table:
    return table.cast(stored_schema(table.schema)).replace_schema_metadata(None)


def _difference(found: pa.Table, wanted: pa.Table | None, ids: Sequence[str]) -> Iterator[str]:
    if wanted is None:
        wanted = found.slice(0, 0)
    lost, extra = (_count_beyond(one, other, ids) for one, other in ((wanted, found), (found, wanted)))
    if lost:
        yield f"lacks {lost} of the {wanted.num_rows} rows of its neighbours that lie in the margin"
    if extra:
        yield f"holds {extra} rows that are none of its neighbours' within the margin"
    if not lost and not extra:
        # NaNs in lists are equal in bytes alone.
        wanted = canonical(wanted, id_column=list(ids), sky=True, keep_index=True)
        if not encoded(wanted).equals(encoded(found.combine_chunks())):
            yield "its rows differ from those of the partitions that they come from, or in their order"


def _count_beyond(one: pa.Table, other: pa.Table, ids: Sequence[str]) -> int:
    """Rows of one table whose index and ids are not in the other."""
    keys = [INDEX_COLUMN, *ids]
    return one.select(keys).join(other.select(keys), keys, join_type="left anti").num_rows
