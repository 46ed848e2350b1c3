"""One cell of the sky: its rows, its files, the batches that brought them, and the gates that let them through."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from stellar.errors import InputError
from stellar.lake.read import Catalog
from stellar.lake.schema import describe
from stellar.lake.search import Region, Searchable
from stellar.sky.healpix import INDEX_COLUMN, INDEX_ORDER, Cell, overlapping

from .plain import cell_value, record
from .sky import Shown, parts, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from stellar.settings import Settings

MOST_ROWS = 1000
BATCH = "batch_id"
MOST_BATCHES = 200

_GATES = sa.text("""
    SELECT g.id, g.passed, g.rows_checked, g.checked_at, g.run_id, count(e.*) AS expectations,
           count(e.*) FILTER (WHERE NOT e.passed) AS failed
      FROM quality.gate g LEFT JOIN quality.expectation e ON e.gate = g.id
     WHERE g.snapshot = :snapshot GROUP BY g.id ORDER BY g.id DESC LIMIT 20""")
_BATCHES = sa.text("""
    SELECT batch_id, survey, dataset, release, unit, service, query, fetched_at, row_count, superseded_at
      FROM ingest.batch WHERE batch_id = ANY(:ids)""")
_CURATED = sa.text("""
    SELECT DISTINCT s.key, s.dataset, s.path
      FROM lineage.walk_up(:snapshot) w JOIN lake.snapshot s ON s.key = w.parent
     WHERE w.parent_kind = 'snapshot' AND s.dataset LIKE 'curated.%' AND s.files_removed_at IS NULL
       AND EXISTS (SELECT FROM lineage.edge e JOIN lake.snapshot r ON r.key = e.parent
                    WHERE e.child = s.key AND r.dataset LIKE 'raw.%')
     ORDER BY s.dataset, s.key""")


def cell(engine: sa.Engine, settings: Settings, key: str, order: int, pixel: int, limit: int = 100) -> dict[str, Any]:
    """What lies in a HEALPix cell of a snapshot: first rows, files, gates.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    settings : Settings
    key : str
        Of the snapshot, or the beginning of it.
    order, pixel : int
        The cell, of any order (nested numbering).
    limit : int
        Most rows that come back, 1 to `MOST_ROWS`; the first along the sky.

    Returns
    -------
    dict
        `snapshot`, `dataset`, `order`, `pixel`, `columns` (name, type, unit, ucd, description), `rows` (lists, as
        `cell_value` shows values), `files` (`order, pixel, file, rows, bytes, key, file_sha256, made_at`), `gates`,
        `sql` (a statement for the cell's rows in the current snapshot).

    Raises
    ------
    InputError
        When there is no such snapshot or cell.
    """
    shown, place = snapshot(engine, settings, key), _cell(order, pixel)
    held = parts(engine, shown.key)
    here = set(overlapping([part.cell for part in held], place))
    files = [
        {"order": part.cell.order, "pixel": part.cell.pixel, "made_at": part.made_at.isoformat()}
        | {name: getattr(part, name) for name in ("file", "rows", "bytes", "key", "file_sha256")}
        for part in held
        if part.cell in here
    ]
    columns: list[dict[str, str]] = []
    rows: list[list[Any]] = []
    if shown.root is not None:
        opened = Searchable(Catalog(shown.root))
        columns = describe(opened.schema)
        rows = _first(_rows(opened, place, None), max(1, min(limit, MOST_ROWS)))
    with engine.connect() as connection:
        gates = [record(row) for row in connection.execute(_GATES, {"snapshot": shown.key}).mappings()]
    return {
        "snapshot": shown.key,
        "dataset": shown.dataset,
        "order": place.order,
        "pixel": place.pixel,
        "has_files": shown.root is not None,
        "columns": columns,
        "rows": rows,
        "files": files,
        "gates": gates,
        "sql": sql_of(shown.dataset, place),
    }


def sql_of(dataset: str, place: Cell) -> str:
    """A statement for the rows in a cell of a dataset; the footers' ends of the index let it skip the other files."""
    low, high = place.range29()
    return f'SELECT * FROM {dataset}\nWHERE "{INDEX_COLUMN}" >= {low} AND "{INDEX_COLUMN}" < {high}\nLIMIT 1000'  # noqa: S608


def batches(engine: sa.Engine, settings: Settings, key: str, order: int, pixel: int) -> dict[str, Any]:
    """The batches that brought the rows of a cell, with the queries that they answer.

    Rows that say their batch are counted by it. Of others, the batches are those of the rows that lie in the cell in
    the curated snapshots from which this one was made.

    Returns
    -------
    dict
        `direct` (whether the rows themselves say it) and `batches`, most rows first, at most 200: the ledger's row of
        each, with `rows` (in the cell) and `through` (the dataset whose rows said so); `more`: how many are left out.

    Raises
    ------
    InputError
        When there is no such snapshot or cell.
    """
    shown, place = snapshot(engine, settings, key), _cell(order, pixel)
    counted: Counter[tuple[str, str]] = Counter()
    direct = shown.root is not None and BATCH in Catalog(shown.root).schema.names
    for dataset, root in [(shown.dataset, shown.root)] if direct else _curated(engine, settings, shown):
        for batch, rows in _by_batch(root, place).items():
            counted[dataset, batch] += rows
    first = counted.most_common(MOST_BATCHES)
    with engine.connect() as connection:
        found = connection.execute(_BATCHES, {"ids": [batch for (_, batch), _ in first]}).mappings()
        known = {row["batch_id"]: record(row) for row in found}
    return {
        "direct": direct,
        "batches": [
            known.get(batch, {"batch_id": batch}) | {"rows": rows, "through": dataset}
            for (dataset, batch), rows in first
        ],
        "more": len(counted) - len(first),
    }


def _curated(engine: sa.Engine, settings: Settings, shown: Shown) -> list[tuple[str, Path]]:
    with engine.connect() as connection:
        rows = connection.execute(_CURATED, {"snapshot": shown.key}).all()
    return [(row.dataset, settings.lake / row.path) for row in rows]


def _by_batch(root: Path | None, place: Cell) -> Counter[str]:
    counted: Counter[str] = Counter()
    if root is None or not (catalog := Catalog(root)).is_hats or BATCH not in catalog.schema.names:
        return counted
    for table in _rows(Searchable(catalog), place, [BATCH]):
        for one in table[BATCH].value_counts().to_pylist():
            counted[one["values"]] += one["counts"]
    return counted


def _rows(opened: Searchable, place: Cell, columns: list[str] | None) -> Iterator[pa.Table]:
    """Rows of a cell by row group; the index decides alone."""

    def every(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> tuple[NDArray[np.bool_], None]:
        return np.ones(len(ra), bool), None

    return opened.search(Region(np.array([place.range29()], np.int64), every), columns)


def _first(tables: Iterator[pa.Table], limit: int) -> list[list[Any]]:
    def each() -> Iterator[list[Any]]:
        for table in tables:
            for row in table.slice(0, limit).to_pylist():
                yield [cell_value(value) for value in row.values()]

    return list(islice(each(), limit))


def _cell(order: int, pixel: int) -> Cell:
    if not 0 <= order <= INDEX_ORDER or not 0 <= pixel < 12 << 2 * order:
        raise InputError(f"no cell {order}/{pixel}: orders are 0 to {INDEX_ORDER}, pixels of one 0 to 12 x 4^order - 1")
    return Cell(order, pixel)
