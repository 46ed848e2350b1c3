"""Whether a snapshot's folder still holds, byte for byte and row for row, what was committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stellar.errors import StellarError
from stellar.sky.healpix import INDEX_COLUMN, Cell, spatial_index

from .hats import (
    COMMON_METADATA,
    DATASET,
    METADATA,
    PARTITION_INFO,
    read_partition_info,
    read_properties,
)
from .write import file_sha256


class Fault(NamedTuple):
    """One thing that is wrong: in which file (below the snapshot's folder), and what."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


@dataclass(frozen=True)
class ExpectedFile:
    """A partition as it was committed; `file` is below the snapshot's folder."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Expected:
    """A snapshot as it was committed: partitions by name (`Norder=K/Npix=N`, `bucket=NNN` or a batch's id).

    Partitions without rows have no file and are left out. `id_column` is None where rows have no fixed order.
    """

    partitions: Mapping[str, ExpectedFile]
    id_column: str | None = None


def verify_snapshot(root: Path, expected: Expected, *, rows: bool = True) -> list[Fault]:
    """Compare a snapshot's folder with what was committed.

    Parameters
    ----------
    root : Path
        The snapshot's folder.
    expected : Expected
    rows : bool
        Also read rows: they lie in their cell, `_healpix_29` is that of their position, and they are sorted.

    Returns
    -------
    list of Fault
        Empty when all is well. A missing or unreadable file is a fault, not an error.
    """
    if not (root / DATASET).is_dir():
        return [Fault(DATASET, "the folder is missing")]
    faults = list(_stray_files(root, expected))
    schema = _common_schema(root, faults)
    for name, facts in sorted(expected.partitions.items()):
        found = list(_file_faults(root, facts, schema))
        if not found and rows:
            cell = Cell.parse(name) if name.startswith("Norder=") else None
            found = list(_row_faults(root, facts.file, cell, expected.id_column))
        faults += found
    if (root / PARTITION_INFO).exists() or any(name.startswith("Norder=") for name in expected.partitions):
        faults += _catalog_faults(root, expected)
    return faults


def _stray_files(root: Path, expected: Expected) -> Iterator[Fault]:
    known = {facts.file for facts in expected.partitions.values()}
    known |= {f"{DATASET}/{COMMON_METADATA}", f"{DATASET}/{METADATA}"}
    for path in sorted((root / DATASET).rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name not in known:
            yield Fault(name, "is not part of the snapshot; remove it")


def _common_schema(root: Path, faults: list[Fault]) -> pa.Schema | None:
    path = root / DATASET / COMMON_METADATA
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        faults.append(Fault(f"{DATASET}/{COMMON_METADATA}", _unreadable(error)))
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


def _row_faults(root: Path, file: str, cell: Cell | None, id_column: str | None) -> Iterator[Fault]:
    with pq.ParquetFile(root / file) as parquet:
        present = parquet.schema_arrow.names
        keys = [name for name in (INDEX_COLUMN, id_column) if name is not None and name in present]
        # Raw and quarantined rows keep positions as they came, and have no index.
        position = ["ra", "dec"] if INDEX_COLUMN in present else []
        try:
            table = parquet.read(columns=list(dict.fromkeys([*keys, *position])), use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            yield Fault(file, _unreadable(error))
            return
    if id_column in table.column_names and (nulls := table[id_column].null_count):
        yield Fault(file, f"{nulls} rows have no {id_column}")
    if id_column is not None and not _is_sorted(table, keys):
        yield Fault(file, f"rows are not sorted by {', '.join(keys)}")
    if not position:
        return
    index = table[INDEX_COLUMN].to_numpy()
    if cell is not None and (outside := int((~cell.contains(index)).sum())):
        yield Fault(file, f"{outside} rows lie outside {cell}")
    try:
        true = spatial_index(table["ra"].to_numpy(), table["dec"].to_numpy())
    except StellarError as error:
        yield Fault(file, str(error))
        return
    if wrong := int((true != index).sum()):
        yield Fault(file, f"{INDEX_COLUMN} of {wrong} rows is not that of their ra and dec")


def _is_sorted(table: pa.Table, keys: list[str]) -> bool:
    if not keys or table.num_rows < 2:
        return True
    order = pc.sort_indices(table, sort_keys=[(key, "ascending") for key in keys]).to_numpy()
    # The sort is stable, so sorted rows come back in their own order.
    return bool((order == np.arange(len(order))).all())


def _catalog_faults(root: Path, expected: Expected) -> Iterator[Fault]:
    counts = {Cell.parse(name): facts.rows for name, facts in expected.partitions.items()}
    try:
        info = read_partition_info(root)
    except (OSError, ValueError, KeyError, IndexError) as error:
        yield Fault(PARTITION_INFO, _unreadable(error))
    else:
        if info != counts:
            yield Fault(PARTITION_INFO, "its cells or rows are not those of the snapshot")
    total = sum(counts.values())
    if (said := read_properties(root).get("hats_nrows")) != str(total):
        yield Fault("hats.properties", f"hats_nrows is {said}, not {total}")


def _unreadable(error: Exception) -> str:
    return f"cannot be read: {' '.join(str(error).split())[:200]}"
