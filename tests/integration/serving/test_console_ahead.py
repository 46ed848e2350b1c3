"""What a process of the console does before anybody asks."""

import io
import threading
import time
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from console_home import bring_field, home_of_stars
from stellar.lake.id_index import find_index
from stellar.serving import console_worker
from stellar.serving.console_ahead import first_questions, start_question
from stellar.serving.console_process import Limits, environment


class Silent:
    """An input that says nothing and does not end: with its input an inbox ends its process."""

    def readline(self):
        threading.Event().wait()


@pytest.fixture
def made(database_server, monkeypatch, tmp_path):
    with home_of_stars(database_server) as ctx:
        for name, value in environment(ctx.settings).items():
            monkeypatch.setenv(name, value)
        limits = asdict(Limits(memory_mb=256, threads=1)) | {"spill": str(tmp_path)}
        inbox = console_worker.Inbox(Silent())
        desk = console_worker.Desk(limits)
        yield ctx, desk, console_worker.Answerer(desk, inbox, io.BytesIO())
        desk.engine.dispose()
        if desk._lake is not None:
            desk._lake.close()


def test_the_first_question_is_about_rows_that_there_are(made):
    _, desk, answerer = made
    cone, *others = first_questions(desk.lake())
    found = answerer._query({"id": 0, "statement": cone, "rows": 10})
    assert cone.startswith("SELECT * FROM cone('") and found["rows"]
    assert others[-1] == "SELECT 1"


def test_the_question_to_begin_with_is_about_objects_that_there_are(made):
    _, desk, answerer = made
    lake = desk.lake()
    question = start_question(
        SimpleNamespace(catalogs={"curated.objects": lake.catalogs["curated.stars"]}, duckdb=lake.duckdb)
    )
    assert "curated.objects" in question
    cone = question.replace("curated.objects", "curated.stars").replace("object_id", "id")
    found = answerer._query({"id": 1, "statement": cone.replace(" class, phot_g_mean_mag,", ""), "rows": 10})
    assert found["rows"] and found["rows"][0]
    assert start_question(lake) is None


def test_what_a_promotion_changed_is_opened_between_questions(made):
    ctx, desk, answerer = made
    answerer.warm_up()
    before, opened = dict(desk.current), desk.lake_now
    answerer.look_around()
    assert desk.lake_now is opened
    bring_field(ctx, "c")
    answerer.look_around()
    assert desk.current != before and desk.lake_now is not opened


def test_a_ledger_that_is_away_is_left_for_the_next_question(made, monkeypatch, capsys):
    _, desk, answerer = made
    answerer.warm_up()

    def away():
        raise ConnectionError("away")

    monkeypatch.setattr(desk, "_promoted", away)
    answerer.look_around()
    assert "console: ConnectionError: away" in capsys.readouterr().err


def test_the_index_of_a_large_dataset_is_made_before_anybody_asks(made, monkeypatch):
    _, desk, answerer = made
    monkeypatch.setattr(console_worker, "FEW_FILES", 0)
    answerer.warm_up()
    source = desk._large("curated.stars")
    end = time.monotonic() + 20
    while find_index(source) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert desk.indexed_column("curated.stars") == ("id", True)
    assert desk._indexes.make([source]) is None
