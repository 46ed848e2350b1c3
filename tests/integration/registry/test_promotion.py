"""Registering, promoting and rolling back in a real ledger."""

import threading

import pytest
import sqlalchemy as sa

from stellar.errors import LedgerError
from stellar.ledger import snapshots
from stellar.registry import versions
from stellar.registry.policy import Decision
from stellar.registry.promotion import CurrentChangedError, history, promote, register, rollback, set_alias
from stellar.registry.versions import (
    MetricRow,
    NewVersion,
    find_version,
    list_aliases,
    list_versions,
    metrics_of,
    resolve,
)

PASSED = Decision(True, ("passed: accuracy >= 0.7: 0.9",), {"rules": [{"lower": float("nan")}]})
FAILED = Decision(False, ("passed: a", "failed: ece <= 0.05: 0.2"), {})
SNAPSHOT = "5" * 64


def new(letter, **changes):
    content = {
        "key": letter * 64,
        "model": "test-class",
        "family": "photometry",
        "target": "spectral_class",
        "description": "A model",
        "architecture": "xgb_classifier",
        "config": {"features": "features.made"},
        "code_version": "1",
        "seed": 1,
        "frame_hash": "f" * 64,
        "artifact_sha256": "a" * 64,
        "artifact_files": {"card.md": "b" * 64},
        "training_rows": 10,
        "training_s": 0.5,
        "metrics": (
            MetricRow("accuracy", 0.9, 0.85, 0.95, 100),
            MetricRow("f1", 0.8, n=20, slice="class=G"),
            MetricRow("r2", float("nan")),
        ),
        "snapshots": {"features": SNAPSHOT},
    }
    return NewVersion(**{**content, **changes})


@pytest.fixture
def engine(ledger):
    with ledger.begin() as connection:
        snapshots.declare_dataset(connection, "features.made", "object_id")
        snapshots.begin(connection, SNAPSHOT, "features.made", "sed", 1, {})
    return ledger


def add(engine, letter, decision=PASSED):
    current = versions.current(engine, "test-class")
    return register(engine, new(letter), decision, compared_with=current and current.key, who="tester")


def test_a_version_is_registered_and_promoted_in_one(engine):
    version = add(engine, "1")
    assert (version.number, version.state) == (1, "current")
    assert versions.current(engine, "test-class").key == version.key
    assert list_aliases(engine, "test-class") == {"current": version.key}
    (line,) = history(engine, "test-class")
    assert (line.from_version, line.to_version, line.who) == (None, version.key, "tester")
    assert line.evidence == {"rules": [{"lower": None}]}
    assert [(row.name, row.slice) for row in metrics_of(engine, version.key)] == [
        ("accuracy", "all"),
        ("f1", "class=G"),
    ]
    with engine.connect() as connection:
        edges = connection.execute(sa.text("select child, parent, role from lineage.edge")).all()
    assert edges == [(version.key, SNAPSHOT, "features")]


def test_a_second_attempt_changes_nothing(engine):
    first = add(engine, "1")
    again = register(engine, new("1"), FAILED, compared_with=None, who="other")
    assert again == first
    assert len(history(engine, "test-class")) == 1


def test_a_refused_version_is_kept_with_its_reason(engine):
    add(engine, "1")
    refused = add(engine, "2", FAILED)
    assert (refused.number, refused.state, refused.state_reason) == (2, "rejected", "failed: ece <= 0.05: 0.2")
    assert versions.current(engine, "test-class").key == "1" * 64


def test_a_decision_against_a_former_version_is_refused(engine):
    add(engine, "1")
    with pytest.raises(CurrentChangedError):
        register(engine, new("2"), PASSED, compared_with=None, who="tester")
    assert find_version(engine, "2" * 64) is None


def test_attempts_at_once_end_as_one(engine):
    found, barrier = [], threading.Barrier(4)

    def attempt():
        barrier.wait()
        found.append(register(engine, new("1"), PASSED, compared_with=None, who="tester"))

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(list_versions(engine, "test-class")) == len(history(engine, "test-class")) == 1


def test_rollback_goes_back_one_promotion_at_a_time(engine):
    for letter in "123":
        add(engine, letter)
    assert rollback(engine, "test-class", who="tester", reason="worse at night") == "2" * 64
    assert rollback(engine, "test-class", who="tester", reason="and by day") == "1" * 64
    with pytest.raises(LedgerError, match="no version was current before"):
        rollback(engine, "test-class", who="tester", reason="again")
    assert promote(engine, "test-class", "3" * 64, who="tester", reason="mended")
    assert rollback(engine, "test-class", who="tester", reason="not mended") == "1" * 64
    assert [line.to_version[0] for line in history(engine, "test-class")] == ["1", "2", "3", "2", "1", "3", "1"]
    states = {version.key[0]: version.state for version in list_versions(engine, "test-class")}
    assert states == {"1": "current", "2": "retired", "3": "retired"}


def test_rollback_to_a_version_that_was_never_current_is_refused(engine):
    add(engine, "1")
    add(engine, "2", FAILED)
    add(engine, "3")
    with pytest.raises(LedgerError, match="was never current"):
        rollback(engine, "test-class", who="tester", reason="x", to="2" * 64)
    assert versions.current(engine, "test-class").key == "3" * 64
    assert rollback(engine, "test-class", who="tester", reason="x", to="1" * 64) == "1" * 64
    assert versions.current(engine, "test-class").key == "1" * 64


def test_a_person_may_promote_what_the_policy_refused(engine):
    add(engine, "1", FAILED)
    assert promote(engine, "test-class", "1" * 64, who="tester", reason="the labels were wrong")
    assert not promote(engine, "test-class", "1" * 64, who="tester", reason="again")
    assert versions.current(engine, "test-class").state_reason == "the labels were wrong"
    assert history(engine, "test-class")[0].evidence == {"by_hand": True}


def test_the_promotion_log_cannot_be_changed(engine):
    add(engine, "1")
    for statement in ("update registry.promotion set who = 'x'", "delete from registry.promotion"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(sa.text(statement))


def test_references(engine):
    refused = add(engine, "1", FAILED)
    found = resolve(engine, "test-class")
    assert found.version.key == refused.key
    assert "no version of test-class is promoted" in found.warning
    add(engine, "2")
    set_alias(engine, "test-class", "paper", "1" * 64, who="tester", reason="as published")
    assert resolve(engine, "test-class").warning is None
    meant = {"": "2", "@current": "2", "@paper": "1", "@1": "1", "@2222222222": "2"}
    for reference, first in meant.items():
        assert resolve(engine, f"test-class{reference}").version.key[0] == first
    for reference, said in (("test-class@9", "Versions: 2"), ("nothing", "known: test-class")):
        with pytest.raises(LedgerError, match=said):
            resolve(engine, reference)


@pytest.mark.parametrize("alias", ["current", "Paper", "deadbeef", "1", ""])
def test_aliases_that_would_mislead_are_refused(engine, alias):
    add(engine, "1")
    with pytest.raises(LedgerError, match="alias"):
        set_alias(engine, "test-class", alias, "1" * 64, who="tester", reason="x")


def test_versions_of_other_models_are_not_promoted(engine):
    add(engine, "1")
    with pytest.raises(LedgerError, match="has no version"):
        promote(engine, "test-class", "9" * 64, who="tester", reason="x")
    with pytest.raises(LedgerError, match="nothing is registered"):
        promote(engine, "other", "1" * 64, who="tester", reason="x")
