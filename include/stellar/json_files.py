"""JSON files that people may read: there whole or not at all, an entry a line."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all, folders included; one that says the same already is left alone.

    Parameters
    ----------
    path : Path
    value : object
        Anything that `json` takes; keys come out sorted.
    """
    text = as_lines(value)
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except (FileNotFoundError, UnicodeDecodeError):
        path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def as_lines(value: Any) -> str:
    """A value as JSON with a line for each of its entries, and for each entry of those, but no deeper.

    `json.dumps` with an indent does all in Python, ten times as slowly, which tells for a manifest of thousands of
    partitions.
    """
    return _entries(value, 1) + "\n"


def _entries(value: Any, depth: int) -> str:
    if depth > 2 or not value or not isinstance(value, (Mapping, list, tuple)):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            return json.dumps(value, sort_keys=True)
        items = [f"{json.dumps(name)}: {_entries(value[name], depth + 1)}" for name in sorted(value)]
    else:
        items = [_entries(item, depth + 1) if depth == 1 else json.dumps(item, sort_keys=True) for item in value]
    start, end = "{}" if isinstance(value, Mapping) else "[]"
    pad = " " * depth
    return f"{start}\n{pad}" + f",\n{pad}".join(items) + f"\n{' ' * (depth - 1)}{end}"
