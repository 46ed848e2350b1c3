"""How long a command took to get going: the start of its process, and the ledger's."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread, get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa

    from stellar.engine.context import Context
    from stellar.ledger.server import Server
    from stellar.settings import Settings


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
def _uncollected() -> Iterator[None]:
    """No garbage collection for a while: what imports make stays, and looking through it is a tenth of the start."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if on:
            gc.enable()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables that are not set, set for a while: libraries read them when they are loaded.

    Not while a thread runs that may read some: C's `getenv` stumbles over a `setenv` beside it.
    """
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


#: glibc's `mallopt`: free memory beyond so much goes back to the kernel, and so does each block from so much on.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST_FREE, _LARGEST_BLOCK = 256 << 20, 32 << 20  # the latter is as much as glibc accepts


def _settings_of_libraries() -> dict[str, str]:
    """Environment in which NumPy and Arrow are loaded, for a process that ends with its work.

    A partition after the other needs the same columns again. The kernel zeroes each page that it hands out, and that
    was a quarter of a cross-match: so NumPy and Arrow share one allocator, the C library's, which is told to keep what
    is free, instead of giving it back and asking the kernel for other pages. And OpenBLAS, which no such command asks
    for anything, makes no threads: they would wait for work in a loop, beside the start of the ledger. And pydantic
    does not look through all that is installed for plugins, of which we have none.
    """
    variables = {"OPENBLAS_NUM_THREADS": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    try:
        libc = ctypes.CDLL(None)
        if libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK) and libc.mallopt(_M_TRIM_THRESHOLD, _MOST_FREE):
            variables["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    except (OSError, AttributeError):  # another C library: its ways are its own
        pass
    return variables


@contextmanager
def timed_context(
    seconds: dict[str, Any],
    *,
    modules: Sequence[str] = (),
    without: Sequence[str] = (),
    meanwhile: Callable[[Settings], object] | None = None,
) -> Iterator[Context]:
    """`stellar.flow.open_context`, with ``start`` and ``ledger`` put into `seconds`.

    ``start`` is what it took from the start of the process until all was imported, the ledger's server starting
    meanwhile; ``ledger`` what it took from then to reach the ledger, and to let go of it.

    Parameters
    ----------
    seconds : dict
    modules : sequence of str
        What the command's work will need, imported while the server starts.
    without : sequence of str
        What those import where it is installed, and the command needs nothing of: not imported by them.
    meanwhile : callable, optional
        A part of the work that asks no ledger, done while that of a home that is still empty is made: this takes a
        second or two, several times what the imports take. The command comes by it again, and finds it done. What it
        raises is raised once the ledger is there.
    """
    fault: BaseException | None = None
    with _environment(_settings_of_libraries()):
        with _uncollected():
            from stellar import store
            from stellar.ledger.layout import read_layout
            from stellar.ledger.server import embedded
            from stellar.settings import load_settings

            settings = load_settings()
            store.check_reachable(settings.lake)  # before a server is started for nothing
            is_new = meanwhile is not None and read_layout(settings) is None
            server = embedded(settings)
            begun = _Start(server, settings) if server else None
            _load(["stellar.flow.context", *modules], without)
            seconds["start"] = round(process_seconds(), 4)
        if meanwhile and is_new and begun and begun.fault is None:
            try:
                meanwhile(settings)
            except BaseException as error:  # raised below, where the server is let go
                fault = error
        began = time.perf_counter()
        engine = begun.wait() if begun else None
    reached = ended = 0.0
    try:
        with import_module("stellar.flow.context").open_context(
            settings=settings, postgres=server, engine=engine
        ) as ctx:
            reached = time.perf_counter()
            try:
                if fault is not None:
                    raise fault
                yield ctx
            finally:
                ended = time.perf_counter()
    finally:
        seconds["ledger"] = round(reached - began + time.perf_counter() - ended, 4)


class _Start(Thread):
    """The start of a server, its ledger brought up to date, beside other work.

    A command that ends meanwhile does not wait for it: the server's warden stops what nobody uses any more.
    """

    def __init__(self, server: Server, settings: Settings) -> None:
        super().__init__(name="ledger", daemon=True)
        self.server, self.settings = server, settings
        self.engine: sa.Engine | None = None
        self.fault: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.server.start()
            ledger = import_module("stellar.ledger.connect")
            ledger.bring_up_to_date(self.settings)
            self.engine = ledger.open_ledger(self.settings)
            self.engine.connect().close()  # the pool keeps the connection
        except BaseException as fault:  # of whatever kind, it is raised where the server is waited for
            self.fault = fault

    def wait(self) -> sa.Engine | None:
        """Wait until the ledger is up; raises what its start raised."""
        self.join()
        if self.fault is not None:
            self.server.stop()
            raise self.fault
        return self.engine
