"""Fixtures that every suite shares."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Tests run in as many processes as there are cores: a second thread would only wait for its turn, and a barrier of two
# threads on a busy machine takes ten times as long as the work.
os.environ.setdefault("OMP_THREAD_LIMIT", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
# how long an example takes is the machine's affair, and no test's
settings.register_profile("stellar", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("stellar")
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


class Groups(LoadScopeScheduling):
    """Tests of one file run in one process; the end-to-end ones all in one, as they share a whole run."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return "e2e" if file.startswith("tests/e2e/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    return Groups(config, log)
