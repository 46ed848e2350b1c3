"""Progress of long work, on one line of a terminal; nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer


def percentage(*, quiet: bool = False) -> Callable[[str, int, int], None]:
    """Callback (what, done, of how many) that shows a percentage on standard error, where that is a terminal."""
    shown = ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal shown
        line = f"{what} {100 * done // max(total, 1):3d}%"
        if quiet or line == shown or not sys.stderr.isatty():
            return
        shown = line
        typer.echo(f"\r\033[K{line}", nl=done >= total, err=True)

    return tell
