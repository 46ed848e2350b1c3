"""Work units and raw batches in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB


@dataclass(frozen=True)
class ActiveBatch:
    """A batch that counts today: its id, file (below the lake's folder) and size."""

    batch_id: str
    path: str
    row_count: int
    quarantined: int
    bytes: int
    file_sha256: str


def done_signs(engine: sa.Engine, survey: str) -> dict[tuple[str, str], str]:
    """(dataset, unit) -> sign under which the unit was last brought, whatever the release."""
    sql = (
        "SELECT w.dataset, w.unit, b.sign FROM ingest.work_unit w JOIN ingest.batch b USING (batch_id)"
        " WHERE w.survey = :survey AND w.state = 'done' AND b.superseded_by IS NULL"
    )
    with engine.connect() as connection:
        rows = connection.execute(sa.text(sql), {"survey": survey}).all()
    return {(row.dataset, row.unit): row.sign for row in rows}


def datasets_of(engine: sa.Engine, survey: str) -> list[str]:
    """Raw datasets that a survey has brought batches of."""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT DISTINCT dataset FROM ingest.batch WHERE survey = :survey ORDER BY dataset"),
            {"survey": survey},
        )
        return [row.dataset for row in rows]


def plan_units(engine: sa.Engine, units: Iterable[Mapping[str, Any]]) -> None:
    """Record units as planned; one done under the same sign stays done, unless another release took its place."""
    units = list(units)
    if not units:
        return
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO lake.dataset (name) VALUES (:name) ON CONFLICT DO NOTHING"),
            [{"name": name} for name in sorted({unit["dataset"] for unit in units})],
        )
        connection.execute(
            sa.text(
                "INSERT INTO ingest.work_unit (survey, dataset, release, unit, sign, params, expected_rows)"
                " VALUES (:survey, :dataset, :release, :unit, :sign, :params, :expected_rows)"
                " ON CONFLICT (survey, dataset, release, unit) DO UPDATE SET sign = excluded.sign,"
                " params = excluded.params, expected_rows = excluded.expected_rows, state = 'planned', error = NULL,"
                " planned_at = now(), state_at = now()"
                " WHERE work_unit.state <> 'done' OR work_unit.sign <> excluded.sign"
                " OR EXISTS (SELECT FROM ingest.batch AS b"
                " WHERE b.batch_id = work_unit.batch_id AND b.superseded_by IS NOT NULL)"
            ).bindparams(sa.bindparam("params", type_=JSONB)),
            units,
        )


def open_units(engine: sa.Engine, survey: str) -> list[dict[str, Any]]:
    """Units that are planned or failed, in order; of one that is open in two releases, the one planned last."""
    sql = (
        "SELECT DISTINCT ON (dataset, unit) survey, dataset, release, unit, sign, params, expected_rows"
        " FROM ingest.work_unit WHERE survey = :survey AND state <> 'done' ORDER BY dataset, unit, planned_at DESC"
    )
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(sql), {"survey": survey}).mappings()]


def known_units(engine: sa.Engine, survey: str) -> list[dict[str, Any]]:
    """Units of a survey that were fetched and count today: dataset, release, unit, sign, rows, when, in what batch."""
    sql = (
        "SELECT w.survey, w.dataset, w.release, w.unit, w.sign, w.expected_rows, b.row_count, b.fetched_at, b.batch_id"
        " FROM ingest.work_unit w JOIN ingest.batch b USING (batch_id)"
        " WHERE w.survey = :survey AND b.superseded_by IS NULL ORDER BY w.dataset, w.unit"
    )
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(sql), {"survey": survey}).mappings()]


def reopen(engine: sa.Engine, units: Iterable[Mapping[str, Any]]) -> None:
    """Plan units once more as they were planned; their batches count until others take their place."""
    sql = sa.text(
        "UPDATE ingest.work_unit SET state = 'planned', error = NULL, planned_at = now(), state_at = now()"
        " WHERE survey = :survey AND dataset = :dataset AND release = :release AND unit = :unit AND state = 'done'"
    )
    keys = ("survey", "dataset", "release", "unit")
    if rows := [{key: unit[key] for key in keys} for unit in units]:
        with engine.begin() as connection:
            connection.execute(sql, rows)


def synced_at(engine: sa.Engine, name: str) -> dict[str, datetime]:
    """Survey -> when its cursor `name` was last set."""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT survey, updated_at FROM ingest.cursor WHERE name = :name"), {"name": name}
        )
        return {row.survey: row.updated_at for row in rows}


_FAIL_UNIT = sa.text("""
    UPDATE ingest.work_unit SET state = 'failed', error = :error, attempts = attempts + 1, state_at = now()
     WHERE survey = :survey AND dataset = :dataset AND release = :release AND unit = :unit
       AND state <> 'done' AND sign = :sign""")
# locks the row, so that the unit is not planned anew before the batch is recorded
_SIGN = sa.text("""
    SELECT sign FROM ingest.work_unit
     WHERE survey = :survey AND dataset = :dataset AND release = :release AND unit = :unit FOR UPDATE""")
# Whatever the release: two releases of one piece of the sky would be the same sources twice.
_SUPERSEDE = sa.text("""
    UPDATE ingest.batch SET superseded_by = :batch_id, superseded_at = now()
     WHERE survey = :survey AND dataset = :dataset AND unit = :unit
       AND superseded_by IS NULL AND batch_id <> :batch_id""")


def fail_unit(engine: sa.Engine, unit: Mapping[str, Any], error: str) -> None:
    """Note a unit's failure; one that another attempt has brought, or that was planned anew, stays so."""
    with engine.begin() as connection:
        connection.execute(_FAIL_UNIT, {**unit, "params": None, "error": error or "failed"})


def record(engine: sa.Engine, unit: Mapping[str, Any], batch: Mapping[str, Any]) -> bool:
    """In one transaction: the batch, the unit's former batch superseded by it, and the unit done.

    The same batch again changes nothing. Content that comes back after other content becomes active again. An attempt
    that is late, because the unit was planned under another sign meanwhile, changes nothing either: then False.
    """
    values = {**unit, **batch}
    with engine.begin() as connection:
        # attempts that overlap take turns
        connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 2))"),
            {"name": "/".join(str(unit[part]) for part in ("survey", "dataset", "unit"))},
        )
        wanted = connection.scalar(_SIGN, unit)
        if wanted is not None and wanted != unit["sign"]:
            return False
        connection.execute(_SUPERSEDE, values)
        connection.execute(
            sa.text(
                "INSERT INTO ingest.batch (batch_id, survey, dataset, release, unit, sign, service, query, params,"
                " response_sha256, row_count, quarantined, path, bytes, file_sha256, run_id)"
                " VALUES (:batch_id, :survey, :dataset, :release, :unit, :sign, :service, :query, :params,"
                " :response_sha256, :row_count, :quarantined, :path, :bytes, :file_sha256, :run_id)"
                " ON CONFLICT (batch_id) DO UPDATE SET sign = excluded.sign, superseded_by = NULL, superseded_at = NULL"
            ).bindparams(sa.bindparam("params", type_=JSONB)),
            values,
        )
        connection.execute(
            sa.text(
                "INSERT INTO ingest.work_unit (survey, dataset, release, unit, sign, params, expected_rows, state,"
                " attempts, batch_id) VALUES (:survey, :dataset, :release, :unit, :sign, :unit_params, :expected_rows,"
                " 'done', 1, :batch_id)"
                " ON CONFLICT (survey, dataset, release, unit) DO UPDATE SET state = 'done', error = NULL,"
                " batch_id = excluded.batch_id, sign = excluded.sign, attempts = work_unit.attempts + 1,"
                " state_at = now() WHERE (work_unit.state, work_unit.batch_id, work_unit.sign)"
                " IS DISTINCT FROM ('done', excluded.batch_id, excluded.sign)"
            ).bindparams(sa.bindparam("unit_params", type_=JSONB)),
            {**values, "unit_params": unit["params"]},
        )
    return True


def record_staged(
    connection: sa.Connection, dataset: str, staged: Iterable[Mapping[str, Any]], run_id: str | None
) -> None:
    """Note the batches that a dataset is imported from; batches of files that are no longer among them are superseded.

    Parameters
    ----------
    staged : iterable of mapping
        ``batch_id, unit (the file), response_sha256 (its hash), row_count, quarantined, path, bytes``.
    """
    rows = list({one["batch_id"]: dict(one) for one in staged}.values())
    values = {"dataset": dataset, "rows": rows, "run_id": run_id, "ids": [one["batch_id"] for one in rows]}
    # A batch points to the one that took its file's place; of a file that is gone, to the first of the new ones.
    connection.execute(
        sa.text(
            "UPDATE ingest.batch b SET superseded_at = now(), superseded_by = coalesce("
            " (SELECT n.batch_id FROM jsonb_to_recordset(:rows) AS n (batch_id text, unit text) WHERE n.unit = b.unit"
            "  LIMIT 1), (CAST(:ids AS text[]))[1])"
            " WHERE b.survey = 'files' AND b.dataset = :dataset AND b.superseded_by IS NULL"
            " AND NOT (b.batch_id = ANY(:ids))"
        ).bindparams(sa.bindparam("rows", type_=JSONB)),
        values,
    )
    connection.execute(
        sa.text(
            "INSERT INTO ingest.batch (batch_id, survey, dataset, release, unit, sign, service, query, response_sha256,"
            " row_count, quarantined, path, bytes, file_sha256, run_id)"
            " SELECT n.batch_id, 'files', :dataset, '', n.unit, n.response_sha256, 'file', n.unit, n.response_sha256,"
            " n.row_count, n.quarantined, n.path, n.bytes, n.response_sha256, :run_id"
            " FROM jsonb_to_recordset(:rows) AS n (batch_id text, unit text, response_sha256 text, row_count bigint,"
            " quarantined bigint, path text, bytes bigint)"
            " ON CONFLICT (batch_id) DO UPDATE SET superseded_by = NULL, superseded_at = NULL"
        ).bindparams(sa.bindparam("rows", type_=JSONB)),
        values,
    )


def active(connection: sa.Connection, dataset: str) -> list[ActiveBatch]:
    """The batches that make up a raw dataset today, by id."""
    sql = (
        "SELECT batch_id, path, row_count, quarantined, bytes, file_sha256 FROM ingest.batch"
        " WHERE dataset = :dataset AND superseded_by IS NULL ORDER BY batch_id"
    )
    return [ActiveBatch(**row) for row in connection.execute(sa.text(sql), {"dataset": dataset}).mappings()]


def get_cursor(engine: sa.Engine, survey: str, name: str) -> Any:
    """A survey's stored cursor, None where it has none."""
    with engine.connect() as connection:
        return connection.scalar(
            sa.text("SELECT value FROM ingest.cursor WHERE survey = :survey AND name = :name"),
            {"survey": survey, "name": name},
        )


def set_cursor(engine: sa.Engine, survey: str, name: str, value: Any) -> None:
    """Store where a survey's next look starts."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO ingest.cursor (survey, name, value) VALUES (:survey, :name, :value)"
                " ON CONFLICT (survey, name) DO UPDATE SET value = excluded.value, updated_at = now()"
            ).bindparams(sa.bindparam("value", type_=JSONB)),
            {"survey": survey, "name": name, "value": value},
        )
