"""What a process of the console does before anybody asks: what takes long only the first time, and indexes of ids."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb

from stellar.errors import StellarError
from stellar.lake.id_index import Source, find_index, make_index
from stellar.lake.sql_text import dotted, quoted, scan
from stellar.store import is_remote

if TYPE_CHECKING:
    from stellar.lake.read import Catalog
    from stellar.lake.sql import LakeConnection

#: Larger datasets get an index of their ids once one is asked for: it takes 8 bytes a row, and a second for 10 million.
MOST_ROWS = 50_000_000
#: Rows around the first one of a dataset that the first question is about, degrees: few, but never none.
RADIUS_DEG = 1.0 / 3600.0
_NICE = 15


def first_questions(lake: LakeConnection) -> list[str]:
    """Questions that find some rows: one around a row of a dataset on the sky, if there is any, and the simplest.

    A cone without rows would leave to the first person what DuckDB imports to hand rows to a function of Python's.
    """
    questions = []
    on_sky = sorted((name for name, one in lake.catalogs.items() if one.is_hats and one.cells), reverse=True)[:1]
    for name in on_sky:
        ra, dec = _place(lake, lake.catalogs[name])
        questions.append(f"SELECT * FROM cone('{name}', {ra!r}, {dec!r}, {RADIUS_DEG!r})")  # noqa: S608
        questions.append(f"SELECT count(*) FROM {dotted(name)} LIMIT 1")  # noqa: S608
    return [*questions, "SELECT 1"]


def start_question(lake: LakeConnection) -> str | None:
    """What a person may begin with: objects around one of those that there are, nearest first; None without any."""
    objects = lake.catalogs.get("curated.objects")
    if objects is None or not objects.cells:
        return None
    ra, dec = _place(lake, objects)
    return f"""-- Stars within half a degree, nearest first. Ctrl-Enter asks, Ctrl-Space completes names.
SELECT object_id, ra, dec, class, phot_g_mean_mag, center_separation_arcsec
FROM cone('curated.objects', {ra:.3f}, {dec:.3f}, 0.5)
ORDER BY center_separation_arcsec"""  # noqa: S608 - two numbers


def _place(lake: LakeConnection, catalog: Catalog) -> tuple[float, float]:
    """Position of a row; of none in an object store, whose files are not fetched for this."""
    if is_remote(catalog.root):
        return 0.0, 0.0
    columns = ", ".join(quoted(name) for name in (catalog.ra_column, catalog.dec_column))
    row = None
    with suppress(duckdb.Error):  # a damaged file is for the question that reads it to tell
        row = lake.duckdb.cursor().execute(f"SELECT {columns} FROM {scan(catalog)} LIMIT 1").fetchone()  # noqa: S608
    return (float(row[0]), float(row[1])) if row and None not in row else (0.0, 0.0)


class Indexes:
    """Indexes of ids that are made aside, each once, while questions are answered."""

    def __init__(self) -> None:
        self._begun: set[str] = set()

    def has(self, source: Source) -> bool:
        """Whether the index of a large dataset is there; where it is not, it is made for later questions.

        Making one takes seconds for millions of rows, more than a question may be given, and cannot be interrupted.
        """
        if find_index(source) is not None:
            return True
        self.make([source])
        return False

    def make(self, sources: Iterable[Source]) -> threading.Thread | None:
        """Make those that are not there, one after another; the thread that does it, None where there is nothing."""
        lacking = [one for one in sources if one.identity() not in self._begun and find_index(one) is None]
        self._begun.update(one.identity() for one in lacking)
        if not lacking:
            return None
        thread = threading.Thread(target=_make, args=(lacking,), name="indexes", daemon=True)
        thread.start()
        return thread


def _make(sources: Iterable[Source]) -> None:
    with suppress(OSError):  # of this thread alone: whoever asks goes first
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    for source in sources:
        with suppress(StellarError, OSError, MemoryError):  # without one, questions read the column
            make_index(source)


def worth_an_index(catalog: Catalog) -> bool:
    """Whether a dataset gets an index of its ids before anybody asks for one."""
    return not is_remote(catalog.root) and catalog.rows <= MOST_ROWS
