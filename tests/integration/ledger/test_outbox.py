"""Sending events to a receiver that is there, slow, down, or refuses; it listens on a real port."""

import socket
import threading

import pytest
import sqlalchemy as sa

from stellar import flow
from stellar.errors import InputError
from stellar.ledger import openlineage as ol
from stellar.ledger import outbox


def keep(ledger, *names):
    with ledger.begin() as connection:
        for name in names:
            event = ol.event("START", ol.new_run(), name, job_type="STEP")
            ol.keep(connection, [event], run_id="dag/run", key=None)


def state(ledger):
    with ledger.connect() as connection:
        rows = connection.execute(sa.text(
            "SELECT e.job, o.sent_at IS NOT NULL AS sent, o.attempts, o.error FROM lineage.outbox o"
            " JOIN lineage.event e ON e.id = o.event ORDER BY e.id"
        ))  # fmt: skip
        return {row.job: (row.sent, row.attempts, row.error) for row in rows}


def test_events_go_in_order_and_once(at, ledger, receiver):
    keep(ledger, "a", "b", "c")
    assert outbox.send(ledger, at) == 3
    assert [(path, event["job"]["name"]) for path, _, event in receiver.asked] == [
        ("/api/v1/lineage", name) for name in "abc"
    ]
    assert outbox.send(ledger, at) == 0
    assert len(receiver.asked) == 3
    with ledger.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM lineage.unsent")) == 0


def test_the_key_is_sent_from_a_file_that_only_its_owner_reads(at, ledger, receiver, tmp_path):
    file = tmp_path / "key"
    file.write_text("secret-7\n")
    file.chmod(0o644)
    at.openlineage_key_file = file
    keep(ledger, "a")
    with pytest.raises(InputError, match="chmod 600"):
        outbox.send(ledger, at)
    assert not receiver.asked
    file.chmod(0o600)
    assert outbox.send(ledger, at) == 1
    assert receiver.asked[0][1] == "Bearer secret-7"


def test_a_receiver_that_is_down_costs_nothing_and_gets_all_later(at, ledger, receiver):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at.openlineage_url = f"http://127.0.0.1:{free.getsockname()[1]}"
    keep(ledger, "a", "b")
    assert outbox.send(ledger, at) == 0
    sent, attempts, error = state(ledger)["a"]
    assert (sent, attempts) == (False, 0)
    assert "refused" in error.lower()
    at.openlineage_url = f"http://127.0.0.1:{receiver.server_port}"
    assert outbox.send(ledger, at) == 0, "nobody tries again so soon"
    assert outbox.send(ledger, at, pause_s=0) == 2


@pytest.mark.parametrize("status", [500, 503, 429, 307, 404])
def test_a_receiver_in_trouble_is_asked_again_later(at, ledger, receiver, status):
    receiver.status = status
    keep(ledger, "a", "b")
    assert outbox.send(ledger, at) == 0
    assert len(receiver.asked) == 1, "the second event waits as well"
    assert state(ledger)["a"][1] == 0
    assert str(status) in state(ledger)["a"][2]
    receiver.status = 200
    assert outbox.send(ledger, at, pause_s=0) == 2


def test_an_event_that_is_refused_does_not_hold_the_others_back(at, ledger, receiver):
    receiver.status = lambda event: 422 if event["job"]["name"] == "bad" else 201
    keep(ledger, "a", "bad", "c")
    assert outbox.send(ledger, at) == 2
    assert state(ledger)["bad"][:2] == (False, 1)
    for _ in range(outbox.GIVE_UP + 2):
        outbox.send(ledger, at)
    assert state(ledger)["bad"][1] == outbox.GIVE_UP
    assert len([one for one in receiver.asked if one[2]["job"]["name"] == "bad"]) == outbox.GIVE_UP


def test_a_command_waits_for_a_slow_receiver_only_so_long(at, ledger, receiver):
    receiver.drips = True
    at.openlineage_timeout_s = 0.5
    keep(ledger, "a")
    ended = threading.Event()

    def command():
        with flow.open_context(settings=at):
            pass
        ended.set()

    threading.Thread(target=command, daemon=True).start()
    assert ended.wait(60), "the answer takes 200 s"
    assert receiver.asked
    assert state(ledger)["a"] == (False, 0, "no answer yet")
    with ledger.connect() as connection:
        assert connection.scalar(outbox._WAIT, {"pause": outbox.PAUSE_S}), "the next command does not wait again"


def test_without_a_receiver_nothing_is_sent(settings, ledger, receiver):
    keep(ledger, "a")
    with flow.open_context(settings=settings):
        pass
    assert not receiver.asked
    assert state(ledger)["a"][0] is False


def test_the_end_of_a_command_sends(at, ledger, receiver):
    keep(ledger, "a")
    with flow.open_context(settings=at):
        pass
    assert [event["job"]["name"] for _, _, event in receiver.asked] == ["a"]


def test_an_address_that_is_none_stops_no_command(settings, ledger):
    settings.openlineage_url = "marquez:5000"
    keep(ledger, "a")
    with flow.open_context(settings=settings):
        pass
    with pytest.raises(InputError, match="STELLAR_OPENLINEAGE_URL"):
        outbox.send(ledger, settings)
