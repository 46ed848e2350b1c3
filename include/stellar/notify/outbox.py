"""The outbox: messages lie in files until they are sent, so that none is lost while the receiver is away."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from stellar.json_files import write_json
from stellar.notify.message import Message, without_secrets
from stellar.notify.send import SendError, send
from stellar.notify.target import target_of
from stellar.settings import Settings

#: Seconds before each attempt of one delivery: nine minutes in all. What is left then goes with the next delivery.
WAITS_S = (0.0, 2.0, 10.0, 30.0, 60.0, 120.0, 300.0)
#: A message that nobody took for so long is moved aside.
KEPT_DAYS = 7
KEPT_SENT = 200
LOCK_PATIENCE_S = 15.0
#: What is still so after that time is told again.
REMIND_DAYS = 7


def folder(settings: Settings) -> Path:
    """Where messages lie."""
    return settings.home / "outbox"


def waiting(settings: Settings) -> list[Path]:
    """Messages that were not sent yet, the oldest first."""
    return sorted(folder(settings).glob("*.json"), key=lambda path: (path.stat().st_mtime, path.name))


def put(settings: Settings, message: Message) -> bool:
    """Leave a message for the next delivery; False when it was sent before, or messages are off."""
    if target_of(settings) is None or (folder(settings) / "sent" / f"{message.id}.json").exists():
        return False
    folder(settings).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(folder(settings) / f"{message.id}.json", message.to_dict())
    return True


def deliver(
    settings: Settings, waits_s: Sequence[float] = WAITS_S, say: Callable[[str], None] = lambda line: None
) -> tuple[int, int]:
    """Send what lies in the outbox; returns how many messages were sent and how many are left.

    One process at a time does so: another one returns soon, and what it had to send is sent by the first. What
    cannot be sent stays and is tried at the next delivery, for `KEPT_DAYS`. Nothing is raised for a receiver that is
    away: that must not make anything fail that had to tell something.
    """
    place = folder(settings)
    if not place.is_dir():
        return 0, 0
    with (place / ".lock").open("a") as lock:
        if not _taken(settings, lock):
            return 0, len(waiting(settings))
        target = target_of(settings)
        if target is None:  # messages are off: what lies here is for nobody
            for path in waiting(settings):
                path.unlink(missing_ok=True)
            return 0, 0
        sent, refused = 0, set[Path]()
        for wait in waits_s:
            left = [path for path in waiting(settings) if path not in refused]
            if not left:
                break
            time.sleep(wait)
            for path in [one for one in waiting(settings) if one not in refused]:
                try:
                    send(target, without_secrets(settings, _read(path)))
                except SendError as error:
                    say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {error}")
                    if error.for_good:
                        refused.add(path)
                except (ValueError, KeyError, TypeError) as error:
                    say(f"{path} is no message ({error}); it is moved to {place / 'lost'}")
                    _move(path, place / "lost")
                else:
                    _move(path, place / "sent")
                    sent += 1
        _tidy(place)
        return sent, len(waiting(settings))


def _taken(settings: Settings, lock: IO[str]) -> bool:
    """Whether the lock is ours; waits a while for one that is just letting go of it and does not see our message."""
    give_up = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up or not waiting(settings):
                return False
            time.sleep(0.2)
        else:
            return True


def _read(path: Path) -> Message:
    return Message.from_dict(json.loads(path.read_text(encoding="utf-8")))


def _move(path: Path, to: Path) -> None:
    to.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):
        path.replace(to / path.name)


def _tidy(place: Path) -> None:
    """Move aside what nobody took for days, and keep no more of what was sent than is needed to send nothing twice."""
    oldest = time.time() - timedelta(days=KEPT_DAYS).total_seconds()
    for path in place.glob("*.json"):
        if path.stat().st_mtime < oldest:
            _move(path, place / "lost")
    sent = sorted((place / "sent").glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in sent[:-KEPT_SENT]:
        path.unlink(missing_ok=True)


def put_once(settings: Settings, messages: Sequence[Message], now: datetime | None = None) -> list[Message]:
    """Leave messages on what lasts: each once, and again after `REMIND_DAYS`; returns those that are left.

    What is not among them any more is forgotten, so that it is told anew when it happens again.
    """
    now = now or datetime.now(UTC)
    file = folder(settings) / "told" / "lasting"
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        told = {}
    kept, fresh = {}, []
    for message in messages:
        before = told.get(message.id)
        if before and now - datetime.fromisoformat(before) < timedelta(days=REMIND_DAYS):
            kept[message.id] = before
            continue
        (folder(settings) / "sent" / f"{message.id}.json").unlink(missing_ok=True)
        if put(settings, message):
            fresh.append(message)
            kept[message.id] = now.isoformat()
    if kept != told:
        write_json(file, kept)
    return fresh
