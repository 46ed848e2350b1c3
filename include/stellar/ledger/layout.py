"""The file `version` of a home: which layout it has, and which program wrote it.

Apart from `stellar.ledger.home`, which brings a home to the present layout through its ledger: a command reads this
before it starts the ledger's server, and the server starts while the libraries of the ledger are imported.
"""

from __future__ import annotations

import json
import os

from stellar import __version__
from stellar.errors import InputError
from stellar.settings import Settings

#: Layout that this program writes. 2: histories, origins of batches and the registry are kept in files too.
LAYOUT = 2
FILE = "version"


def read_layout(settings: Settings) -> int | None:
    """Layout of a home, None of one that is still empty.

    Raises
    ------
    InputError
        When a newer program made it, or the file `version` is damaged.
    """
    path = settings.home / FILE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        layout, program = int(said["layout"]), str(said["program"])
    except FileNotFoundError:
        is_old = (settings.postgres / "PG_VERSION").exists() or (settings.home / "lake").is_dir()
        return 1 if is_old else None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); put it back from a backup: one line like {text().strip()}"
        ) from None
    if layout > LAYOUT:
        raise InputError(
            f"home {settings.home} has layout {layout}, made by version {program} of the platform; this is version "
            f"{__version__}, which knows layouts up to {LAYOUT}. Use version {program} or newer, or set "
            "STELLAR_HOME to another folder"
        )
    return layout


def text() -> str:
    """What the file says of a home that this program brought up to date."""
    return json.dumps({"layout": LAYOUT, "program": __version__}) + os.linesep
