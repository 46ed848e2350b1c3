"""How long a command took to get going: the start of its process, and the ledger's."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Thread, get_ident
from typing import TYPE_CHECKING, Any

from stellar.errors import StellarError

if TYPE_CHECKING:
    from stellar.engine.context import Context
    from stellar.ledger.server import Server


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

    ``start`` is what it took from the start of the process until all was imported, the ledger's server starting
    meanwhile; ``ledger`` what it took from then to reach the ledger, and to stop it where it was started for this.

    Parameters
    ----------
    seconds : dict
    modules : sequence of str
        What the command's work will need, imported while the server starts.
    without : sequence of str
        What those import where it is installed, and the command needs nothing of: not imported by them.
    """
    from stellar.ledger.server import embedded
    from stellar.settings import load_settings

    settings = load_settings()
    server = embedded(settings)
    with ExitStack() as stack:
        begun = Thread(target=_begin, args=(server,), name="ledger")
        if server is not None:
            stack.callback(server.stop)
            stack.callback(begun.join)
            begun.start()
        _load(["stellar.flow.context", *modules], without)
        seconds["start"] = process_seconds()
        began = time.perf_counter()
        if server is not None:
            begun.join()
        open_context = import_module("stellar.flow.context").open_context
        ctx = stack.enter_context(open_context(settings=settings, postgres=server))
        seconds["ledger"] = time.perf_counter() - began
        try:
            yield ctx
        finally:
            began = time.perf_counter()
            stack.close()
            seconds["ledger"] = round(seconds["ledger"] + time.perf_counter() - began, 4)


def _begin(server: Server) -> None:
    with suppress(StellarError):  # the session will start it once more, and say what is wrong
        server.start()
