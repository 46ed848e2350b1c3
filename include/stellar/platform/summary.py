"""What a run of the flow says at its end: rows, gates, models, answers, lineage, and what was computed anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from stellar.settings import Settings

QUESTIONS = 3
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
    console.print(_datasets(engine))
    console.print(_gates(engine))
    console.print(_models(engine))
    _answers(console, settings, engine)
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
        table.add_row(row["model"], f"{row['number']} {row['key']}", row["state"], metrics, why or "")
    return table


def _metrics(engine: sa.Engine, key: str) -> str:
    query = sa.text(
        "select name, value from registry.metric "
        "where version like :key || '%' and split = 'test' and slice = 'all' "
        "order by array_position(array['accuracy', 'macro_f1', 'ece', 'rmse', 'mae', 'coverage'], name), name"
    )
    with engine.connect() as connection:
        found = connection.execute(query, {"key": key}).all()
    return ", ".join(f"{name} {value:.4g}" for name, value in found[:SHOWN_METRICS])


def _answers(console: Console, settings: Settings, engine: sa.Engine) -> None:
    """Three of the example questions with their answers."""
    from stellar.lake.sql import connect

    asked = _questions(settings.root / "sql" / "queries")
    with connect(settings, engine) as lake:
        for file in asked:
            text = file.read_text()
            title = next((line.lstrip("- ").strip() for line in text.splitlines() if line.startswith("--")), file.stem)
            console.print(_answer(title, file.name, lake.arrow(text)))


def _questions(folder: Path) -> list[Path]:
    """The questions to ask here: those of astronomers first, in the order of their names."""
    return sorted(folder.glob("*.sql"))[:QUESTIONS]


def _answer(title: str, name: str, answer: pa.Table, limit: int = 8) -> Table:
    table = Table(*answer.column_names, title=f"{title}  [dim]({name})[/dim]", title_justify="left")
    for row in answer.slice(0, limit).to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
