"""How long a command took to get going: the start of its process, and the ledger's."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stellar.engine.context import Context


def process_seconds() -> float:
    """Seconds since this process was started (Linux: /proc/self/stat, field 22, in clock ticks since boot)."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return uptime - ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def timed_context(seconds: dict[str, Any], *, modules: Sequence[str] = ()) -> Iterator[Context]:
    """`stellar.flow.open_context`, with ``start`` and ``ledger`` put into `seconds`.

    ``start`` is what it took from the start of the process until all was imported; ``ledger`` what it took to reach
    the ledger, and to stop it where it was started for this command.

    Parameters
    ----------
    seconds : dict
    modules : sequence of str
        What the command's work will need, imported while the ledger starts.
    """
    from stellar.flow.context import open_context

    loading = Thread(target=lambda: [import_module(name) for name in modules], name="imports")
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
