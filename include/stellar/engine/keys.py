"""Keys: SHA-256 of canonical JSON. Nothing about time, host or run may enter one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from stellar.errors import InputError


def _canonical(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{where}: {value} has no JSON form, so it cannot enter a key; use null or a string")
        # 1.0 and 1 are the same parameter, whichever way a YAML file wrote it; so are -0.0 and 0.
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        bad = [key for key in value if not isinstance(key, str)]
        if bad:
            raise InputError(f"{where}: key {bad[0]!r} is not a string, so it cannot enter a key")
        return {key: _canonical(value[key], f"{where}.{key}") for key in value}
    if isinstance(value, (list, tuple)):
        return [_canonical(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise InputError(f"{where}: a {type(value).__name__} cannot enter a key; parameters are JSON only")


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII, shortest floats, whole floats as integers.

    Raises
    ------
    InputError
        For anything that is not JSON, naming where it lies.
    """
    return json.dumps(_canonical(value, "params"), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (64 hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def content_hash(files: Iterable[tuple[str, str]]) -> str:
    """Hash of a snapshot's content: its sorted (partition, SHA-256 of the file) pairs."""
    return digest(sorted([name, sha256] for name, sha256 in files))
