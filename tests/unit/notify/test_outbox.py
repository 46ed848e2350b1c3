"""No message is lost while the receiver is away, none is sent twice, and nothing waits without end."""

import json
import multiprocessing
import os
import threading
import time
from datetime import UTC, datetime, timedelta

from notices import hook
from stellar.notify import outbox
from stellar.notify.message import Message

FAST = (0.0, 0.1, 0.1, 0.2, 0.3)


def message(name: str) -> Message:
    return Message(name, "failed", f"{name} failed", "text")


def ids(one) -> list[str]:
    return [got["id"] for got in one.received]


def test_what_a_broken_receiver_refuses_comes_later(settings_for):
    with hook() as one:
        one.answers = [500, 503, 204]
        settings = settings_for(one.url)
        assert outbox.put(settings, message("a"))
        assert outbox.deliver(settings, FAST) == (1, 0)
        assert ids(one) == ["a"]
        assert not outbox.put(settings, message("a")), "it was sent"
        assert outbox.deliver(settings, FAST) == (0, 0)
        assert ids(one) == ["a"]


def test_a_receiver_that_is_down_for_a_moment_gets_it(settings_for):
    with hook() as gone:
        port = gone.port
    settings = settings_for(gone.url)
    outbox.put(settings, message("a"))
    back = []
    timer = threading.Timer(0.3, lambda: back.append(hook(port)) or back[0].__enter__())
    timer.start()
    assert outbox.deliver(settings, (0.0, 0.1, 0.8, 0.5)) == (1, 0)
    timer.join()
    back[0].__exit__(None, None, None)


def test_a_receiver_that_stays_away_keeps_the_message_and_the_next_delivery_has_it(settings_for):
    with hook() as one:
        port, settings = one.port, settings_for(one.url)
    said = []
    outbox.put(settings, message("a"))
    assert outbox.deliver(settings, FAST[:2], said.append) == (0, 1)
    assert len(said) == 2 and "s3cr3t" not in "".join(said)
    with hook(port) as one:
        outbox.put(settings, message("b"))
        assert outbox.deliver(settings, FAST[:1]) == (2, 0)
        assert ids(one) == ["a", "b"]


def test_one_message_that_is_refused_for_good_does_not_hold_up_the_others(settings_for):
    with hook() as one:
        one.answers = [404, 204]
        settings = settings_for(one.url)
        outbox.put(settings, message("a"))
        os.utime(outbox.folder(settings) / "a.json", (1_000_000_000 + time.time() % 1, time.time() - 60))
        outbox.put(settings, message("b"))
        assert outbox.deliver(settings, FAST) == (1, 1)
        assert ids(one) == ["b"]


def test_what_is_no_message_or_was_refused_for_days_is_moved_aside(settings_for):
    with hook() as one:
        one.answers = [500]
        settings = settings_for(one.url)
        outbox.put(settings, message("old"))
        place = outbox.folder(settings)
        (place / "broken.json").write_text("{ cut")
        week_ago = time.time() - timedelta(days=outbox.KEPT_DAYS + 1).total_seconds()
        os.utime(place / "old.json", (week_ago, week_ago))
        assert outbox.deliver(settings, FAST[:1]) == (0, 0)
        assert sorted(path.name for path in (place / "lost").iterdir()) == ["broken.json", "old.json"]


def test_when_messages_are_off_none_is_kept(settings_for):
    settings = settings_for(None)
    assert not outbox.put(settings, message("a"))
    outbox.folder(settings).mkdir(parents=True)
    (outbox.folder(settings) / "b.json").write_text(json.dumps(message("b").to_dict()))  # as the listener leaves it
    assert outbox.deliver(settings) == (0, 0)
    assert outbox.waiting(settings) == []


def test_deliveries_at_once_send_each_message_once(settings_for):
    with hook() as one:
        one.delay_s = 0.05
        settings = settings_for(one.url)
        for number in range(6):
            outbox.put(settings, message(f"m{number}"))
        at_once = [
            multiprocessing.get_context("fork").Process(target=outbox.deliver, args=(settings, FAST)) for _ in range(3)
        ]
        for process in at_once:
            process.start()
        for process in at_once:
            process.join()
        assert sorted(ids(one)) == [f"m{number}" for number in range(6)]


def test_what_lasts_is_told_once_a_week_and_anew_when_it_came_back(settings_for):
    with hook() as one:
        settings = settings_for(one.url)
        now = datetime(2026, 11, 1, tzinfo=UTC)

        def day(number: int, *late: str) -> list[str]:
            outbox.put_once(settings, [message(name) for name in late], now + timedelta(days=number))
            before = len(one.received)
            outbox.deliver(settings, FAST)
            return ids(one)[before:]

        assert day(0, "gaia") == ["gaia"]
        assert day(1, "gaia", "sdss") == ["sdss"]
        assert day(6, "gaia", "sdss") == []
        assert day(7, "gaia", "sdss") == ["gaia"]
        assert day(8) == []
        assert day(9, "gaia") == ["gaia"]
