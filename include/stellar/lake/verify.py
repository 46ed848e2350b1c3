"""Whether a snapshot's folder still holds, byte for byte and row for row, what was committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stellar.errors import StellarError
from stellar.sky.healpix import INDEX_COLUMN, Cell, spatial_index

from .hats import (
    CATALOG,
    COLLECTION,
    COMMON_METADATA,
    DATASET,
    MARGIN,
    METADATA,
    PARTITION_INFO,
    PROPERTIES,
    read_partition_info,
    read_properties,
)
from .verify_margins import margin_faults
from .write import file_sha256


class Fault(NamedTuple):
    """One thing that is wrong: in which file (below the snapshot's folder), and what."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


@dataclass(frozen=True)
class ExpectedFile:
    """A partition or a margin as it was committed; `file` is below the snapshot's folder."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Expected:
    """A snapshot as it was committed: partitions by name (`Norder=K/Npix=N`, `bucket=NNN` or a batch's id).

    Partitions and margins without rows have no file and are left out. `id_column` (one, or several) is None where rows
    have no fixed order; `margin_arcsec` is 0 where no margins are kept; `position` is where RA and declination are,
    as `hats.properties` says when it is not given.
    """

    partitions: Mapping[str, ExpectedFile]
    id_column: str | Sequence[str] | None = None
    margins: Mapping[str, ExpectedFile] = field(default_factory=dict)
    margin_arcsec: float = 0.0
    position: tuple[str, str] | None = None

    @property
    def id_columns(self) -> list[str]:
        return [self.id_column] if isinstance(self.id_column, str) else list(self.id_column or [])

    @property
    def table(self) -> str:
        """Folder of the rows, below the snapshot's, with a slash at its end."""
        return f"{CATALOG}/" if self.margin_arcsec else ""


def verify_snapshot(root: Path, expected: Expected, *, rows: bool = True) -> list[Fault]:
    """Compare a snapshot's folder with what was committed.

    Parameters
    ----------
    root : Path
        The snapshot's folder.
    expected : Expected
    rows : bool
        Also read rows: they lie in their cell, `_healpix_29` is that of their position, they are sorted, and the
        margins hold just those rows of the partitions that they should.

    Returns
    -------
    list of Fault
        Empty when all is well. A missing or unreadable file is a fault, not an error.
    """
    if not (root / expected.table / DATASET).is_dir():
        return [Fault(f"{expected.table}{DATASET}", "the folder is missing")]
    faults = list(_stray_files(root, expected))
    schema = _common_schema(root, f"{expected.table}{DATASET}/{COMMON_METADATA}", faults)
    position = expected.position or _position(root, expected)
    damaged: set[str] = set()
    for name, facts in sorted(expected.partitions.items()):
        found = list(_file_faults(root, facts, schema))
        if not found and rows:
            cell = Cell.parse(name) if name.startswith("Norder=") else None
            found = list(_row_faults(root, facts.file, cell, expected.id_columns, position))
        damaged |= {name} if found else set()
        faults += found
    if (root / expected.table / PARTITION_INFO).exists() or any(n.startswith("Norder=") for n in expected.partitions):
        faults += _catalog_faults(root, expected.table, expected.partitions)
    if expected.margin_arcsec:
        faults += _margin_faults(root, expected, schema, damaged, rows)
    return faults


def _margin_faults(
    root: Path, expected: Expected, schema: pa.Schema | None, damaged: set[str], rows: bool
) -> Iterator[Fault]:
    """Faults of the margins' files, of what lies beside them, and of their rows where the partitions are sound."""
    bad: set[str] = set()
    for name, facts in sorted(expected.margins.items()):
        found = list(_file_faults(root, facts, schema))
        bad |= {name} if found else set()
        yield from found
    if not (root / COLLECTION).is_file():
        yield Fault(COLLECTION, "the file is missing")
    if expected.margins:
        missing: list[Fault] = []
        _common_schema(root, f"{MARGIN}/{DATASET}/{COMMON_METADATA}", missing)
        yield from missing
        yield from _catalog_faults(root, f"{MARGIN}/", expected.margins)
        said = read_properties(root / MARGIN).get("hats_margin_threshold")
        if said is None or float(said) != expected.margin_arcsec:
            yield Fault(f"{MARGIN}/{PROPERTIES}", f"hats_margin_threshold is {said}, not {expected.margin_arcsec:g}")
    if rows:
        files = {Cell.parse(name): root / facts.file for name, facts in expected.partitions.items()}
        stored = {Cell.parse(name): facts.file for name, facts in expected.margins.items()}
        ids = expected.id_columns
        unsound = {Cell.parse(name) for name in damaged}, {Cell.parse(name) for name in bad}
        told = margin_faults(root, files, stored, expected.margin_arcsec, ids, *unsound)
        yield from (Fault(file, what) for file, what in told)


def _position(root: Path, expected: Expected) -> tuple[str, str]:
    said = read_properties(root / expected.table)
    return said.get("hats_col_ra", "ra"), said.get("hats_col_dec", "dec")


def _stray_files(root: Path, expected: Expected) -> Iterator[Fault]:
    known = {facts.file for facts in (*expected.partitions.values(), *expected.margins.values())}
    for table in (expected.table, f"{MARGIN}/"):
        known |= {f"{table}{DATASET}/{COMMON_METADATA}", f"{table}{DATASET}/{METADATA}"}
    for folder in (root / DATASET, root / CATALOG / DATASET, root / MARGIN / DATASET):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and name not in known:
                yield Fault(name, "is not part of the snapshot; remove it")


def _common_schema(root: Path, file: str, faults: list[Fault]) -> pa.Schema | None:
    try:
        return pq.read_schema(root / file)
    except (OSError, pa.ArrowInvalid) as error:
        faults.append(Fault(file, _unreadable(error)))
        return None


def _file_faults(root: Path, facts: ExpectedFile, schema: pa.Schema | None) -> Iterator[Fault]:
    path = root / facts.file
    if not path.is_file():
        yield Fault(facts.file, "the file is missing")
        return
    if (size := path.stat().st_size) != facts.bytes:
        yield Fault(facts.file, f"has {size} bytes, not {facts.bytes}")
    elif (digest := file_sha256(path)) != facts.sha256:
        yield Fault(facts.file, f"its SHA-256 is {digest[:16]}…, not {facts.sha256[:16]}…")
    try:
        footer = pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid) as error:
        yield Fault(facts.file, _unreadable(error))
        return
    if footer.num_rows != facts.rows:
        yield Fault(facts.file, f"has {footer.num_rows} rows, not {facts.rows}")
    if schema is not None and footer.schema.to_arrow_schema() != schema:
        yield Fault(facts.file, f"its columns are not those of {COMMON_METADATA}")


def _row_faults(
    root: Path, file: str, cell: Cell | None, ids: Sequence[str], position: tuple[str, str]
) -> Iterator[Fault]:
    with pq.ParquetFile(root / file) as parquet:
        present = parquet.schema_arrow.names
        keys = [name for name in (INDEX_COLUMN, *ids) if name in present]
        # Raw and quarantined rows keep positions as they came, and have no index.
        placed = list(position) if INDEX_COLUMN in present else []
        if lacking := [name for name in (*placed, *ids) if name not in present]:
            yield Fault(file, f"has no column {', '.join(lacking)}")
            return
        try:
            table = parquet.read(columns=list(dict.fromkeys([*keys, *placed])), use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            yield Fault(file, _unreadable(error))
            return
    for name in ids:
        if nulls := table[name].null_count:
            yield Fault(file, f"{nulls} rows have no {name}")
    if ids and not _is_sorted(table, keys):
        yield Fault(file, f"rows are not sorted by {', '.join(keys)}")
    if not placed:
        return
    index = table[INDEX_COLUMN].to_numpy()
    if cell is not None and (outside := int((~cell.contains(index)).sum())):
        yield Fault(file, f"{outside} rows lie outside {cell}")
    try:
        true = spatial_index(*(table[name].to_numpy() for name in placed))
    except StellarError as error:
        yield Fault(file, str(error))
        return
    if wrong := int((true != index).sum()):
        yield Fault(file, f"{INDEX_COLUMN} of {wrong} rows is not that of their {' and '.join(placed)}")


def _is_sorted(table: pa.Table, keys: list[str]) -> bool:
    if not keys or table.num_rows < 2:
        return True
    lead = table[keys[0]]
    if pa.types.is_integer(lead.type) and not lead.null_count and (np.diff(lead.to_numpy()) > 0).all():
        return True
    order = pc.sort_indices(table, sort_keys=[(key, "ascending") for key in keys]).to_numpy()
    # The sort is stable, so sorted rows come back in their own order.
    return bool((order == np.arange(len(order))).all())


def _catalog_faults(root: Path, table: str, files: Mapping[str, ExpectedFile]) -> Iterator[Fault]:
    counts = {Cell.parse(name): facts.rows for name, facts in files.items()}
    try:
        info = read_partition_info(root / table)
    except (OSError, ValueError, KeyError, IndexError) as error:
        yield Fault(f"{table}{PARTITION_INFO}", _unreadable(error))
    else:
        if info != counts:
            yield Fault(f"{table}{PARTITION_INFO}", "its cells or rows are not those of the snapshot")
    total = sum(counts.values())
    if (said := read_properties(root / table).get("hats_nrows")) != str(total):
        yield Fault(f"{table}{PROPERTIES}", f"hats_nrows is {said}, not {total}")


def _unreadable(error: Exception) -> str:
    return f"cannot be read: {' '.join(str(error).split())[:200]}"
