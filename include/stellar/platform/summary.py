"""What a run of the flow says at its end: rows, gates, models, answers, lineage, and what was computed anew."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from stellar.ledger.lineage import MERGED
from stellar.settings import Settings

if TYPE_CHECKING:
    from stellar.lake.sql import LakeConnection

ANSWERS = 3
QUESTIONS = (
    "nearest_stars",
    "variables_by_class",
    "survey_overlap",
    "high_proper_motion",
    "row_accounting",
    "freshness",
)
LINEAGE_LINES = 40
SHOWN_METRICS = 4


@dataclass(frozen=True)
class Made:
    """What exists in the ledger, to tell what a run added."""

    partitions: int
    versions: int


def count_made(engine: sa.Engine) -> Made:
    """Partitions computed and model versions trained so far (raw batches are fetched, not computed)."""
    with engine.connect() as connection:
        partitions = connection.scalar(
            sa.text("select count(*) from lake.partition where split_part(dataset, '.', 1) <> 'raw'")
        )
        versions = connection.scalar(sa.text("select count(*) from registry.version"))
    return Made(partitions or 0, versions or 0)


def print_summary(console: Console, settings: Settings, engine: sa.Engine, before: Made, url: str) -> None:
    """Print everything; each part reads only what is current."""
    from stellar.lake.sql import connect

    console.print(_datasets(engine))
    console.print(_gates(engine))
    console.print(_models(engine))
    with connect(settings, engine) as lake:
        _answers(console, lake, settings.root / "sql" / "queries")
        _lineage(console, settings, lake)
    after = count_made(engine)
    partitions, versions = after.partitions - before.partitions, after.versions - before.versions
    news = "nothing changed: " if partitions == versions == 0 else ""
    console.print(f"\n{news}{partitions} partitions recomputed, {versions} models retrained", style="bold")
    console.print(f"UI: `make up` starts it and keeps it, at {url} if that port is still free; sign in as admin.")
    console.print(f'Passwords: {settings.secrets}/airflow_user_*. Ask: .venv/bin/stellar sql "select …"', markup=False)


def _rows(engine: sa.Engine, query: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def _datasets(engine: sa.Engine) -> Table:
    table = Table("dataset", title="Datasets", title_justify="left")
    for name in ("rows", "MB", "partitions", "snapshot"):
        table.add_column(name, justify="right")
    query = """
        select dataset, rows, bytes, partitions, left(key, 16) as key from lake.snapshot
        where state = 'current'
        order by array_position(
            array['raw', 'curated', 'quarantine', 'features', 'scores'], split_part(dataset, '.', 1)), dataset
    """
    for row in _rows(engine, query):
        table.add_row(
            row["dataset"], f"{row['rows']:,}", f"{row['bytes'] / 1e6:.1f}", str(row["partitions"]), row["key"]
        )
    return table


def _gates(engine: sa.Engine) -> str:
    query = """
        select count(*) filter (where g.passed) as passed, count(*) as gates, coalesce(sum(e.n), 0) as expectations
        from lake.snapshot s
        join lateral (select * from quality.gate where snapshot = s.key order by id desc limit 1) g on true
        left join lateral (select count(*) as n from quality.expectation where gate = g.id) e on true
        where s.state = 'current'
    """
    found = _rows(engine, query)[0]
    return f"Gates: {found['passed']} of {found['gates']} passed, {found['expectations']} expectations"


def _models(engine: sa.Engine) -> Table:
    table = Table("model", "version", "state", "metrics (test)", "why", title="Models", title_justify="left")
    query = """
        select distinct on (v.model) v.model, v.number, left(v.key, 16) as key, v.state, v.state_reason,
               (select reason from registry.promotion where to_version = v.key order by id desc limit 1) as reason
        from registry.version v order by v.model, v.number desc
    """
    for row in _rows(engine, query):
        metrics = _metrics(engine, row["key"])
        why = row["reason"] if row["state"] == "current" else row["state_reason"]
        table.add_row(row["model"], f"{row['number']} {row['key']}", row["state"], metrics, _short(why or ""))
    return table


def _short(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _metrics(engine: sa.Engine, key: str) -> str:
    query = sa.text(
        "select name, value from registry.metric "
        "where version like :key || '%' and split = 'test' and slice = 'all' "
        "order by array_position(array['accuracy', 'macro_f1', 'ece', 'rmse', 'mae', 'coverage'], name), name"
    )
    with engine.connect() as connection:
        found = connection.execute(query, {"key": key}).all()
    return ", ".join(f"{name} {value:.4g}" for name, value in found[:SHOWN_METRICS])


def _answers(console: Console, lake: LakeConnection, queries: Path) -> None:
    """Three of the example questions with their answers; one that this profile cannot answer gives way to the next."""
    import duckdb

    answered = 0
    for name in QUESTIONS:
        if answered == ANSWERS:
            return
        text = (queries / f"{name}.sql").read_text()
        try:
            answer = lake.arrow(text)
        except duckdb.Error:
            continue
        if answer.num_rows:
            title = next(line.lstrip("- ").strip() for line in text.splitlines() if line.startswith("--"))
            console.print(_answer(title, f"sql/queries/{name}.sql", answer))
            answered += 1


def _lineage(console: Console, settings: Settings, lake: LakeConnection) -> None:
    """Where one score came from, as `stellar lineage` shows it."""
    scores = sorted(
        name
        for name, catalog in lake.catalogs.items()
        if name.startswith("scores.") and name != MERGED and catalog.partitions
    )
    for name in scores:
        found = lake.execute(f"select object_id from {name} order by object_id limit 1").fetchone()  # noqa: S608
        if found is None:
            continue
        command = [sys.executable, "-m", "stellar", "lineage", str(found[0])]
        environment = os.environ | {"STELLAR_HOME": str(settings.home), "STELLAR_PROFILE": settings.profile}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        lines = (done.stdout if done.returncode == 0 else done.stderr).splitlines()
        console.print(f"\nLineage of {found[0]}, scored in {name} (stellar lineage {found[0]})", style="bold")
        for line in lines[:LINEAGE_LINES]:
            console.print(line, markup=False, highlight=False, no_wrap=True, overflow="ellipsis", crop=True)
        if len(lines) > LINEAGE_LINES:
            console.print(f"… {len(lines) - LINEAGE_LINES} lines more")
        return


def _answer(title: str, name: str, answer: pa.Table, limit: int = 8) -> Table:
    table = Table(*answer.column_names, title=f"{title}  [dim]({name})[/dim]", title_justify="left")
    for row in answer.slice(0, limit).to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
