"""`stellar run`: start the platform, run the flow through its scheduler, print the summary, stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from stellar.errors import InputError
from stellar.ledger.connect import ledger_session
from stellar.platform import bootstrap
from stellar.platform.client import Airflow
from stellar.platform.drive import Driver
from stellar.platform.progress import Lines, clock, open_progress
from stellar.platform.summary import count_made, print_summary
from stellar.platform.supervisor import Supervisor, running_status
from stellar.profile import load_profile
from stellar.settings import Settings


class Worker(threading.Thread):
    """The driver beside the supervisor: parts must be started from the main thread, so the driver takes another."""

    def __init__(self, task: Callable[[], None]) -> None:
        super().__init__(name="driver", daemon=True)
        self._task = task
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._task()
        except BaseException as error:
            self.error = error


def run(settings: Settings, console: Console) -> None:
    """The whole flow once. A platform that runs already in this home is used and left running.

    Raises
    ------
    StellarError
        Something failed: what, and how to go on.
    """
    started = time.monotonic()
    with open_progress(console, started) as progress:
        progress.say(f"profile {settings.profile}, home {settings.home}")
        status = running_status(settings)
        if status is not None:
            bootstrap.prepare_home(settings)
            if not status["url"]:
                raise InputError(f"the platform of {settings.home} is starting or stopping; try again in a moment")
            progress.say(f"using the platform that runs already at {status['url']}")
            _drive(settings, console, progress, status["url"], lambda: False)
        else:
            with Supervisor(settings, progress.say) as supervisor:
                supervisor.wait_ready()
                progress.say(f"ready at {supervisor.url}")
                stopping = threading.Event()
                worker = Worker(lambda: _drive(settings, console, progress, supervisor.url, stopping.is_set))
                worker.start()
                try:
                    supervisor.watch(until=lambda: not worker.is_alive())
                finally:
                    stopping.set()
                    progress.say("stopping")
            if worker.error is not None:
                raise worker.error
        progress.say("done")
    console.print(f"total {clock(time.monotonic() - started)}")


def _drive(settings: Settings, console: Console, progress: Lines, url: str, stopping: Callable[[], bool]) -> None:
    syncs = [f"sync_{survey}" for survey in load_profile(settings.profile).surveys]
    with ledger_session(settings) as engine, _client(settings, url) as client:
        before = count_made(engine)
        Driver(client, progress, lambda: _stale(settings), stopping).flow(syncs)
        print_summary(console, settings, engine, before, url)


def _stale(settings: Settings) -> list[str]:
    from stellar import flow

    with flow.open_context("stellar run", settings) as ctx:
        return flow.stale(ctx)


@contextmanager
def _client(settings: Settings, url: str) -> Iterator[Airflow]:
    client = Airflow(url, "admin", bootstrap.password(settings, "admin"))
    try:
        yield client
    finally:
        client.close()
