"""Keeper of one embedded Postgres: starts it as its child and stops it once nobody uses it.

Run as a script with the standard library alone (it must start in milliseconds and outlive the command that started
it). Every user of the server holds a shared lock on the users file for as long as it lives, so the kernel tells
this process, by granting it the exclusive lock, that the last one is gone, even after a `kill -9`. The warden
killed, the kernel stops Postgres (PR_SET_PDEATHSIG); Postgres killed, the warden ends.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

PR_SET_PDEATHSIG = 1


def child_setup() -> None:
    """Between fork and exec of Postgres: a fast shutdown when the warden dies."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() == 1:  # the warden died before the line above
        os._exit(1)


def stop(server: subprocess.Popen[bytes]) -> None:
    """Fast shutdown; immediate when that takes too long (the write-ahead log brings it back)."""
    for signum, patience in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
        if server.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(patience)
            return


def wait_until_unused(users: IO[str], start: IO[str]) -> None:
    """Return holding both locks: nobody uses the server, and nobody can begin to before this process is gone."""
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        try:
            fcntl.flock(start, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:  # somebody is starting or stopping: let them have the users file
            fcntl.flock(users, fcntl.LOCK_UN)
            time.sleep(0.1)


def main(arguments: dict) -> int:
    users = Path(arguments["users"]).open("a")  # noqa: SIM115 - held until the process ends
    start = Path(arguments["start"]).open("a")  # noqa: SIM115
    identity = {}
    if arguments["uid"] is not None:
        identity = {"user": arguments["uid"], "group": arguments["gid"], "extra_groups": []}
    server = subprocess.Popen(  # noqa: S603 - a fixed command
        arguments["command"],
        stdin=subprocess.DEVNULL,
        cwd="/",
        preexec_fn=child_setup,  # this process has one thread
        **identity,
    )
    address = Path(arguments["address"])
    fresh = address.with_name(f".{address.name}.{os.getpid()}")
    fresh.write_text(json.dumps({**arguments["where"], "pid": server.pid, "warden": os.getpid()}), encoding="utf-8")
    fresh.replace(address)

    def told(signum: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, told)  # raising is what ends the blocking flock
    try:
        if server.poll() is None:
            wait_until_unused(users, start)
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop(server)
        with contextlib.suppress(OSError, ValueError):
            if json.loads(address.read_text(encoding="utf-8")).get("warden") == os.getpid():
                address.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
