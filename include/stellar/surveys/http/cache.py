"""Verified answers on disk, so that a unit that failed half-way does not ask for the other half again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any


class ResponseCache:
    """Bodies by the hash of their request; whatever is on disk is checked against its SHA-256 when read."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes

    @staticmethod
    def key(*parts: Any) -> str:
        """SHA-256 of a request's parts (service, method, URL, body, sign of the unit)."""
        return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()

    def get(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """Description and body, or None; a damaged file counts as none."""
        try:
            head, _, body = self._path(key).read_bytes().partition(b"\n")
            described = json.loads(head)
        except (FileNotFoundError, ValueError):
            return None
        return (described, body) if described.get("sha256") == hashlib.sha256(body).hexdigest() else None

    def put(self, key: str, body: bytes, **described: Any) -> None:
        """Keep an answer: whole or not at all."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps({**described, "sha256": hashlib.sha256(body).hexdigest()}).encode()
        part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        part.write_bytes(head + b"\n" + body)
        part.replace(path)

    def drop(self, key: str) -> None:
        """Forget an answer."""
        self._path(key).unlink(missing_ok=True)

    def prune(self) -> None:
        """Drop the oldest answers beyond the cache's size."""
        found = []
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        spare = sum(size for _, size, _ in found) - self.max_bytes
        for _, size, path in sorted(found):
            if spare <= 0:
                break
            path.unlink(missing_ok=True)
            spare -= size

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key
