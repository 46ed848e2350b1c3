"""`stellar archive` as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time

import requests

STELLAR = [sys.executable, "-c", "from stellar.cli import main; main()", "archive"]


def test_build_then_serve_until_stopped(tmp_path):
    environment = {**os.environ, "STELLAR_HOME": str(tmp_path)}
    refused = subprocess.run([*STELLAR, "serve"], env=environment, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "stellar archive build" in refused.stderr
    subprocess.run([*STELLAR, "build", "--scale", "0.02"], env=environment, check=True, capture_output=True)
    before = (tmp_path / "archive/archive.json").stat().st_mtime_ns
    subprocess.run([*STELLAR, "build", "--scale", "0.02"], env=environment, check=True, capture_output=True)
    assert (tmp_path / "archive/archive.json").stat().st_mtime_ns == before
    service = subprocess.Popen([*STELLAR, "serve"], env=environment, stdout=subprocess.DEVNULL)
    address = tmp_path / "run/archive.json"
    try:
        until = time.monotonic() + 120
        while not address.exists():
            assert service.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        described = json.loads(address.read_text())
        assert described["pid"] == service.pid
        assert requests.get(f"{described['url']}/_health", timeout=30).json()["folder"] == str(tmp_path / "archive")
    finally:
        service.send_signal(signal.SIGINT)
        service.wait(30)
    assert not address.exists()
