"""The validator of STILTS finds no errors in the service."""

import re
import shutil
import subprocess

import pytest


def test_taplint_finds_no_errors(service):
    if shutil.which("stilts") is None:
        pytest.skip("stilts is not installed")
    command = ["stilts", "taplint", f"tapurl={service}", "maxtable=100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    total = re.search(r"Totals: Errors: (\d+)", done.stdout)
    assert total, done.stdout + done.stderr
    assert total[1] == "0", "\n".join(line for line in done.stdout.splitlines() if line.startswith("E-"))
