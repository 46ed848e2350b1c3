"""Fixtures that every suite shares."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("STELLAR_DATA", ROOT.parent / "shared" / "real"))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real survey files; a user may not have it, CI must."""
    if not REAL.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"real survey data missing in CI: {REAL}")
        pytest.skip(f"no real survey data at {REAL}; set STELLAR_DATA")
    return REAL


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file run in one process; the end-to-end ones all in one, as they share a whole run."""
    for item in items:
        where = item.path.relative_to(ROOT / "tests")
        item.add_marker(pytest.mark.xdist_group("e2e" if where.parts[0] == "e2e" else str(where)))
