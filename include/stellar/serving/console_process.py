"""One process of the console, seen from the server: what it is told, its frames, its end."""

from __future__ import annotations

import json
import os
import select
import shutil
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from stellar.settings import Settings

_PACKAGES = Path(__file__).resolve().parents[2]
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")
_KEPT_PREFIXES = ("STELLAR_", "AWS_", "LC_", "SSL_")
#: Of one frame: screens hold a quarter of it, downloads come in parts of `console_worker.PART_BYTES`.
MOST_FRAME_BYTES = 32 << 20


@dataclass(frozen=True)
class Limits:
    """What questions may take.

    Attributes
    ----------
    workers : int
        Questions that run at once.
    memory_mb : int
        Of DuckDB in one process; one that holds 1.6 times as much, and what it had at its start, is ended.
    spill_mb : int
        Of files of one process that DuckDB puts aside what exceeds its memory into.
    threads : int
    time_s, most_time_s : float
        Time of a question when it does not say, and the longest that it may ask for; of downloads twice that.
    rows, most_rows : int
        Rows on the screen when a question does not say, and at most.
    file_rows : int
        Rows of a download.
    wait_s : float
        How long a question waits for a process.
    idle_s : float
        After so long without a question a process ends.
    """

    workers: int = 2
    memory_mb: int = 768
    spill_mb: int = 2048
    threads: int = 2
    time_s: float = 30.0
    most_time_s: float = 300.0
    rows: int = 1000
    most_rows: int = 10_000
    file_rows: int = 1_000_000
    wait_s: float = 10.0
    idle_s: float = 1800.0


class Ended(Exception):  # noqa: N818
    """The process has gone, or what it says is no use; the text tells why where that is known."""


class Worker:
    """One process and its frames."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self.spill = settings.cache / "console" / f"{os.getpid()}-{uuid.uuid4().hex}"
        self.spill.mkdir(parents=True)
        told = asdict(limits) | {"spill": str(self.spill)}
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "stellar.serving.console_worker", json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(settings),
            cwd=self.spill,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in: IO[bytes] = self.process.stdin
        self._out: int = self.process.stdout.fileno()
        self._held = bytearray()
        self.base_bytes = 0
        self.task = 0

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def send(self, what: dict[str, Any]) -> None:
        """Hand over a task, or what is to be done with one."""
        try:
            self._in.write(json.dumps(what).encode() + b"\n")
            self._in.flush()
        except (BrokenPipeError, ValueError):
            raise Ended from None

    def frame(self, wait_s: float) -> tuple[str, bytes] | None:
        """The next frame; None when there is none after so long.

        Raises
        ------
        Ended
            When the process has gone, or announces more than `MOST_FRAME_BYTES`.
        """
        until = time.monotonic() + wait_s
        while (found := self._whole()) is None:
            ready, _, _ = select.select([self._out], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return None
            part = os.read(self._out, 1 << 18)
            if not part:
                raise Ended
            self._held += part
        return found

    def _whole(self) -> tuple[str, bytes] | None:
        if len(self._held) < 5:
            return None
        size = 5 + struct.unpack_from(">I", self._held, 1)[0]
        if size > MOST_FRAME_BYTES:
            raise Ended(
                f"stopped: the answer has {size >> 20:,} MB, the screen takes {MOST_FRAME_BYTES >> 20} MB; ask "
                "for fewer columns, or shorter texts and lists"
            )
        if len(self._held) < size:
            return None
        found = chr(self._held[0]), bytes(self._held[5:size])
        del self._held[:size]
        return found

    def resident_bytes(self) -> int:
        """Memory that the process holds now."""
        with suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
            return int(pages) * os.sysconf("SC_PAGESIZE")
        return 0

    def kill(self) -> None:
        """End the process and remove what it put aside; its streams stay open for who may be reading them."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        shutil.rmtree(self.spill, ignore_errors=True)

    def end(self) -> None:
        """End the process, remove what it put aside and close its streams."""
        self.kill()
        for stream in (self._in, self.process.stdout):
            with suppress(OSError, ValueError):
                stream.close()  # type: ignore[union-attr]


def environment(settings: Settings) -> dict[str, str]:
    """What a process that runs questions must know, and none of the server's secrets beside."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_ENVIRONMENT or name.startswith(_KEPT_PREFIXES)
    }
    path = os.pathsep.join(filter(None, (str(_PACKAGES), kept.get("PYTHONPATH"))))
    given: dict[str, Callable[[], str | None]] = {
        "STELLAR_HOME": lambda: str(settings.home),
        "STELLAR_ROOT": lambda: str(settings.root),
        "STELLAR_PROFILE": lambda: settings.profile,
        "STELLAR_LAKE": lambda: settings.lake_url,
        "STELLAR_POSTGRES_URL": lambda: settings.postgres_url.get_secret_value() if settings.postgres_url else None,
    }
    told = {name: value for name, value in ((name, get()) for name, get in given.items()) if value}
    return kept | told | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
