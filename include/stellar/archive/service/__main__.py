"""`python -m stellar.archive.service --folder F --port P [--port-file PATH] [--token-file PATH]`."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
from pathlib import Path

import uvicorn

from stellar.archive.service.app import create_app
from stellar.archive.service.faults import parse

HOST = "127.0.0.1"


def serve(folder: Path, port: int = 0, port_file: Path | None = None, token_file: Path | None = None) -> None:
    """Serve the archive in `folder` on loopback until stopped.

    Parameters
    ----------
    port
        0 chooses a free one.
    port_file
        Gets {"url", "port", "pid"} once the port is bound; removed at the end.
    token_file
        Gets the token of `/_faults`, readable by its owner only; without it that endpoint is off.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(24) if token_file else None
    if token_file and token:
        _write(token_file, token)
    app = create_app(folder, parse(os.environ.get("STELLAR_ARCHIVE_FAULTS", "")), token)
    config = uvicorn.Config(app, log_level="warning", access_log=False, backlog=256, timeout_graceful_shutdown=2)
    listener.listen(256)  # from here on a client's connection waits rather than fails
    if port_file:
        _write(port_file, json.dumps({"url": f"http://{HOST}:{port}", "port": port, "pid": os.getpid()}))
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        for path in (port_file, token_file):
            if path:
                path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Write a file of the owner's only, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m stellar.archive.service", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder made by `stellar archive build`")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--port-file", type=Path, help="gets the URL as JSON once the port is bound")
    parser.add_argument("--token-file", type=Path, help="gets the token that /_faults asks for")
    arguments = parser.parse_args()
    serve(arguments.folder, arguments.port, arguments.port_file, arguments.token_file)


if __name__ == "__main__":
    main()
