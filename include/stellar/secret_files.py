"""Generated secrets in files: written whole or not at all, once, readable by their owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PRIVATE = 0o600


def write_once(file: Path, value: str) -> str:
    """Write a secret under its final name in one step; whoever comes second reads the first one's.

    Parameters
    ----------
    file
        In a folder that is there.
    value
        ASCII.

    Returns
    -------
    str
        What the file holds: `value`, or what another process wrote before.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(value)
            stream.flush()
            os.fsync(descriptor)
        os.link(temporary, file)
    except FileExistsError:
        return file.read_text(encoding="ascii")
    finally:
        temporary.unlink()
    return value
