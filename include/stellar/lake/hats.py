"""The files that make a folder of partitions a HATS catalogue, or a plain dataset (HATS: IVOA note, hats 0.11).

A catalogue that keeps margins is a HATS collection, since readers take every `Norder=*/Dir=*/Npix=*` below a
catalogue's folder for a partition of it: the folder holds `collection.properties`, `catalog/` and `margin/`. One
without margins lies in the folder itself, as plain datasets do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.errors import IntegrityError
from stellar.sky.healpix import INDEX_COLUMN, INDEX_ORDER, Cell

from .schema import INDEX_FIELD, stored_schema
from .voparquet import votable_metadata

PROPERTIES = "hats.properties"
COLLECTION = "collection.properties"
PARTITION_INFO = "partition_info.csv"
DATASET = "dataset"
COMMON_METADATA = "_common_metadata"
METADATA = "_metadata"
#: Folders of a collection: the rows by cell, and for each cell those of its neighbours that are near to it.
CATALOG = "catalog"
MARGIN = "margin"
#: In `collection.properties`, of ours alone: a collection none of whose rows is near an edge has no margin catalogue.
MARGIN_ARCSEC = "stellar_margin_arcsec"


class MarginInfo(NamedTuple):
    """The margins that are kept with a catalogue: how wide, each cell's rows (none: no file), bytes of all files."""

    arcsec: float
    rows: Mapping[Cell, int]
    bytes: int


def partition_file(partition: Cell | str, *, margins: bool = False) -> str:
    """Path of a partition below the snapshot's folder; `margins` says whether the snapshot keeps margins."""
    name = partition.path() if isinstance(partition, Cell) else f"{partition}.parquet"
    return f"{CATALOG}/{DATASET}/{name}" if margins else f"{DATASET}/{name}"


def margin_file(cell: Cell) -> str:
    """Path of a cell's margin below the snapshot's folder."""
    return f"{MARGIN}/{DATASET}/{cell.path()}"


def finish_catalog(
    root: Path,
    name: str,
    partitions: Mapping[Cell, int],
    schema: pa.Schema,
    *,
    position: tuple[str, str] = ("ra", "dec"),
    margin: MarginInfo | None = None,
    size: int | None = None,
) -> None:
    """Write what HATS wants beside the partition files, which are already in place.

    Writes `hats.properties` (and `properties`, the name that older readers want), `partition_info.csv` and
    `dataset/_common_metadata`, of the margins too where there are any, and `collection.properties`. Called again, it
    writes the same. Partition files are not opened; that they are there and whole is for the caller to know. Without
    rows there can be no HATS catalogue: then `dataset/_common_metadata` alone is written, which tells readers the
    columns.

    Parameters
    ----------
    root : Path
        The snapshot's folder; files are at `root/<partition_file(cell)>` and `root/<margin_file(cell)>`.
    name : str
        Dataset's name, for example `curated.gaia`.
    partitions : mapping of Cell to int
        Rows of each partition. Partitions of 0 rows are left out, and their file, if there is one, is removed:
        readers of HATS take an empty partition for a fault.
    schema : pyarrow.Schema
        Of every partition and margin.
    position : tuple of str
        Columns with RA and declination, degrees.
    margin : MarginInfo, optional
        The margins that are kept; makes the folder a collection.
    size : int, optional
        Bytes of all partition files; looked up when not given.
    """
    table = root / CATALOG if margin else root
    for cell, rows in partitions.items():
        if rows == 0:
            (table / DATASET / cell.path()).unlink(missing_ok=True)
    filled = _filled(partitions)
    schema = common_schema(schema, sky=True)
    write_common_metadata(table, schema)
    if margin:
        _write(root / COLLECTION, "HATS Collection", _collection(name, margin))
    if not filled:
        return
    if size is None:
        size = sum((table / DATASET / cell.path()).stat().st_size for cell in filled)
    _write_table(table, filled, properties(name, filled, size, position))
    if margin and (near := _filled(margin.rows)):
        write_common_metadata(root / MARGIN, schema)
        of_margin = {
            "dataproduct_type": "margin",
            "hats_primary_table_url": f"../{CATALOG}",
            "hats_margin_threshold": repr(float(margin.arcsec)),
        }
        _write_table(root / MARGIN, near, properties(f"{name}_{MARGIN}", near, margin.bytes, position) | of_margin)


def write_metadata(table: Path) -> None:
    """Write `dataset/_metadata` of a catalogue's folder: the footers of all its files in one.

    Only the column statistics of hats' Python classes need it; snapshots do without, since it takes reading every
    footer, but a copy that leaves the lake may have it.
    """
    dataset = table / DATASET
    footers = []
    for cell in sorted(find_partitions(table), key=Cell.range29):
        footers.append(pq.read_metadata(dataset / cell.path()))
        footers[-1].set_file_path(cell.path())
    pq.write_metadata(pq.read_schema(dataset / COMMON_METADATA), dataset / METADATA, metadata_collector=footers)


def finish_plain(root: Path, schema: pa.Schema) -> None:
    """Write `dataset/_common_metadata` of a raw or plain dataset, so that its columns are known without rows too."""
    write_common_metadata(root, common_schema(schema, sky=False))


def common_schema(schema: pa.Schema, *, sky: bool) -> pa.Schema:
    """The schema that the partition files have: as stored; on the sky with `_healpix_29`, first where it is new."""
    schema = stored_schema(schema)
    if not sky:
        return schema
    if (at := schema.get_field_index(INDEX_COLUMN)) >= 0:
        return schema.set(at, INDEX_FIELD)
    return schema.insert(0, INDEX_FIELD)


def write_common_metadata(root: Path, schema: pa.Schema) -> None:
    """Write a Parquet file of a schema and no rows, with a VOTable header as the partitions have it."""
    (root / DATASET).mkdir(parents=True, exist_ok=True)
    told = {**(schema.metadata or {}), **votable_metadata(schema)}
    pq.write_metadata(schema.with_metadata(told), root / DATASET / COMMON_METADATA)


def properties(
    name: str, partitions: Mapping[Cell, int], size: int, position: tuple[str, str] = ("ra", "dec")
) -> dict[str, object]:
    """What `hats.properties` says: no times and hosts, so that equal catalogues are equal in every byte."""
    fraction = sum(4.0**-cell.order for cell in partitions) / 12
    return {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_nrows": sum(partitions.values()),
        "hats_col_ra": position[0],
        "hats_col_dec": position[1],
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


def read_properties(root: Path) -> dict[str, str]:
    """`hats.properties` (or `properties`) of a catalogue's folder as a dict; empty when it has none."""
    for file in (PROPERTIES, "properties"):
        if (root / file).is_file():
            return read_properties_file(root / file)
    return {}


def read_properties_file(path: Path) -> dict[str, str]:
    """A properties file as a dict."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith(("#", "!")))
    # Java's writers escape what separates key and value.
    return {key.strip(): value.strip().replace("\\:", ":").replace("\\=", "=") for key, _, value in pairs}


def read_partition_info(root: Path) -> dict[Cell, int | None]:
    """Cells of `partition_info.csv` and their rows (None in catalogues of others that do not say)."""
    lines = (root / PARTITION_INFO).read_text(encoding="utf-8").split()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    return {Cell(int(r["Norder"]), int(r["Npix"])): int(r["num_rows"]) if "num_rows" in r else None for r in rows}


def find_partitions(root: Path) -> dict[Cell, int | None]:
    """Cells of any HATS catalogue and their rows, where it says: by its table of partitions, footers, or file names.

    Raises
    ------
    IntegrityError
        When the table of partitions cannot be read.
    """
    if (root / PARTITION_INFO).is_file():
        try:
            return read_partition_info(root)
        except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
            raise IntegrityError(f"{root / PARTITION_INFO}: not a table of Norder and Npix: {error}") from error
    metadata = root / DATASET / METADATA
    if metadata.is_file():
        footer = pq.read_metadata(metadata)
        found: dict[Cell, int | None] = {}
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            cell = _cell_of_path(group.column(0).file_path)
            if cell is not None:
                found[cell] = (found.get(cell) or 0) + group.num_rows
        if found:
            return found
    return dict.fromkeys(_cells_of_files(root / DATASET))


def _cells_of_files(dataset: Path) -> Iterator[Cell]:
    for path in dataset.glob("Norder=*/**/Npix=*"):
        if (cell := _cell_of_path(path.relative_to(dataset).as_posix())) is not None:
            yield cell


def _cell_of_path(path: str) -> Cell | None:
    parts = dict(part.split("=", 1) for part in path.split("/") if "=" in part)
    digits = parts.get("Norder", ""), parts.get("Npix", "").partition(".")[0]
    return Cell(int(digits[0]), int(digits[1])) if all(one.isdecimal() for one in digits) else None


def _filled(partitions: Mapping[Cell, int]) -> dict[Cell, int]:
    return {cell: partitions[cell] for cell in sorted(partitions, key=Cell.range29) if partitions[cell]}


def _collection(name: str, margin: MarginInfo) -> dict[str, object]:
    said: dict[str, object] = {"obs_collection": name, "hats_primary_table_url": CATALOG}
    if any(margin.rows.values()):
        said |= {"all_margins": MARGIN, "default_margin": MARGIN}
    return said | {MARGIN_ARCSEC: repr(float(margin.arcsec))}


def _write_table(root: Path, partitions: Mapping[Cell, int], said: Mapping[str, object]) -> None:
    info = "Norder,Npix,num_rows\n" + "".join(f"{c.order},{c.pixel},{rows}\n" for c, rows in partitions.items())
    (root / PARTITION_INFO).write_text(info, encoding="ascii")
    for file in (PROPERTIES, "properties"):
        _write(root / file, "HATS catalog", said)


def _write(path: Path, title: str, said: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#{title}\n" + "".join(f"{key}={value}\n" for key, value in said.items()), encoding="utf-8")
