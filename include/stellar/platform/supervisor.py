"""One supervisor per home: starts, watches and restarts its parts, and leaves none behind, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import psutil
import yaml

from stellar import store
from stellar.errors import InputError, LedgerError, StellarError
from stellar.ledger.connect import bring_up_to_date
from stellar.ledger.server import Server
from stellar.platform import airflow, bootstrap, processes, workers
from stellar.platform.ports import LOOPBACK, assign_ports
from stellar.platform.processes import Child
from stellar.settings import CONFIG, EMBEDDED, Settings

READY_S = 300.0
TICK_S = 0.5
POSTGRES_CHECK_S = 2.0
STOP_PATIENCE_S = 12.0
ORPHAN_GRACE_S = 3.0
HOPELESS_AFTER = 6  # quick deaths in a row, before the platform was ever ready
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# the archive is a process of its own: nothing imports it, this one neither
BUILD_ARCHIVE = """
import sys; from pathlib import Path; from stellar.archive.build import build_archive
build_archive(Path(sys.argv[1]), seed=int(sys.argv[2]), scale=float(sys.argv[3]))
"""

Report = Callable[[str], None]


def archive_options(settings: Settings) -> dict[str, float] | None:
    """What the profile wants of the embedded archive; None when it has none, or every service is a public one."""
    profile = yaml.safe_load((CONFIG / "profiles" / f"{settings.profile}.yaml").read_text())
    services = (settings.gaia_service, settings.sdss_service, settings.sdss_sas_service)
    services += (settings.mast_service, settings.simbad_service)
    return profile.get("archive") if EMBEDDED in services else None


def archive_build_command(settings: Settings, options: dict[str, float]) -> list[str]:
    """Command that generates the archive's simulated sky, or finds it there."""
    scale = str(options.get("scale", 1.0))
    return [sys.executable, "-c", BUILD_ARCHIVE, str(settings.archive), str(settings.seed), scale]


def archive_serve_command(settings: Settings, port: int) -> list[str]:
    """Command that serves it; the address goes where the surveys look for it."""
    command = [sys.executable, "-m", "stellar.archive.service", "--folder", str(settings.archive), "--port", str(port)]
    # the token lets the owner, and the tests, tell the archive to misbehave
    token = settings.secrets / "archive_token"
    return [*command, "--port-file", str(settings.run / "archive.json"), "--token-file", str(token)]


def tap_command(port: int) -> list[str]:
    """Command that serves the datasets by TAP."""
    return [sys.executable, "-m", "stellar", "tap", "--port", str(port)]


class Supervisor:
    """The running platform of one home, as a context manager. Use it from the main thread.

    The kernel's parent-death signal is tied to the thread that starts a child, so start and restart happen in the
    thread that lives as long as the process.
    """

    def __init__(self, settings: Settings, report: Report, *, services: bool = False) -> None:
        """`services`: with what only people ask, the TAP service."""
        self.settings, self.report = settings, report
        self._services = services
        self.ports: dict[str, int] = {}
        self.children: dict[str, Child] = {}
        self._server = Server(settings) if settings.postgres_url is None else None
        self._lock: IO[str] | None = None
        self._postgres_checked = 0.0
        self._orphans: dict[int, float] = {}
        self._was_ready = False

    @property
    def url(self) -> str:
        """Address of Airflow's UI and API."""
        return airflow.base_url(self.ports)

    @property
    def tap_url(self) -> str:
        """Address of the TAP service."""
        return tap_url(self.ports)

    def __enter__(self) -> Self:
        bootstrap.prepare_home(self.settings)
        self._lock = take_lock(self.settings)
        for number in STOP_SIGNALS:
            signal.signal(number, _interrupt)
        try:
            processes.adopt_orphans()
            self._clear_leftovers()
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self.stop()
        if self._lock is not None:
            status_file(self.settings).unlink(missing_ok=True)
            # who asks the archive now is told that it is not running, not that it does not answer
            (self.settings.run / "archive.json").unlink(missing_ok=True)
            self._lock.close()
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)

    def _clear_leftovers(self) -> None:
        left = processes.leftovers(self.settings)
        if left:
            self.report(f"clearing {len(left)} processes that a killed supervisor left")
            processes.end_all(left, patience_s=2)

    def _start(self) -> None:
        settings = self.settings
        workers.check_broker(settings)
        store.check_reachable(settings.lake)
        options = archive_options(settings)
        asked = (("archive", options is not None), ("tap", self._services))
        self.ports = assign_ports(settings, (*airflow.PORTS, *(name for name, wanted in asked if wanted)))
        if options is not None:
            self.report("looking for the simulated sky, building it where it is missing")
        building = self._build_archive(options) if options is not None else None
        if self._server is not None:
            self.report("starting Postgres")
            self._server.start()
        applied = bring_up_to_date(settings)
        if applied:
            self.report(f"ledger migrated: {len(applied)} files")
        environment = airflow.environment(settings, self.ports)
        if airflow.prepare_database(settings, environment):
            self.report("Airflow's database prepared")
        self.report("starting Airflow")
        for part in airflow.parts(settings):
            self._add(part, airflow.command(settings, part), environment)
        if building is not None:
            self._finish_archive(building)
        if self._services:
            self._add("tap", tap_command(self.ports["tap"]), self._own_environment())
        self._write_status()

    def _build_archive(self, options: dict[str, float]) -> Child:
        """Start generating the simulated sky, beside the rest of the start; at once done when it is there already."""
        settings = self.settings
        command, log = archive_build_command(settings, options), settings.logs / "archive-build.log"
        child = Child("archive-build", command, self._own_environment(), log, settings.home)
        child.start()
        return child

    def _finish_archive(self, building: Child) -> None:
        if building.process is None or building.process.wait() != 0:
            raise StellarError(f"the simulated sky could not be built; end of {building.log}:\n{tail(building)}")
        self._add("archive", archive_serve_command(self.settings, self.ports["archive"]), self._own_environment())

    def _own_environment(self) -> dict[str, str]:
        return {**os.environ, **processes.mark(self.settings), "PYTHONUNBUFFERED": "1"}

    def _add(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        child = Child(name, command, environment, self.settings.logs / f"{name}.log", self.settings.home)
        child.start()
        self.children[name] = child

    def wait_ready(self) -> None:
        """Watch until every part is up and healthy.

        Raises
        ------
        StellarError
            A part keeps dying, or is not healthy within `READY_S`.
        """
        give_up = time.monotonic() + READY_S
        while not (self._all_running() and airflow.is_healthy(self.ports) and self._answer("archive", "tap")):
            self.tick()
            if time.monotonic() > give_up:
                states = {
                    **airflow.health(self.ports),
                    "running": [n for n, c in self.children.items() if c.is_running()],
                }
                raise StellarError(
                    f"the platform was not ready within {READY_S:.0f} s: {states}; see {self.settings.logs}"
                )
            time.sleep(TICK_S)
        self._was_ready = True

    def _all_running(self) -> bool:
        return all(child.is_running() for child in self.children.values())

    def _answer(self, *names: str) -> bool:
        """Whether those of some parts that there are listen; what they answer is their clients' business."""
        for name in names:
            if name in self.children:
                try:
                    socket.create_connection((LOOPBACK, self.ports[name]), timeout=2).close()
                except OSError:
                    return False
        return True

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Keep every part alive until `until` says so, or a signal comes."""
        while not until():
            self.tick()
            time.sleep(TICK_S)

    def tick(self) -> None:
        """One look at every part: Postgres first, since the others die without it."""
        if not self._postgres_is_up():
            return
        changed = False
        for child in self.children.values():
            if child.is_running():
                continue
            if child.next_start <= child.started_at:  # its end was not noted yet
                processes.end_group(child)
                code = child.process.returncode if child.process else None
                wait = child.note_end()
                self.report(f"{child.name} ended (exit {code}); starting it again in {wait:.1f} s")
                if child.failures >= HOPELESS_AFTER and not self._was_ready:
                    raise StellarError(f"{child.name} keeps ending; end of {child.log}:\n{tail(child)}")
            elif time.monotonic() >= child.next_start:
                child.start()
                changed = True
        if changed:
            self._write_status()
        self._end_orphans()

    def _postgres_is_up(self) -> bool:
        if self._server is None or time.monotonic() - self._postgres_checked < POSTGRES_CHECK_S:
            return True
        if not self._server.alive():
            self.report("Postgres is down; starting it again")
            try:
                self._server.start()
            except LedgerError as error:
                self.report(f"Postgres does not start: {error}")
                return False
            self._write_status()
        self._postgres_checked = time.monotonic()
        return True

    def _end_orphans(self) -> None:
        """End what came to us because its parent died: a task of a killed scheduler or worker runs again anyway."""
        living = processes.reap(keep=self._known_pids())
        now = time.monotonic()
        self._orphans = {process.pid: self._orphans.get(process.pid, now) for process in living}
        due = [process for process in living if now - self._orphans[process.pid] >= ORPHAN_GRACE_S]
        for process in due:
            processes.end_all([*processes.descendants(process.pid), process], patience_s=0)

    def _known_pids(self) -> set[int]:
        return {child.pid for child in self.children.values() if child.pid} | self._postgres_pids()

    def _postgres_pids(self) -> set[int]:
        address = (self._server.address() if self._server else None) or {}
        return {address[name] for name in ("warden", "pid") if name in address}

    def _write_status(self) -> None:
        """Who runs, for the doctor, the tests and whoever looks."""
        parts = {name: child.pid for name, child in self.children.items()} | {
            "postgres": ((self._server.address() if self._server else None) or {}).get("pid")
        }
        status = {"pid": os.getpid(), "url": self.url, "ports": self.ports, "parts": parts}
        temporary = status_file(self.settings).with_suffix(".new")
        temporary.write_text(json.dumps(status, indent=1) + "\n")
        temporary.replace(status_file(self.settings))

    def stop(self) -> None:
        """End every part, politely first, then whatever is left below this process; the database last."""
        running = [child for child in self.children.values() if child.is_running()]
        for child in running:
            with suppress(ProcessLookupError):
                os.kill(child.process.pid, signal.SIGTERM)
        give_up = time.monotonic() + STOP_PATIENCE_S
        while any(child.is_running() for child in running) and time.monotonic() < give_up:
            time.sleep(0.1)
        for child in self.children.values():
            processes.end_group(child)
        keep = self._postgres_pids()
        kept = {below.pid for pid in keep for below in processes.descendants(pid)} | keep
        processes.end_all([p for p in processes.descendants(os.getpid()) if p.pid not in kept], patience_s=0)
        processes.reap(keep=keep)
        if self._server is not None:
            self._server.stop()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def tap_url(ports: dict[str, int]) -> str:
    """Address of the TAP service at a home's ports."""
    return f"http://{LOOPBACK}:{ports['tap']}/tap"


def status_file(settings: Settings) -> Path:
    """File that says who runs in a home."""
    return settings.run / "supervisor.json"


def running_status(settings: Settings) -> dict | None:
    """What a living supervisor of this home says of itself; None when none lives."""
    with suppress(FileNotFoundError), (settings.run / "supervisor.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with suppress(FileNotFoundError, ValueError):
                return json.loads(status_file(settings).read_text())
            return {"pid": None, "url": None, "ports": {}, "parts": {}}  # it is starting, or stopping
    return None


def take_lock(settings: Settings) -> IO[str]:
    """Lock that says who supervises this home; the kernel lets go of it when its holder dies.

    Raises
    ------
    InputError
        Another supervisor holds it.
    """
    lock = (settings.run / "supervisor.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        status = running_status(settings) or {}
        raise InputError(
            f"the platform of {settings.home} runs already (process {status.get('pid')}, {status.get('url')}); "
            "stop that one, or set STELLAR_HOME to another folder"
        ) from None
    return lock


def tail(child: Child, lines: int = 15) -> str:
    """Last lines of a part's log."""
    return "\n".join(child.log.read_text(errors="replace").splitlines()[-lines:])


def is_alive(pid: int | None) -> bool:
    """Whether a process exists and is no zombie."""
    with suppress(psutil.NoSuchProcess):
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
