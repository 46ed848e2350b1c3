"""A small catalogue with everything that makes files differ: nulls, NaNs, lists, strings, mixed cells."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from stellar.lake.hats import MarginInfo, finish_catalog, margin_file, partition_file
from stellar.lake.layout import cell_of, layout
from stellar.lake.margins import edge_mask, margin_rows, margin_sources
from stellar.lake.schema import field
from stellar.lake.write import canonical, write_partition
from stellar.sky.healpix import INDEX_COLUMN

SCHEMA = pa.schema(
    [
        field("star_id", pa.int64(), ucd="meta.id;meta.main", description="Identifier"),
        field("ra", pa.float64(), unit="deg", ucd="pos.eq.ra;meta.main"),
        field("dec", pa.float64(), unit="deg", ucd="pos.eq.dec;meta.main"),
        field("g_mag", pa.float32(), unit="mag", ucd="phot.mag;em.opt"),
        field("name", pa.string()),
        field("flux", pa.list_(pa.float32()), unit="1e-17 erg.s**-1.cm**-2.Angstrom**-1"),
    ]
)


def stars(n: int = 3000, seed: int = 1) -> pa.Table:
    """Stars around RA 0 and both poles; ids do not follow positions."""
    random = np.random.default_rng(seed)
    third = n // 3
    ra = np.concatenate([random.uniform(-4, 4, n - 2 * third) % 360, random.uniform(0, 360, 2 * third)])
    dec = np.concatenate(
        [random.uniform(-3, 3, n - 2 * third), 90 - random.exponential(2, third), random.exponential(2, third) - 90]
    )
    magnitude = random.normal(15, 2, n).astype(np.float32)
    magnitude[::7] = np.nan
    flux = [None if i % 50 == 0 else random.normal(size=i % 5).astype(np.float32).tolist() for i in range(n)]
    return pa.table(
        [
            random.permutation(n),
            ra,
            np.clip(dec, -90, 90),
            magnitude,
            [f"s{i}" if i % 3 else None for i in range(n)],
            flux,
        ],
        schema=SCHEMA,
    )


def store(
    root: Path,
    table: pa.Table,
    *,
    bytes_per_row: float = 100.0,
    threshold: int = 20_000,
    margin_arcsec: float = 0.0,
    name: str = "curated.stars",
    cells: list | None = None,
) -> dict:
    """Write a table as a catalogue, with its margins where they have a width; cells (given, or laid out) and files."""
    table = canonical(table, id_column="star_id")
    index = table[INDEX_COLUMN].to_numpy()
    cells = cells or layout(index, bytes_per_row, threshold_bytes=threshold)
    at = cell_of(index, cells)
    parts = {cell: table.filter(pa.array(at == i)) for i, cell in enumerate(cells)}
    files = {
        cell: write_partition(part, root / partition_file(cell, margins=margin_arcsec > 0), id_column="star_id")
        for cell, part in parts.items()
    }
    rows = {cell: file.rows for cell, file in files.items()}
    margin = store_margins(root, parts, margin_arcsec) if margin_arcsec else None
    finish_catalog(root, name, rows, table.schema, margin=margin)
    return files


def store_margins(root: Path, parts: dict, margin_arcsec: float) -> MarginInfo:
    """Write the margins of cells, from the edges of the others."""
    edges = {
        cell: part.filter(pa.array(edge_mask(part[INDEX_COLUMN].to_numpy(), cell, margin_arcsec)))
        for cell, part in parts.items()
    }
    rows, size = {}, 0
    for cell, near in margin_sources(list(parts), margin_arcsec).items():
        if not near:
            continue
        found = margin_rows(pa.concat_tables([edges[one] for one in near]), cell, margin_arcsec)
        rows[cell] = found.num_rows
        if found.num_rows:
            size += write_partition(found, root / margin_file(cell), id_column="star_id").bytes
    return MarginInfo(margin_arcsec, rows, size)
