"""Waiting for what a click set going."""

from __future__ import annotations

from platform_home import Home, wait_for
from stellar.platform.client import Airflow

FLOW_S = 420
CALM = 20  # looks, a quarter of a second apart: an asset's event takes the scheduler some of them


def wait_until_quiet(home: Home) -> None:
    """Wait until no run is under way and none is about to start."""
    client: Airflow = home.client()
    calm = 0

    def is_quiet() -> bool:
        nonlocal calm
        busy = client.runs(state=["running", "queued"])
        calm = 0 if busy else calm + 1
        return calm >= CALM

    wait_for(is_quiet, FLOW_S, "the flow to come to rest")
