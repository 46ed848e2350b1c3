"""Margins of a snapshot: for each partition, the rows of its neighbours that lie within a margin of its cell.

The rows of a cell that can be in anybody's margin are its edge, a few percent of it, kept in the home's cache under
the hash of the partition's file. A margin is made from the edges of the cells around, keyed by their files, and carried
over as partitions are.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stellar import store
from stellar.engine.keys import digest
from stellar.lake.hats import margin_file
from stellar.lake.margins import edge_mask, margin_rows, margin_sources
from stellar.lake.schema import stored_schema
from stellar.lake.write import WRITER, write_partition
from stellar.ledger.margins import StoredMargin
from stellar.sky.healpix import INDEX_COLUMN, Cell

MARGINS = 1  # raise it when a margin of the same rows would come out differently
_EMPTY = hashlib.sha256(b"").hexdigest()
_EDGES_IN_MEMORY = 256


@dataclass(frozen=True)
class Margin:
    """A margin that is ready to be put into a snapshot: where its file lies (None: no rows) and what it holds."""

    name: str
    key: str
    source: Path | None
    file: str | None
    rows: int
    bytes: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "key": self.key,
            "file": self.file,
            "rows": self.rows,
            "bytes": self.bytes,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class Part:
    """A partition of the snapshot to be: its cell, the file with its rows and the file's hash."""

    cell: Cell
    source: Path
    sha256: str


def keys(parts: Sequence[Part], margin_arcsec: float, ids: Sequence[str]) -> dict[Cell, tuple[str, list[Part]]]:
    """Cell -> key of its margin, and the partitions around that it is made from."""
    by_cell = {part.cell: part for part in parts}
    found = {}
    for cell, others in margin_sources([*by_cell], margin_arcsec).items():
        around = [by_cell[other] for other in others]
        content = [[str(one.cell), one.sha256] for one in around]
        found[cell] = digest(["margin", MARGINS, WRITER, str(cell), margin_arcsec, list(ids), content]), around
    return found


def make_margins(
    parts: Sequence[Part],
    margin_arcsec: float,
    ids: Sequence[str],
    stored: Mapping[str, StoredMargin],
    wanted: Mapping[Cell, tuple[str, list[Part]]],
    lake: Path,
    folder: Path,
    cache: Path,
    threads: int,
) -> list[Margin]:
    """Margins of all partitions of a snapshot: those in `stored` as they are, the others made in `folder`.

    Parameters
    ----------
    parts : sequence of Part
    margin_arcsec : float
    ids : sequence of str
        Columns that identify a row.
    stored : mapping
        Key -> margin of an earlier snapshot.
    wanted : mapping
        From `keys`.
    lake, folder, cache : Path
        The lake, where new files are written, and where edges are kept.
    threads : int
        How many are made at once.
    """
    schema = pq.read_schema(parts[0].source) if parts else None
    files = store.Files(lake)

    @lru_cache(maxsize=_EDGES_IN_MEMORY)
    def edge(part: Part) -> pa.Table:
        return read_edge(part, margin_arcsec, cache)

    def carried(cell: Cell, old: StoredMargin) -> Margin:
        source = lake / old.snapshot_path / old.path if old.path else None
        file = margin_file(cell) if source else None
        return Margin(str(cell), old.key, source, file, old.rows, old.bytes, old.file_sha256)

    def made(cell: Cell) -> Margin:
        key, around = wanted[cell]
        rows = [edge(part) for part in around]
        table = margin_rows(pa.concat_tables(rows), cell, margin_arcsec) if rows else _plain(schema.empty_table())
        if not len(table):
            return Margin(str(cell), key, None, None, 0, 0, _EMPTY)
        name = str(cell).replace("/", "-")
        file = write_partition(table, folder / f"{name}.margin.parquet", id_column=ids, sky=True, keep_index=True)
        return Margin(str(cell), key, file.path, margin_file(cell), file.rows, file.bytes, file.sha256)

    here = {cell: old for cell, (key, _) in wanted.items() if (old := stored.get(key)) and _is_there(files, old)}
    with ThreadPoolExecutor(max(1, threads)) as pool:
        fresh = dict(
            zip(lacking := [cell for cell in wanted if cell not in here], pool.map(made, lacking), strict=True)
        )
    return [fresh[cell] if cell in fresh else carried(cell, here[cell]) for cell in wanted]


def keep_edge(table: pa.Table, cell: Cell, margin_arcsec: float, path: Path) -> pa.Table:
    """Keep the rows of a partition that may lie in a margin of its neighbours in a file of their own; returns them."""
    index = table[INDEX_COLUMN].to_numpy()
    edge = _plain(table.filter(pa.array(edge_mask(index, cell, margin_arcsec))))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{uuid.uuid4().hex}.arrow")
    with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, edge.schema) as writer:
        writer.write_table(edge)
    draft.replace(path)
    return edge


def edge_file(cache: Path, sha256: str, margin_arcsec: float) -> Path:
    """Where the edge of a partition is kept, by the hash of the partition's file."""
    return cache / "edges" / sha256[:2] / f"{sha256}.{margin_arcsec!r}.arrow"


def read_edge(part: Part, margin_arcsec: float, cache: Path) -> pa.Table:
    """The rows of a partition that may lie in a margin of its neighbours: as kept, or from the partition itself."""
    path = edge_file(cache, part.sha256, margin_arcsec)
    try:
        with pa.OSFile(str(path), "rb") as source:
            return pa.ipc.open_file(source).read_all()
    except (FileNotFoundError, pa.ArrowInvalid):
        with pq.ParquetFile(part.source) as file:
            table = file.read(use_threads=False)
        return keep_edge(table, part.cell, margin_arcsec, path)


def _plain(table: pa.Table) -> pa.Table:
    """With the types that are stored, and without the metadata that files carry, so that edges go together."""
    return table.cast(stored_schema(table.schema)).replace_schema_metadata(None)


def _is_there(files: store.Files, old: StoredMargin) -> bool:
    return old.rows == 0 if old.path is None else files.has(f"{old.snapshot_path}/{old.path}", old.bytes)


def parts_of(made: Iterable[Any]) -> list[Part]:
    """Partitions with rows that lie in a cell, of what a commit has collected."""
    placed = [one for one in made if one.rows and one.name.startswith("Norder")]
    return [Part(Cell.parse(one.name), one.source, one.sha256) for one in placed]
