"""A home on the tiny profile whose surveys are asked of a running archive."""

import json
from collections.abc import Iterator

import pytest

from served_archive import ServedArchive
from stellar import flow
from stellar.engine.context import Context
from stellar.settings import Settings


@pytest.fixture
def ctx(settings: Settings, archive_service: ServedArchive) -> Iterator[Context]:
    """As a task of a run named `test` has it; modules that need no archive have a `ctx` of their own."""
    (settings.home / "run").mkdir(exist_ok=True)
    (settings.home / "run" / "archive.json").write_text(json.dumps({"url": archive_service.url}))
    with flow.open_context("test", settings.model_copy(update={"profile": "tiny"})) as ctx:
        yield ctx
