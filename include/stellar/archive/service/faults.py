"""Misbehaviour on demand: answers that real services give on bad days, at seeded rates."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# 429 and 503 with Retry-After; `stall` says nothing for stall_s; `cut` drops the connection in the middle of a body;
# `short` sends half a body as if it were the whole; `html` is a page with status 200; `job` ends a TAP job in ERROR.
ANSWERS = ("429", "503", "stall", "cut", "short", "html")
KINDS = (*ANSWERS, "job")
_SETTINGS = ("rates", "seed", "paths", "retry_after_s", "stall_s")
_PAGE = b"<!DOCTYPE html><html><body><h1>Scheduled maintenance</h1><p>We will be back soon.</p></body></html>"


@dataclass
class Faults:
    """Rates by kind (their sum is the share of bad answers), and a seed that fixes which answers those are.

    Parameters
    ----------
    rates
        Kind -> probability per answer.
    seed
        Another seed hits other answers.
    paths
        Prefix of the paths that it concerns.
    """

    rates: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    paths: str = "/"
    retry_after_s: int = 1
    stall_s: float = 60.0
    given: Counter[str] = field(default_factory=Counter)
    _seen: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Faults:
        """Faults from JSON values; ValueError for unknown keys, kinds and impossible rates."""
        unknown = set(values) - set(_SETTINGS)
        rates = dict(values.get("rates", {}))
        if unknown or set(rates) - set(KINDS):
            raise ValueError(f"unknown {sorted(unknown | (set(rates) - set(KINDS)))}; kinds are {', '.join(KINDS)}")
        if any(not 0 <= rate <= 1 for rate in rates.values()) or sum(rates.values()) > 1:
            raise ValueError(f"rates {rates}: each, and their sum, between 0 and 1")
        return cls(**{**values, "rates": rates})

    def change(self, values: Mapping[str, Any]) -> None:
        """Take other rates from now on; the counts of what was given start anew."""
        other = Faults.from_dict(values)
        with self._lock:
            for name in (*_SETTINGS, "given", "_seen"):
                setattr(self, name, getattr(other, name))

    def to_dict(self) -> dict[str, Any]:
        """Settings, and what was given so far."""
        with self._lock:
            settings = {name: getattr(self, name) for name in _SETTINGS}
            return settings | {"given": dict(self.given)}

    def draw(self, path: str, request: str) -> str:
        """The kind of fault for this answer, or an empty string; the n-th asking for one thing is always the same."""
        with self._lock:
            if not self.rates or not path.startswith(self.paths) or path.startswith("/_"):
                return ""
            self._seen[request] += 1
            kind = self._kind(f"{request}#{self._seen[request]}")
            self.given[kind or "good"] += 1
            return kind

    def job_fails(self, query: str) -> bool:
        """Whether this job of a TAP service ends in ERROR."""
        with self._lock:
            if not self.rates.get("job"):
                return False
            self._seen[query] += 1
            failing = self._share(f"job {query}#{self._seen[query]}") < self.rates["job"]
            self.given["job"] += failing
            return failing

    def _share(self, text: str) -> float:
        digest = hashlib.sha256(f"{self.seed} {text}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    def _kind(self, text: str) -> str:
        share = self._share(text)
        for kind in ANSWERS:
            share -= self.rates.get(kind, 0.0)
            if share < 0:
                return kind
        return ""


class FaultMiddleware:
    """ASGI middleware that spoils answers as `Faults` says."""

    def __init__(self, app: Any, faults: Faults) -> None:
        self.app, self.faults = app, faults

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = f"{scope['method']} {scope['path']}?{scope['query_string'].decode('latin-1')}"
        kind = self.faults.draw(scope["path"], request)
        if kind in ("429", "503"):
            retry = str(self.faults.retry_after_s).encode()
            return await _answer(send, int(kind), b"try again later", b"text/plain", ((b"retry-after", retry),))
        if kind == "html":
            return await _answer(send, 200, _PAGE, b"text/html; charset=utf-8")
        if kind == "stall":
            await asyncio.sleep(self.faults.stall_s)
        if kind in ("cut", "short"):
            return await self.app(scope, receive, _Cutter(send, quiet=kind == "short"))
        return await self.app(scope, receive, send)


class _Cutter:
    """Passes half of the first body on. Loudly: under the whole's length; quietly: as if it were all."""

    def __init__(self, send: Any, quiet: bool) -> None:
        self.send, self.quiet, self.start, self.done = send, quiet, None, False

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        elif self.start is not None and not self.done:
            self.done = True
            body = message.get("body", b"")
            half = body[: len(body) // 2]
            if self.quiet:
                kept = [(key, value) for key, value in self.start["headers"] if key.lower() != b"content-length"]
                self.start = {**self.start, "headers": [*kept, (b"content-length", str(len(half)).encode())]}
            await self.send(self.start)
            await self.send({"type": "http.response.body", "body": half, "more_body": False})


async def _answer(
    send: Any, status: int, body: bytes, content_type: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def parse(text: str) -> Faults:
    """Faults from JSON text, such as that of `STELLAR_ARCHIVE_FAULTS`."""
    return Faults.from_dict(json.loads(text)) if text.strip() else Faults()
