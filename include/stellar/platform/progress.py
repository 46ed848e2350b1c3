"""How far the flow is: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from stellar.platform.drive import RunState

LINE_EVERY_S = 10.0


def clock(seconds: float) -> str:
    """Elapsed time as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Lines:
    """For logs and pipes: a line when something changed, and one now and then."""

    def __init__(self, console: Console, started: float) -> None:
        self._console, self._started = console, started
        self._shown: dict[str, str] = {}
        self._at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def say(self, line: str) -> None:
        self._console.print(
            f"[{clock(time.monotonic() - self._started)}] {line}", markup=False, highlight=False, soft_wrap=True
        )

    def show(self, runs: list[RunState]) -> None:
        now = time.monotonic()
        texts = {run.dag_id: _what(run) for run in runs}
        due = now - self._at >= LINE_EVERY_S
        for dag_id, text in texts.items():
            if (
                text
                and text != self._shown.get(dag_id)
                and (due or _stage(text) != _stage(self._shown.get(dag_id, "")))
            ):
                self.say(f"{dag_id}: {text}")
                self._shown[dag_id] = text
                self._at = now


class LiveTable(Lines):
    """For people: one line per DAG under way, drawn over itself."""

    def __enter__(self) -> Self:
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.__exit__(kind, error, at)

    def show(self, runs: list[RunState]) -> None:
        table = Table(title=f"elapsed {clock(time.monotonic() - self._started)}", title_justify="left")
        for column in ("DAG", "tasks", "partition batches", "now"):
            table.add_column(column)
        for run in runs:
            batches = f"{run.batches_done}/{run.batches}" if run.batches else ""
            table.add_row(run.dag_id, f"{run.done}/{run.total}", batches, ", ".join(run.current[:4]))
        self._live.update(table)


def open_progress(console: Console, started: float) -> Lines:
    """The view that fits the console."""
    return LiveTable(console, started) if console.is_terminal else Lines(console, started)


def _what(run: RunState) -> str:
    if not run.current:
        return ""
    batches = f" ({run.batches_done}/{run.batches} batches)" if run.batches else ""
    return f"{', '.join(run.current[:4])}{batches}"


def _stage(text: str) -> str:
    return text.partition("[")[0].partition(" ")[0]
