"""The files that make a folder of partitions a HATS catalogue, or a plain dataset (HATS: IVOA note, hats 0.11)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.errors import IntegrityError
from stellar.sky.healpix import INDEX_COLUMN, INDEX_ORDER, Cell

from .schema import INDEX_FIELD, stored_schema

PROPERTIES = "hats.properties"
PARTITION_INFO = "partition_info.csv"
DATASET = "dataset"
COMMON_METADATA = "_common_metadata"
METADATA = "_metadata"


def finish_catalog(root: Path, name: str, partitions: Mapping[Cell, int], schema: pa.Schema) -> None:
    """Write what HATS wants beside the partition files, which are already in place.

    Writes `hats.properties` (and `properties`, the name that older readers want), `partition_info.csv`,
    `dataset/_common_metadata` and `dataset/_metadata`. Called again, it writes the same. Without rows there can be no
    HATS catalogue: then `dataset/_common_metadata` alone is written, which tells readers the columns.

    Parameters
    ----------
    root : Path
        The snapshot's folder; partition files are at `root/dataset/<Cell.path()>`.
    name : str
        Dataset's name, for example `curated.gaia`.
    partitions : mapping of Cell to int
        Rows of each partition. Partitions of 0 rows are left out, and their file, if there is one, is removed:
        readers of HATS take an empty partition for a fault.
    schema : pyarrow.Schema
        Of every partition.

    Raises
    ------
    IntegrityError
        When a file is missing, or has other rows or columns than it should.
    """
    dataset = root / DATASET
    for cell, rows in partitions.items():
        if rows == 0:
            (dataset / cell.path()).unlink(missing_ok=True)
    filled = {cell: partitions[cell] for cell in sorted(partitions, key=Cell.range29) if partitions[cell]}
    schema = common_schema(schema, sky=True)
    write_common_metadata(root, schema)
    if not filled:
        return
    _write_metadata(dataset, filled, schema)
    info = "Norder,Npix,num_rows\n" + "".join(f"{c.order},{c.pixel},{rows}\n" for c, rows in filled.items())
    (root / PARTITION_INFO).write_text(info, encoding="ascii")
    text = properties(root, name, filled)
    for file_name in (PROPERTIES, "properties"):
        (root / file_name).write_text(text, encoding="ascii")


def finish_plain(root: Path, schema: pa.Schema) -> None:
    """Write `dataset/_common_metadata` of a raw or plain dataset, so that its columns are known without rows too."""
    write_common_metadata(root, common_schema(schema, sky=False))


def common_schema(schema: pa.Schema, *, sky: bool) -> pa.Schema:
    """The schema that the partition files have: as stored, with `_healpix_29` in front on the sky."""
    schema = stored_schema(schema)
    if not sky:
        return schema
    others = [column for column in schema if column.name != INDEX_COLUMN]
    return pa.schema([INDEX_FIELD, *others], metadata=schema.metadata)


def write_common_metadata(root: Path, schema: pa.Schema) -> None:
    """Write a Parquet file of a schema and no rows."""
    (root / DATASET).mkdir(parents=True, exist_ok=True)
    pq.write_metadata(schema, root / DATASET / COMMON_METADATA)


def properties(root: Path, name: str, partitions: Mapping[Cell, int]) -> str:
    """Text of `hats.properties`: no times and hosts, so that equal catalogues are equal in every byte."""
    size = sum((root / DATASET / cell.path()).stat().st_size for cell in partitions)
    fraction = sum(4.0**-cell.order for cell in partitions) / 12
    values = {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_nrows": sum(partitions.values()),
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": INDEX_COLUMN,
        "hats_col_healpix_order": INDEX_ORDER,
        "hats_npix_suffix": ".parquet",
        "hats_max_rows": max(partitions.values()),
        "hats_order": max(cell.order for cell in partitions),
        "hats_estsize": max(1, size // 1024),
        "moc_sky_fraction": f"{fraction:.8f}",
        "hats_builder": "stellar",
        "hats_version": "v1.0",
    }
    return "#HATS catalog\n" + "".join(f"{key}={value}\n" for key, value in values.items())


def read_properties(root: Path) -> dict[str, str]:
    """`hats.properties` as a dict; empty when the folder has none."""
    path = root / PROPERTIES
    if not path.exists():
        return {}
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def read_partition_info(root: Path) -> dict[Cell, int | None]:
    """Cells of `partition_info.csv` and their rows (None in catalogues of others that do not say)."""
    lines = (root / PARTITION_INFO).read_text(encoding="utf-8").split()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    return {Cell(int(r["Norder"]), int(r["Npix"])): int(r["num_rows"]) if "num_rows" in r else None for r in rows}


def _write_metadata(dataset: Path, partitions: Mapping[Cell, int], schema: pa.Schema) -> None:
    """Write `_metadata`, the footers of all partitions in one file, checking each on the way."""
    footers = []
    for cell, rows in partitions.items():
        path = dataset / cell.path()
        if not path.exists():
            raise IntegrityError(f"{path}: partition is missing; build it again")
        footer = pq.read_metadata(path)
        if footer.num_rows != rows:
            raise IntegrityError(f"{path}: has {footer.num_rows} rows, not {rows}; build it again")
        if (found := footer.schema.to_arrow_schema()) != schema:
            raise IntegrityError(f"{path}: columns differ from the dataset's: {_difference(found, schema)}")
        footer.set_file_path(cell.path())
        footers.append(footer)
    pq.write_metadata(schema, dataset / METADATA, metadata_collector=footers)


def _difference(found: pa.Schema, wanted: pa.Schema) -> str:
    have, want = ({column.name: column.type for column in schema} for schema in (found, wanted))
    parts = [f"{name} is missing" for name in want if name not in have]
    parts += [f"{name} is extra" for name in have if name not in want]
    parts += [f"{name} is {have[name]}, not {want[name]}" for name in want if name in have and have[name] != want[name]]
    return "; ".join(parts) or "their order"
