"""The TAP service as a process of its own."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

import uvicorn

from stellar import __version__
from stellar.errors import InputError
from stellar.ledger.connect import ledger_session
from stellar.settings import Settings

from .app import PREFIX, create_app

#: Frames of Python's own that a nested query may take: each parenthesis needs some twenty.
DEEPEST = 20_000
_HEADERS = [("Server", f"stellar-platform/{__version__}")]


def serve(settings: Settings, host: str, port: int, report: Callable[[str], None]) -> None:
    """Serve until a signal comes.

    Parameters
    ----------
    settings : Settings
    host : str
    port : int
        0: any that is free.
    report : callable
        Told the address as soon as it listens.

    Raises
    ------
    InputError
        When the address cannot be listened at.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)  # whoever is told the address may come at once
    except OSError as error:
        listening.close()
        raise InputError(f"{host}:{port}: {error.strerror}; choose another --port") from None
    sys.setrecursionlimit(DEEPEST)
    with listening, ledger_session(settings, role="reader") as engine:
        app = create_app(settings, engine)
        config = uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=5, headers=_HEADERS, server_header=False
        )
        report(f"TAP service at http://{host}:{listening.getsockname()[1]}{PREFIX}  (Ctrl-C stops it)")
        uvicorn.Server(config).run([listening])
