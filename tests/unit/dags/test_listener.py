"""Notes of runs and messages on failures: their texts, and the outbox. (That Airflow calls them: tests/e2e.)"""

import importlib.util
import json
from types import SimpleNamespace

import pytest

from stellar.notify.message import Message


@pytest.fixture
def listener(root, tmp_path, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(tmp_path))
    spec = importlib.util.spec_from_file_location("stellar_listener", root / "plugins" / "stellar_listener.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(**given):
    doc = "### Sync\n\nBrings it.\n\n**Resume**: trigger\nagain.\n\n**A failure looks like** a log."
    dag = SimpleNamespace(doc_md=doc)
    return SimpleNamespace(**{"dag_id": "sync_gaia", "run_id": "manual__2026+1", "note": None, "dag": dag} | given)


FAILED = [
    {"task": "fetch", "map_index": 3, "tries": 4, "error": "gaia: unit hpx6-1:\nno answer"},
    {"task": "plan", "map_index": -1, "tries": 1, "error": "x" * 5000},
]


def test_a_note_is_what_the_tasks_left_in_their_order(listener):
    one = run()
    listener.set_note(one, [("commit", -1, "Fetched 3."), ("promote", -1, "Promoted 1.\n- raw.gaia")], [])
    assert one.note == "**What came of it**\n\nFetched 3.\nPromoted 1.\n- raw.gaia"


def test_a_person_s_note_stays_above_and_a_run_that_is_cleared_gets_a_new_note_below(listener):
    one = run(note="for the paper")
    for said in ("first", "second"):
        listener.set_note(one, [("promote", -1, said)], [])
    assert one.note == "for the paper\n\n**What came of it**\n\nsecond"


def test_a_run_that_said_nothing_keeps_its_note(listener):
    one = run(note="mine")
    listener.set_note(one, [], [])
    assert one.note == "mine"


def test_failures_come_first_and_the_note_never_outgrows_airflow_s_column(listener):
    one = run(note="n" * 3000)
    listener.set_note(one, [("plan", -1, "\n".join(f"- {number} " + "y" * 60 for number in range(50)))], FAILED)
    assert len(one.note) <= 1000
    assert "- **failed**: fetch[3], attempt 4: gaia: unit hpx6-1: no answer" in one.note
    assert one.note.endswith("lines more in the tasks' logs")


@pytest.mark.parametrize("width", range(900, 1000, 7))
def test_whatever_the_lines_are_a_note_fits(listener, width):
    for count in (1, 2, 9, 60):
        lines = ["z" * (width // count)] * count
        assert len(listener.fitted("head", lines)) <= 1000


def test_a_message_names_run_task_error_links_and_the_runbook_s_words(listener, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:8080/base/")
    found = listener.message_of(run(), FAILED, "task_failure")
    assert found["title"] == "sync_gaia failed"
    assert "Task fetch[3], attempt 4:\ngaia: unit hpx6-1:\nno answer" in found["text"]
    assert found["todo"] == "Resume: trigger again.\n\nA failure looks like a log."
    base = "http://127.0.0.1:8080/base/dags/sync_gaia/runs/manual__2026%2B1"
    assert found["links"]["run"] == base
    assert found["links"]["log"] == f"{base}/tasks/fetch/mapped/3?try_number=4"
    assert found["links"]["log of plan"] == f"{base}/tasks/plan?try_number=1"
    assert Message.from_dict(found).to_dict() == found


def test_a_failure_is_one_message_and_one_that_happens_again_another(listener):
    first = listener.message_of(run(), FAILED, "")
    assert listener.message_of(run(), FAILED[::-1], "")["id"] == first["id"]
    later = [FAILED[0] | {"tries": 5}, FAILED[1]]
    assert listener.message_of(run(), later, "")["id"] != first["id"]


def test_a_message_lies_in_the_outbox_until_it_was_sent(listener, tmp_path):
    message = listener.message_of(run(), FAILED, "")
    assert listener.put_into_outbox(message)
    file = tmp_path / "outbox" / f"{message['id']}.json"
    assert json.loads(file.read_text()) == message
    assert (tmp_path / "outbox").stat().st_mode & 0o077 == 0
    (tmp_path / "outbox" / "sent").mkdir()
    file.rename(tmp_path / "outbox" / "sent" / file.name)
    assert not listener.put_into_outbox(message)


def test_what_tasks_leave_is_read_as_airflow_stores_it(listener):
    assert [listener.plain(one) for one in ('"a\\nb"', "a b", {"a": 1}, "12")] == ["a\nb", "a b", "{'a': 1}", "12"]
