"""Sending kept events of OpenLineage to whoever is configured to receive them.

Each command, task and DAG's run that ends sends what is there, for a moment at most; what could not be sent stays in
the outbox and goes with a later one. After a failure everybody waits a while, so that a receiver that is down costs a
run next to nothing. An event may arrive twice (the receiver took it, and its answer was lost); receivers know them by
their run.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from stellar.errors import InputError, StellarError
from stellar.ledger.openlineage import LOG
from stellar.settings import Settings

ENDPOINT = "/api/v1/lineage"  # the receiving path of the specification's HTTP transport
AT_ONCE = 50
PAUSE_S = 60  # after a failure nobody tries again before
GIVE_UP = 10  # refusals (400 and the like) of one event after which it is no longer sent
_LOCK = 0x57E110  # advisory lock of senders: one at a time
_AGAIN = {408, 425, 429}  # refusals that say nothing of the event
_OPEN = sa.text("""
    SELECT o.event, e.body FROM lineage.outbox o JOIN lineage.event e ON e.id = o.event
     WHERE o.sent_at IS NULL AND o.attempts < :give_up AND o.event > :after ORDER BY o.event LIMIT :at_once""")
_WAIT = sa.text("""
    SELECT EXISTS (SELECT FROM lineage.outbox WHERE sent_at IS NULL AND NOT refused
                      AND tried_at > clock_timestamp() - make_interval(secs => :pause))""")
_SENT = sa.text("""
    UPDATE lineage.outbox SET sent_at = clock_timestamp(), tried_at = clock_timestamp(), error = NULL, refused = false
     WHERE event = :event""")
_FAILED = sa.text("""
    UPDATE lineage.outbox SET tried_at = clock_timestamp(), error = :error, refused = :refused,
           attempts = attempts + CASE WHEN :refused THEN 1 ELSE 0 END WHERE event = :event""")


class RefusedError(StellarError):
    """The receiver does not take this event; another may be taken."""


class UnreachableError(StellarError):
    """The receiver takes nothing now."""


def send_within(engine: sa.Engine, settings: Settings, seconds: float | None = None) -> None:
    """Send what is in the outbox for at most some seconds, and never fail; nothing where no receiver is configured."""
    if settings.openlineage_url is None:
        return
    budget = settings.openlineage_timeout_s if seconds is None else seconds
    # a thread that is left behind: a receiver may drip its answer byte by byte, and no timeout of a socket ends that
    work = threading.Thread(target=_quietly, args=(engine, settings, budget), daemon=True, name="openlineage")
    work.start()
    work.join(budget)


def _quietly(engine: sa.Engine, settings: Settings, budget: float) -> None:
    try:
        send(engine, settings, budget)
    except Exception:
        LOG.warning("events of OpenLineage were not sent; they stay in lineage.outbox", exc_info=True)


def send(engine: sa.Engine, settings: Settings, seconds: float = 30.0, *, pause_s: float = PAUSE_S) -> int:
    """Send events in their order until none is left or time is up; returns how many went.

    Raises
    ------
    InputError
        When the address or the key's file cannot be used.
    """
    post = Receiver(settings)
    deadline, sent, after = time.monotonic() + seconds, 0, 0
    with engine.connect() as connection:
        if not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
            return 0  # somebody else is sending
        try:
            if connection.scalar(_WAIT, {"pause": pause_s}):
                return 0
            while time.monotonic() < deadline:
                rows = connection.execute(_OPEN, {"give_up": GIVE_UP, "at_once": AT_ONCE, "after": after}).all()
                if not rows:
                    return sent
                if not after:  # should no answer come while anybody waits, the next command is not to wait as well
                    connection.execute(_FAILED, {"event": rows[0].event, "error": "no answer yet", "refused": False})
                    connection.commit()
                for number, body in rows:
                    after = number
                    went = _send_one(connection, post, number, body, deadline)
                    connection.commit()
                    if went is None:
                        return sent
                    sent += went
            return sent
        finally:
            post.close()
            connection.rollback()
            connection.execute(sa.text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.commit()


def _send_one(connection: sa.Connection, post: Receiver, number: int, body: object, deadline: float) -> int | None:
    """Send one event; 1 when it went, 0 when it was refused, None when nothing goes now."""
    left = deadline - time.monotonic()
    if left <= 0:
        return None
    try:
        post(json.dumps(body).encode(), left)
    except RefusedError as error:
        connection.execute(_FAILED, {"event": number, "error": str(error)[:500], "refused": True})
        return 0
    except UnreachableError as error:
        connection.execute(_FAILED, {"event": number, "error": str(error)[:500], "refused": False})
        return None
    connection.execute(_SENT, {"event": number})
    return 1


class Receiver:
    """One connection to the receiver, kept for several events; it follows no redirection."""

    def __init__(self, settings: Settings) -> None:
        url = urlsplit(str(settings.openlineage_url))
        if url.scheme not in ("http", "https") or not url.hostname:
            raise InputError("STELLAR_OPENLINEAGE_URL: give http://host:port or https://host of a receiver")
        self._url = url
        self._path = (url.path if url.path.strip("/") else ENDPOINT) + (f"?{url.query}" if url.query else "")
        self._headers = {"Content-Type": "application/json", "User-Agent": "stellar-platform"}
        if settings.openlineage_key_file is not None:
            self._headers["Authorization"] = f"Bearer {read_key(settings.openlineage_key_file)}"
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, body: bytes, seconds: float) -> None:
        """Post one event.

        Raises
        ------
        RefusedError, UnreachableError
            With what the receiver said, in short.
        """
        try:
            connection = self._open(seconds)
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            status, said = answer.status, answer.read(2000).decode("utf-8", "replace")
            if not answer.isclosed():
                self.close()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnreachableError(f"{self._url.netloc.rpartition('@')[2]}: {error or type(error).__name__}") from error
        if status < 300:
            return
        told = f"{status} {answer.reason}: {said[:300]}"
        if 400 <= status < 500 and status not in _AGAIN and status not in (401, 403, 404):
            raise RefusedError(told)
        raise UnreachableError(told)

    def _open(self, seconds: float) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = str(self._url.hostname), self._url.port
            if self._url.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=seconds)
        if self._connection.sock is not None:
            self._connection.sock.settimeout(seconds)
        self._connection.timeout = seconds
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def read_key(file: Path) -> str:
    """The receiver's API key.

    Raises
    ------
    InputError
        When the file cannot be read, others than its owner may read it, or it is empty.
    """
    try:
        mode, key = file.stat().st_mode & 0o777, file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"STELLAR_OPENLINEAGE_KEY_FILE: {file} cannot be read: {error}") from None
    if mode & 0o077:
        raise InputError(f"STELLAR_OPENLINEAGE_KEY_FILE: others may read {file} (mode {mode:o}); run chmod 600 on it")
    if not key:
        raise InputError(f"STELLAR_OPENLINEAGE_KEY_FILE: {file} is empty")
    return key
