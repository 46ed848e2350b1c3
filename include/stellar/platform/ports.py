"""Loopback ports of one home: chosen free, remembered, so that a restart keeps its addresses."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from stellar.settings import Settings

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that nothing listens on, named by the kernel."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def assign_ports(settings: Settings, names: tuple[str, ...]) -> dict[str, int]:
    """Port of each named part: the one of last time where it is still free, else a new one.

    Call it only when this home's parts are down: a part that runs would look like a stranger on its own port.
    """
    file = ports_file(settings)
    known = read_ports(settings)
    ports = {name: known[name] for name in names if name in known and is_free(known[name])}
    missing = [name for name in names if name not in ports]
    ports |= dict(zip(missing, free_ports(len(missing)), strict=True))
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(known | ports, indent=1) + "\n")
    temporary.replace(file)
    return ports


def ports_file(settings: Settings) -> Path:
    """File that remembers the ports of a home."""
    return settings.run / "ports.json"


def read_ports(settings: Settings) -> dict[str, int]:
    """Ports remembered for a home; empty when it never ran."""
    try:
        return json.loads(ports_file(settings).read_text())
    except FileNotFoundError:
        return {}
