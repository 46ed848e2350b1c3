"""How long a command took to get going: the start of its process, and the ledger's."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread, get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stellar.engine.context import Context


def process_seconds() -> float:
    """Seconds since this process was started (Linux: /proc/self/stat, field 22, in clock ticks since boot)."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return uptime - ticks / os.sysconf("SC_CLK_TCK")


class _Absent:
    """An import finder (`importlib.abc.MetaPathFinder`) that has modules not found by the thread that it is made in."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.thread = {*names} - {*sys.modules}, get_ident()

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in self.names and get_ident() == self.thread:
            raise ModuleNotFoundError(f"{name} is left out of this command", name=name)


def _load(modules: Sequence[str], without: Sequence[str]) -> None:
    absent = _Absent(without)
    sys.meta_path.insert(0, absent)  # type: ignore[arg-type]
    try:
        for name in modules:
            import_module(name)
        import_module("pyarrow").array([0])  # pyarrow looks for pandas at its first array, and only then
    finally:
        sys.meta_path.remove(absent)  # type: ignore[arg-type]


@contextmanager
def timed_context(
    seconds: dict[str, Any], *, modules: Sequence[str] = (), without: Sequence[str] = ()
) -> Iterator[Context]:
    """`stellar.flow.open_context`, with ``start`` and ``ledger`` put into `seconds`.

    ``start`` is what it took from the start of the process until all was imported; ``ledger`` what it took to reach
    the ledger, and to stop it where it was started for this command.

    Parameters
    ----------
    seconds : dict
    modules : sequence of str
        What the command's work will need, imported while the ledger starts.
    without : sequence of str
        What those import where it is installed, and the command needs nothing of: not imported by them.
    """
    from stellar.flow.context import open_context

    loading = Thread(target=_load, args=(modules, without), name="imports")
    loading.start()
    start = process_seconds()
    with ExitStack() as stack:
        began = time.perf_counter()
        ctx = stack.enter_context(open_context())
        reached = time.perf_counter()
        loading.join()
        seconds["start"] = round(start + time.perf_counter() - reached, 4)
        seconds["ledger"] = reached - began
        try:
            yield ctx
        finally:
            began = time.perf_counter()
            stack.close()
            seconds["ledger"] = round(seconds["ledger"] + time.perf_counter() - began, 4)
