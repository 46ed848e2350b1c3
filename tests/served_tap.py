"""A TAP service as a process."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stellar.settings import Settings

#: Short limits, so that tests of limits are short.
LIMITS = {
    "STELLAR_TAP_SECONDS": "15",
    "STELLAR_TAP_SECONDS_HARD": "60",
    "STELLAR_TAP_ROWS": "20000",
    "STELLAR_TAP_ROWS_HARD": "50000",
    "STELLAR_TAP_MEMORY": "300MB",
    "STELLAR_TAP_UPLOAD_MB": "2",
    "STELLAR_WORKERS": "1",
}


@contextmanager
def running(settings: Settings) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The service's address, and its process."""
    assert settings.postgres_url is not None
    environment = {
        **os.environ,
        **LIMITS,
        "STELLAR_HOME": str(settings.home),
        "STELLAR_ROOT": str(settings.root),
        "STELLAR_POSTGRES_URL": settings.postgres_url.get_secret_value(),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "stellar", "tap"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield found[0], process
    finally:
        process.terminate()
        process.wait(30)
