"""What the trigger forms offer of a home's data, in a small file that DAG files read: they may not ask a database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from stellar.engine.context import Context
from stellar.json_files import write_json
from stellar.sky.healpix import Cell

FILE = "choices.json"
#: Cells are told coarse, so that a sync within a known part of the sky changes neither the file nor a DAG's version.
COARSEST, FINEST, MOST_CELLS = 1, 3, 96

_CELLS = sa.text("""
    SELECT s.dataset, sp.name FROM lake.snapshot s JOIN lake.snapshot_partition sp ON sp.snapshot = s.key
     WHERE s.state = 'current' AND s.dataset LIKE 'curated.%' AND sp.name LIKE 'Norder=%' AND sp.file IS NOT NULL""")
_DATASETS = sa.text("SELECT dataset FROM lake.current WHERE dataset NOT LIKE 'quarantine.%' ORDER BY dataset")


def write_choices(ctx: Context) -> None:
    """Write down current datasets, and the coarse cells that each survey's curated one has rows in.

    A file that says the same already is left alone, since a DAG whose form changes gets a new version.
    """
    with ctx.engine.connect() as connection:
        datasets = list(connection.scalars(_DATASETS))
        rows = connection.execute(_CELLS).all()
    cells: dict[str, list[Cell]] = {}
    for row in rows:
        cells.setdefault(row.dataset.partition(".")[2], []).append(Cell.parse(row.name))
    told: dict[str, Any] = {name: coarse(found) for name, found in sorted(cells.items())}
    write_json(ctx.settings.cache / FILE, {"datasets": datasets, "cells": told})


def coarse(cells: list[Cell]) -> list[str]:
    """Cells as ``ORDER/PIXEL`` of the finest order, of `FINEST` at most, at which they are no more than `MOST_CELLS`.

    Larger cells stay as they are.
    """
    for order in range(FINEST, COARSEST - 1, -1):
        found = sorted({_above(cell, order) for cell in cells})
        if len(found) <= MOST_CELLS or order == COARSEST:
            break
    return [f"{order}/{pixel}" for order, pixel in found]


def _above(cell: Cell, order: int) -> tuple[int, int]:
    return (cell.order, cell.pixel) if cell.order <= order else (order, cell.pixel >> 2 * (cell.order - order))
