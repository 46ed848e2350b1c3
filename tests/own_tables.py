"""Users' own tables in a lake, and SQL over them with a ledger that says no more than where they lie."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from stellar.lake.hats import finish_catalog
from stellar.lake.sql import LakeConnection, connect
from stellar.lake.write import write_partition
from stellar.settings import Settings
from stellar.sky.healpix import Cell, spatial_index


def store_own(root: Path, table: pa.Table, *, position: tuple[str, str], id_column: str | list[str]) -> None:
    """Write a table as a catalogue of base cells, with positions of any name."""
    pixels = spatial_index(*(table[name].to_numpy() for name in position)) >> 58
    rows = {}
    for pixel in np.unique(pixels).tolist():
        cell = Cell(0, pixel)
        part = table.filter(pa.array(pixels == pixel))
        rows[cell] = write_partition(
            part, root / "dataset" / cell.path(), id_column=id_column, sky=True, position=position
        ).rows
    finish_catalog(root, "own.made", rows, table.schema, position=position)


@contextmanager
def sql_over(home: Settings, datasets: Mapping[str, str]) -> Iterator[LakeConnection]:
    """SQL over folders of a lake, by the datasets' names; the ledger's tables lie in SQLite."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        for statement in (
            "ATTACH ':memory:' AS lake",
            "CREATE TABLE lake.dataset (name, id_column)",
            "CREATE TABLE lake.current (dataset, snapshot, path, since)",
        ):
            connection.exec_driver_sql(statement)
        for name, path in datasets.items():
            connection.execute(
                sa.text("INSERT INTO lake.current (dataset, path) VALUES (:n, :p)"), {"n": name, "p": path}
            )
    with connect(home, engine) as connection:
        yield connection
