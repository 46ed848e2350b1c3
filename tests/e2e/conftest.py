"""Homes of the end-to-end tests; the undisturbed one serves all that only look."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_home import Home


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """Folder for homes that Postgres' user can pass into, as pytest's own (0700) cannot be when tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="stellar-e2e-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def undisturbed(homes) -> Home:
    """A home in which one whole run went through, with what it printed in `home.first`."""
    home = Home(homes / "undisturbed")
    home.first = home.run()  # type: ignore[attr-defined]
    return home


@pytest.fixture(scope="session")
def expected(undisturbed) -> dict[str, object]:
    """What an undisturbed run leaves behind."""
    return json.loads(json.dumps(undisturbed.contents()))
