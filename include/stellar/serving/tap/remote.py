"""Uploads that lie elsewhere: fetched by http or https from public addresses, never from this machine's own network."""

from __future__ import annotations

import ipaddress
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from stellar.errors import InputError

#: Longest that a table may take to come, seconds.
PATIENCE_S = 60.0
_PORTS = {"http": 80, "https": 443}


def fetch(url: str, path: Path, largest: int) -> None:
    """Write what an address answers to a file.

    The name is resolved once, and the connection goes to the address that was looked at: a name that leads into the
    machine's own network, now or a moment later, reaches nothing. Redirections are not followed, for the same reason.

    Parameters
    ----------
    url : str
        http or https.
    path : Path
    largest : int
        Most bytes.

    Raises
    ------
    InputError
        When it cannot be had, or is larger.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.password:
        raise InputError(f"{url}: give an http or https address without a password")
    try:
        address = public_address(parts.hostname, parts.port or _PORTS[parts.scheme])
    except ValueError:
        raise InputError(f"{url}: its port is none") from None
    host = f"[{address}]" if ":" in address else address
    port = f":{parts.port}" if parts.port else ""
    target = f"{parts.scheme}://{host}{port}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": parts.netloc, "Accept-Encoding": "identity"}
    extensions = {"sni_hostname": parts.hostname}
    give_up = time.monotonic() + PATIENCE_S
    try:
        with (
            httpx.Client(trust_env=False, follow_redirects=False, timeout=10.0) as client,
            client.stream("GET", target, headers=headers, extensions=extensions) as answer,
            path.open("wb") as file,
        ):
            if answer.status_code != httpx.codes.OK:
                raise InputError(f"{url}: the server says {answer.status_code}")
            size = 0
            for piece in answer.iter_raw():
                size += len(piece)
                if size > largest:
                    raise InputError(f"{url}: larger than {largest >> 20} MB")
                if time.monotonic() > give_up:
                    raise InputError(f"{url}: not there within {PATIENCE_S:.0f} s")
                file.write(piece)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InputError(f"{url}: cannot be fetched: {type(error).__name__}") from None


def public_address(host: str, port: int) -> str:
    """An address of a host, all of which must be public ones.

    Raises
    ------
    InputError
        When the name is not known, or leads to an address of this machine or its network.
    """
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise InputError(f"{host}: no such host") from None
    for address in found:
        place = ipaddress.ip_address(address.partition("%")[0])
        inner = getattr(place, "ipv4_mapped", None) or place
        if not inner.is_global or inner.is_multicast:
            raise InputError(f"{host}: it is not a public address; upload the table itself with param:")
    return min(found)
