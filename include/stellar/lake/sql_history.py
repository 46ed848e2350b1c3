"""Former snapshots in SQL: datasets as they were at a time, one snapshot of a dataset, and what changed between two."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stellar.errors import InputError
from stellar.settings import Settings

from .changes import changes_sql
from .read import Catalog
from .sql_text import scan

if TYPE_CHECKING:
    import duckdb
    import sqlalchemy as sa

#: Words for snapshots, besides keys and times.
CURRENT, FORMER = "current", "former"
_AGO = re.compile(r"(\d+)\s+(minute|hour|day|week)s?\s+ago", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_KEY = re.compile(r"[0-9a-f]{4,64}")
_KEPT = (
    "maintain_lake's keep_days says how long they are kept; a backup of that time has them (`stellar restore` into "
    "another home)"
)

# A snapshot is current from its promotion to the next one of its dataset.
_AT = """
    SELECT * FROM (
        SELECT p.dataset, p.to_snapshot AS key, p.promoted_at AS since, s.path, s.files_removed_at,
               row_number() OVER (PARTITION BY p.dataset ORDER BY p.id DESC) AS place
          FROM lake.promotion p JOIN lake.snapshot s ON s.key = p.to_snapshot
         WHERE p.promoted_at <= :moment) ranked
     WHERE place = 1"""
_FORMER = """
    SELECT p.from_snapshot
      FROM lake.promotion p JOIN lake.current c ON c.dataset = p.dataset AND c.snapshot = p.to_snapshot
     WHERE p.dataset = :dataset ORDER BY p.id DESC LIMIT 1"""
_FILES = """
    SELECT sp.name, sp.file, p.file_sha256
      FROM lake.snapshot_partition sp JOIN lake.partition p ON p.key = sp.partition_key
     WHERE sp.snapshot = :key AND sp.file IS NOT NULL ORDER BY sp.name"""

_MACROS = (
    "CREATE MACRO as_of(dataset, moment) AS TABLE SELECT * FROM query(_as_of(dataset, moment::VARCHAR))",
    "CREATE MACRO snapshot(dataset, name) AS TABLE SELECT * FROM query(_snapshot(dataset, name::VARCHAR))",
    "CREATE MACRO changes(dataset, first, second) AS TABLE"
    " SELECT * FROM query(_changes(dataset, first::VARCHAR, second::VARCHAR))",
)


@dataclass(frozen=True)
class Chosen:
    """A snapshot of a dataset, its folder below the lake, and since when it was current (None: not asked for)."""

    dataset: str
    key: str
    path: str
    since: datetime | None = None


def moment_of(text: str) -> datetime:
    """The instant that a text names: a date (the end of that day), a date and time, or ``3 days ago``; UTC unless said.

    Raises
    ------
    InputError
        When it is none, or lies in the future.
    """
    text = text.strip()
    now = datetime.now(UTC)
    if ago := _AGO.fullmatch(text):
        try:
            return now - timedelta(**{f"{ago[2].lower()}s": int(ago[1])})
        except OverflowError:
            raise InputError(f"{text!r}: so long ago there was no calendar") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no time; write 2026-11-01, 2026-11-01T12:00 (UTC), or `3 days ago`") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if _DATE.fullmatch(text):
        moment = min(moment + timedelta(days=1) - timedelta(microseconds=1), max(now, moment))
    if moment > now:
        raise InputError(f"{text!r} lies in the future; it is {now:%Y-%m-%dT%H:%M:%SZ} now")
    return moment


def current_at(engine: sa.Engine, moment: datetime) -> tuple[dict[str, Chosen], dict[str, str], dict[str, str]]:
    """The snapshots that were current at an instant, by dataset.

    Returns
    -------
    dict
        Snapshots whose files are there.
    dict
        Dataset -> what to do about it, where the files were removed since.
    dict
        Dataset -> since when it is there, where nothing of it was current yet.
    """
    import sqlalchemy as sa

    with engine.connect() as connection:
        rows = connection.execute(sa.text(_AT), {"moment": moment}).mappings().all()
        first = connection.execute(
            sa.text("SELECT dataset, min(promoted_at) FROM lake.promotion GROUP BY dataset")
        ).all()
    there, gone, absent = {}, {}, {}
    for row in rows:
        if row["files_removed_at"] is None:
            there[row["dataset"]] = Chosen(row["dataset"], row["key"], row["path"], row["since"])
        else:
            gone[row["dataset"]] = _removed(row)
    for dataset, since in first:
        if dataset not in there and dataset not in gone:
            absent[dataset] = f"none of its snapshots was current yet; the first was promoted on {_said(since)}"
    return there, gone, absent


class History:
    """Former snapshots of a home's datasets, by key, time or `current` and `former`."""

    def __init__(self, settings: Settings, engine: sa.Engine) -> None:
        self._settings, self._engine = settings, engine

    def find(self, dataset: str, name: str) -> Chosen:
        """The snapshot of a dataset that a name means.

        Parameters
        ----------
        dataset : str
        name : str
            ``current``, ``former`` (that the current one replaced), the beginning of a key, or a time (`moment_of`).

        Raises
        ------
        InputError
            When there is none or several, or its files were removed.
        """
        if name.lower() not in (CURRENT, FORMER) and not _KEY.fullmatch(name.lower()):
            return self.at(dataset, moment_of(name))
        import sqlalchemy as sa

        where, values = "key LIKE :key", {"dataset": dataset, "key": f"{name.lower()}%"}
        with self._engine.connect() as connection:
            self._check(connection, dataset)
            if name.lower() == CURRENT:
                where = "state = 'current'"
            elif name.lower() == FORMER:
                where, values["key"] = "key = :key", connection.scalar(sa.text(_FORMER), values) or ""
            sql = (
                "SELECT key, path, files_removed_at FROM lake.snapshot"  # noqa: S608 - `where` is ours
                f" WHERE dataset = :dataset AND state <> 'building' AND {where} ORDER BY key"
            )
            rows = connection.execute(sa.text(sql), values).mappings().all()
        if not rows and name.lower() == FORMER:
            raise InputError(
                f"{dataset}: its current snapshot is its first, or it has none; name two snapshots or times"
            )
        if not rows:
            raise InputError(f"{dataset}: it has no snapshot {name}; ledger.snapshot lists them")
        if len(rows) > 1:
            raise InputError(
                f"{dataset}: {name} is short for {', '.join(row['key'][:20] for row in rows)}; give more of it"
            )
        if rows[0]["files_removed_at"] is not None:
            raise InputError(f"{dataset}: {_removed(rows[0])}")
        return Chosen(dataset, rows[0]["key"], rows[0]["path"])

    def at(self, dataset: str, moment: datetime) -> Chosen:
        """The snapshot of a dataset that was current at an instant; InputError where there is none to show."""
        with self._engine.connect() as connection:
            self._check(connection, dataset)
        there, gone, absent = current_at(self._engine, moment)
        if dataset not in there:
            raise InputError(f"{dataset}: {(gone | absent).get(dataset, 'none of its snapshots was ever current')}")
        return there[dataset]

    def catalog(self, chosen: Chosen) -> Catalog:
        """The files of a snapshot."""
        return Catalog(self._settings.lake / chosen.path)

    def changes_sql(self, first: Chosen, second: Chosen) -> str:
        """A SELECT of what changed from one snapshot of a dataset to another (`stellar.lake.changes`).

        Only partitions whose files differ are read.
        """
        import sqlalchemy as sa

        with self._engine.connect() as connection:
            sides = [
                {(row.name, row.file_sha256): row.file for row in connection.execute(sa.text(_FILES), {"key": one.key})}
                for one in (first, second)
            ]
        old, new = (self.catalog(one) for one in (first, second))
        id_column = self.id_column(first.dataset)
        for catalog in (old, new):
            if id_column is None or id_column not in catalog.schema.names:
                raise InputError(
                    f"{first.dataset}: its rows have no id, so none can be found again; compare a dataset made of it"
                )
        files = [
            [self._settings.lake / one.path / file for part, file in mine.items() if part not in other]
            for one, mine, other in zip((first, second), sides, reversed(sides), strict=True)
        ]
        return changes_sql(old, new, files[0], files[1], id_column)

    def id_column(self, dataset: str) -> str | None:
        """The column that tells a dataset's rows apart."""
        import sqlalchemy as sa

        with self._engine.connect() as connection:
            sql = "SELECT id_column FROM lake.dataset WHERE name = :name"
            return connection.scalar(sa.text(sql), {"name": dataset})

    def _check(self, connection: sa.Connection, dataset: str) -> None:
        import sqlalchemy as sa

        known: Sequence[Any] = connection.scalars(sa.text("SELECT name FROM lake.dataset ORDER BY name")).all()
        if dataset not in known:
            near = difflib.get_close_matches(dataset, known, n=3)
            raise InputError(f"no dataset {dataset!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))


def create_history_macros(connection: duckdb.DuckDBPyConnection, history: History) -> None:
    """Give a connection the table macros `as_of`, `snapshot` and `changes`."""

    def as_of(dataset: str, moment: str) -> str:
        return _rows(history, history.at(dataset, moment_of(moment)))

    def snapshot(dataset: str, name: str) -> str:
        return _rows(history, history.find(dataset, name))

    def changes(dataset: str, first: str, second: str) -> str:
        return history.changes_sql(history.find(dataset, first), history.find(dataset, second))

    for name, function, count in (("_as_of", as_of, 2), ("_snapshot", snapshot, 2), ("_changes", changes, 3)):
        connection.create_function(name, function, ["VARCHAR"] * count, "VARCHAR")  # type: ignore[arg-type]
    for statement in _MACROS:
        connection.execute(statement)


def _rows(history: History, chosen: Chosen) -> str:
    return f"SELECT * FROM {scan(history.catalog(chosen))}"  # noqa: S608


def _removed(row: Any) -> str:
    return f"the files of its snapshot {row['key'][:16]} were removed on {_said(row['files_removed_at'])}; {_KEPT}"


def _said(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
