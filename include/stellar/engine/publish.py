"""The newest scores as tables of Postgres, for psql, BI tools and joins with the ledger.

A promotion (or rollback) of scores copies their rows in its own transaction, so that `lake.current` and the tables say
the same at every instant. Readers are never held up: rows are deleted and copied under Postgres's own versions of
rows, and of a new layout a table beside the old one is filled before a view is pointed at it. Only partitions whose
files changed are copied. A fault while copying (a view of somebody's on a column that is gone, a damaged file) does
not undo the promotion: it is kept in `scores.published`, and the next promotion, the maintenance, or `stellar datasets
publish` tries again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from stellar.engine.context import Context
from stellar.engine.publish_rows import Column, csv_rows, fitting_name, main_columns
from stellar.errors import LedgerError, StellarError
from stellar.lake.read import Catalog
from stellar.lake.sql_text import literal, quoted
from stellar.ledger import snapshots
from stellar.ledger.snapshots import Snapshot, rows_of
from stellar.sky.healpix import INDEX_COLUMN, Cell

LAYER = "scores"
ROWS_SCHEMA = "scores_rows"
READERS = ("stellar_reader",)
#: A change of columns waits so long for those who read the old ones; then it is left for the next attempt.
WAIT = "10s"
_RESERVED = ("published", "behind", "cone")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What one attempt did: the rows that the table holds, those that were copied, and the fault if any."""

    dataset: str
    snapshot: str
    rows: int
    copied: int
    fault: str | None = None


@dataclass
class _Table:
    """A table as it is to be: its snapshot's files and columns, and the table with the rows as it is now."""

    subject: str
    row: Snapshot
    catalog: Catalog
    columns: list[Column]
    id_column: str | None
    relation: str
    former: dict[str, Any]

    @property
    def is_on_sky(self) -> bool:
        return {INDEX_COLUMN, "ra", "dec"} <= {column.name for column in self.columns}


def publish(ctx: Context, connection: sa.Connection, datasets: Iterable[str]) -> list[Published]:
    """Copy what is current of some datasets into Postgres where it is behind; in the caller's transaction.

    The caller holds the datasets' locks. Datasets of other layers are left out.
    """
    wanted = sorted({name for name in datasets if name.startswith(f"{LAYER}.")})
    done: list[Published] = []
    swaps: list[tuple[Published, float, _Table, Callable[[], None]]] = []
    for dataset in wanted:
        found = rows_of(connection, "SELECT snapshot FROM lake.current WHERE dataset = :name", name=dataset)
        row = snapshots.find(connection, found[0]["snapshot"]) if found else None
        held = rows_of(connection, "SELECT * FROM scores.published WHERE dataset = :name", name=dataset)
        if row is None or (held and held[0]["snapshot"] == row.key):
            continue
        started = time.monotonic()
        with _faults_kept(connection, row, done):
            if held and _content(connection, held[0]["snapshot"]) == row.content_hash:
                one = Published(dataset, row.key, held[0]["rows"], 0)
                _note(connection, one, held[0]["relation"], started)
                done.append(one)
                continue
            table = _table(ctx, connection, row, dict(held[0]) if held else {})
            copied, swap = _fill(connection, table)
            swaps.append((Published(dataset, row.key, row.rows or 0, copied), started, table, swap))
    # Views last, all together: from here to the end of the transaction readers of a new layout wait.
    for one, started, table, swap in swaps:
        with _faults_kept(connection, table.row, done):
            swap()
            _note(connection, one, table.relation, started)
            done.append(one)
    return done


def publish_behind(ctx: Context, datasets: Iterable[str] | None = None) -> list[Published]:
    """Publish whatever (of `datasets`) is current and not in Postgres yet, each in a transaction of its own."""
    wanted = None if datasets is None else set(datasets)
    done = []
    with ctx.engine.connect() as connection:
        names = connection.scalars(sa.text("SELECT dataset FROM scores.behind ORDER BY dataset")).all()
    for name in (one for one in names if wanted is None or one in wanted):
        with ctx.engine.begin() as connection:
            snapshots.lock_datasets(connection, [name])
            done += publish(ctx, connection, [name])
    return done


def behind(engine: sa.Engine) -> list[dict[str, Any]]:
    """Datasets whose tables are behind: ``dataset, current, published, since, fault``; and those that lost rows."""
    with engine.connect() as connection:
        found = [dict(row) for row in rows_of(connection, "SELECT * FROM scores.behind ORDER BY dataset")]
        held = rows_of(
            connection,
            "SELECT dataset, snapshot, p.rows FROM scores.published p JOIN lake.current c USING (dataset, snapshot)",
        )
        for one in held:
            view = f"scores.{quoted(one['dataset'].split('.')[1])}"
            try:
                with connection.begin_nested():
                    there = connection.scalar(sa.text(f"SELECT count(*) FROM {view}"))  # noqa: S608 - a dataset's name
                fault = f"it holds {there} rows of {one['rows']}" if there != one["rows"] else None
            except sa.exc.DBAPIError as error:
                fault = str(error.orig).strip()
            if fault:
                same = {"current": one["snapshot"], "published": one["snapshot"], "since": None}
                found.append({"dataset": one["dataset"], **same, "fault": fault})
    return found


def forget(ctx: Context, datasets: Iterable[str]) -> None:
    """Take tables for not published, so that the next attempt copies all of their rows."""
    with ctx.engine.begin() as connection:
        sql = "UPDATE scores.published SET snapshot = NULL WHERE dataset = ANY(:names)"
        connection.execute(sa.text(sql), {"names": list(datasets)})


@contextlib.contextmanager
def _faults_kept(connection: sa.Connection, row: Snapshot, done: list[Published]) -> Any:
    """Undo what an attempt did when it fails, and keep why; the transaction goes on."""
    try:
        with connection.begin_nested():
            yield
    except (StellarError, sa.exc.DBAPIError, pa.ArrowException, OSError, *_driver_errors()) as error:
        said = str(getattr(error, "orig", None) or error).strip()[:2000]
        _log.warning("%s: not copied into Postgres: %s", row.dataset, said)
        connection.execute(
            sa.text(
                "INSERT INTO scores.published (dataset, fault) VALUES (:dataset, :fault)"
                " ON CONFLICT (dataset) DO UPDATE SET fault = excluded.fault, tried_at = now()"
            ),
            {"dataset": row.dataset, "fault": said},
        )
        done.append(Published(row.dataset, row.key, 0, 0, said))


def _driver_errors() -> tuple[type[Exception], ...]:
    import psycopg2

    return (psycopg2.Error,)  # COPY goes by the driver's own cursor


def _content(connection: sa.Connection, key: str | None) -> str | None:
    row = snapshots.find(connection, key) if key else None
    return row.content_hash if row else None


def _note(connection: sa.Connection, one: Published, relation: str, started: float) -> None:
    connection.execute(
        sa.text(
            "INSERT INTO scores.published (dataset, snapshot, relation, rows, copied, seconds, published_at)"
            " VALUES (:dataset, :snapshot, :relation, :rows, :copied, :seconds, now())"
            " ON CONFLICT (dataset) DO UPDATE SET (snapshot, relation, rows, copied, seconds, published_at, fault,"
            " tried_at) = (excluded.snapshot, excluded.relation, excluded.rows, excluded.copied, excluded.seconds,"
            " now(), NULL, now())"
        ),
        {
            "dataset": one.dataset,
            "snapshot": one.snapshot,
            "relation": relation,
            "rows": one.rows,
            "copied": one.copied,
            "seconds": time.monotonic() - started,
        },
    )


def _table(ctx: Context, connection: sa.Connection, row: Snapshot, former: dict[str, Any]) -> _Table:
    subject = row.dataset.split(".")[1]
    if subject in _RESERVED or fitting_name(f"{subject}_cone") != f"{subject}_cone":
        raise LedgerError(
            f"{row.dataset}: scores.{subject} cannot be the name of a table in Postgres; rename the model"
        )
    catalog = Catalog(ctx.settings.lake / str(row.path))
    columns = main_columns(catalog)
    held = _held_columns(connection, former.get("relation"))
    same = held == [(column.name, column.type) for column in columns]
    relation = former["relation"] if same else f"{subject[:40]}_{row.key[:16]}"
    id_column = snapshots.about(connection, row.dataset)["id_column"]
    return _Table(subject, row, catalog, columns, id_column, relation, former if same else {})


def _held_columns(connection: sa.Connection, relation: str | None) -> list[tuple[str, str]]:
    rows = rows_of(
        connection,
        "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute"
        " WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        name=f"{ROWS_SCHEMA}.{quoted(relation)}" if relation else None,
    )
    return [(row["attname"], row["type"]) for row in rows]


def _fill(connection: sa.Connection, table: _Table) -> tuple[int, Callable[[], None]]:
    """Put a snapshot's rows into its table; how many were copied, and what is left to do to show them."""
    if not table.former:
        _create(connection, table)
        copied = _copy(connection, table, table.catalog.partitions)
        _index(connection, table)
    else:
        copied = _copy_changes(connection, table)
        if _count(connection, table) != table.row.rows:  # never seen; a table that someone wrote to
            connection.execute(sa.text(f"DELETE FROM {_name(table)}"))  # noqa: S608
            copied = _copy(connection, table, table.catalog.partitions)
    if (there := _count(connection, table)) != table.row.rows:
        raise LedgerError(f"{table.row.dataset}: {there} rows were copied into Postgres of {table.row.rows}")
    connection.execute(sa.text(f"ANALYZE {_name(table)}"))
    return copied, (lambda: None) if table.former else (lambda: _show(connection, table))


def _copy_changes(connection: sa.Connection, table: _Table) -> int:
    """Replace the rows of partitions whose files are not those of the snapshot that the table holds."""
    was, now = (_files(connection, key) for key in (table.former["snapshot"], table.row.key))
    if not table.is_on_sky or not table.catalog.is_hats or not was:
        connection.execute(sa.text(f"DELETE FROM {_name(table)}"))  # noqa: S608
        return _copy(connection, table, table.catalog.partitions)
    for name in was.keys() - {name for name, sha256 in now.items() if was.get(name) == sha256}:
        low, beyond = Cell.parse(name).range29()
        connection.execute(
            sa.text(f"DELETE FROM {_name(table)} WHERE {quoted(INDEX_COLUMN)} BETWEEN :low AND :high"),  # noqa: S608
            {"low": low, "high": beyond - 1},
        )
    there = set(table.catalog.cells)
    new = [Cell.parse(name) for name, sha256 in now.items() if was.get(name) != sha256]
    return _copy(connection, table, [cell for cell in new if cell in there])


def _files(connection: sa.Connection, key: str | None) -> dict[str, str]:
    """Partition -> SHA-256 of its file, of a snapshot."""
    sql = (
        "SELECT sp.name, p.file_sha256 FROM lake.snapshot_partition sp"
        " JOIN lake.partition p ON p.key = sp.partition_key WHERE sp.snapshot = :key ORDER BY sp.name"
    )
    return {row["name"]: row["file_sha256"] for row in rows_of(connection, sql, key=key)}


def _copy(connection: sa.Connection, table: _Table, partitions: Iterable[Any]) -> int:
    copied = 0
    names = ", ".join(quoted(column.name) for column in table.columns)
    statement = f"COPY {_name(table)} ({names}) FROM STDIN (FORMAT csv)"
    cursor = connection.connection.cursor()
    for partition in partitions:
        rows = table.catalog.read(partition, [column.source for column in table.columns])
        cursor.copy_expert(statement, csv_rows(rows, table.columns), 1 << 20)
        copied += rows.num_rows
    return copied


def _count(connection: sa.Connection, table: _Table) -> int:
    return int(connection.scalar(sa.text(f"SELECT count(*) FROM {_name(table)}")) or 0)  # noqa: S608


def _name(table: _Table) -> str:
    return f"{ROWS_SCHEMA}.{quoted(table.relation)}"


def _create(connection: sa.Connection, table: _Table) -> None:
    columns = ", ".join(f"{quoted(column.name)} {column.type}" for column in table.columns)
    _run(connection, f"DROP TABLE IF EXISTS {_name(table)}")
    _run(connection, f"CREATE TABLE {_name(table)} ({columns})")
    _run(connection, f"COMMENT ON TABLE {_name(table)} IS {literal(table.row.dataset)}")


def _index(connection: sa.Connection, table: _Table) -> None:
    names = [column.name for column in table.columns]
    for name in dict.fromkeys([INDEX_COLUMN, table.id_column, "object_id"]):
        if name in names:
            _run(connection, f"CREATE INDEX ON {_name(table)} ({quoted(name)})")


def _show(connection: sa.Connection, table: _Table) -> None:
    """Point the view of a table at its rows, with comments, and make its cone; in place of those of another layout."""
    view, cone = (f"scores.{quoted(name)}" for name in (table.subject, f"{table.subject}_cone"))
    columns = ", ".join(f"t.{quoted(column.name)}" for column in table.columns)
    key = f"SELECT p.snapshot FROM scores.published p WHERE p.dataset = {literal(table.row.dataset)}"  # noqa: S608
    old = _relations(connection, table)
    statements = [
        f"SET LOCAL lock_timeout = '{WAIT}'",
        f"DROP FUNCTION IF EXISTS {cone}",
        f"DROP VIEW IF EXISTS {view}",
        *(f"DROP TABLE {ROWS_SCHEMA}.{quoted(name)}" for name in old),
        f"CREATE VIEW {view} AS SELECT {columns}, ({key}) AS snapshot FROM {_name(table)} t",  # noqa: S608
        f"COMMENT ON VIEW {view} IS {literal(_about(connection, table))}",
        f"COMMENT ON COLUMN {view}.snapshot IS 'Snapshot that the row is of; key of lake.snapshot'",
        *(f"COMMENT ON COLUMN {view}.{quoted(one.name)} IS {literal(one.comment)}" for one in table.columns),
        *([cone_function(view, cone, ((one.name, one.type) for one in table.columns))] if table.is_on_sky else []),
        "SET LOCAL lock_timeout = 0",
    ]
    for statement in statements:
        _run(connection, statement)
    for role in READERS:
        if connection.scalar(sa.text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)"), {"role": role}):
            _run(connection, f"GRANT SELECT ON {view} TO {role}")


def _run(connection: sa.Connection, statement: str) -> None:
    """Run a statement as it stands: `%` and `:` in it are SQL, not parameters."""
    connection.connection.cursor().execute(statement)


def _relations(connection: sa.Connection, table: _Table) -> list[str]:
    """Tables with rows of a dataset, other than the one to be shown; attempts that failed may have left some."""
    sql = (
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(:rows) AND relkind = 'r'"
        " AND obj_description(oid, 'pg_class') = :dataset AND relname <> :new ORDER BY relname"
    )
    names = {"rows": ROWS_SCHEMA, "dataset": table.row.dataset, "new": table.relation}
    return list(connection.scalars(sa.text(sql), names))


def _about(connection: sa.Connection, table: _Table) -> str:
    described = snapshots.about(connection, table.row.dataset)["description"]
    return (described.rstrip(".") or table.row.dataset) + ". Rows of the snapshot that is current in the lake."


def cone_function(view: str, name: str, columns: Iterable[tuple[str, str]]) -> str:
    """A statement that makes a function of a view's rows within an angle of a position.

    Plain SQL, so that it is planned within what asks it.

    The rows of a range come from a subquery that is planned by itself (OFFSET 0): there the planner knows of both ends
    of the range at once and takes the index; in a join it guesses a ninth of the table for each range.

    Parameters
    ----------
    view : str
        With ``_healpix_29``, ``ra``, ``dec`` (degrees) and, last, ``snapshot``.
    name : str
        The function's, as SQL has it; it takes centre and radius in degrees.
    columns : iterable of tuple of str
        Name and type of each column but ``snapshot``.
    """
    returned = ", ".join(f"{quoted(column)} {type_}" for column, type_ in columns)
    distance = 'stellar_sky.distance_deg(t.ra, t."dec", $1, $2)'
    return f"""
        CREATE FUNCTION {name}(center_ra double precision, center_dec double precision, radius_deg double precision)
        RETURNS TABLE ({returned}, snapshot text, center_separation_arcsec double precision) LANGUAGE sql STABLE AS $$
            SELECT t.*, 3600 * {distance} FROM stellar_sky.cone_ranges($1, $2, $3) r, LATERAL (
                SELECT * FROM {view} v WHERE v.{quoted(INDEX_COLUMN)} BETWEEN r.low AND r.high OFFSET 0) t
             WHERE {distance} <= $3
        $$"""  # noqa: S608
