"""Models as their page shows them, and a current version that a person changes."""

import pytest
import sqlalchemy as sa

from integration.registry.test_promotion import engine, new  # noqa: F401 - a fixture
from stellar.errors import InputError, LedgerError
from stellar.ledger.history import registry_file
from stellar.registry import promotion, versions
from stellar.registry.policy import Decision
from stellar.serving import freshness, model_acts, models

RULES = [{"metric": "accuracy", "op": ">=", "value": 0.7}]
CONFIG = {"features": "features.made", "policy": RULES}
PASSED = Decision(
    True, ("passed: accuracy >= 0.7: 0.9",), {"rules": [{"passed": True, "reason": "accuracy >= 0.7: 0.9"}]}
)
REFUSED = Decision(False, ("passed: a", "failed: ece <= 0.05: 0.2; far off", "failed: b"), {})


@pytest.fixture
def act(engine, settings):  # noqa: F811
    """Two versions, the second refused; promotes or rolls back."""
    for letter, decision in (("1", PASSED), ("2", REFUSED)):
        current = versions.current(engine, "test-class")
        made = new(letter, config=CONFIG)
        promotion.register(engine, made, decision, compared_with=current and current.key, who="airflow")

    def by(name, *asked, **more):
        return getattr(model_acts, name)(settings, engine, *asked, **{"who": "operator", "reason": "a trial", **more})

    return by


def test_a_list_shows_the_figure_that_the_policy_judges_first(act, engine):  # noqa: F811
    (one,) = models.models(engine)
    assert (one["name"], one["versions"], one["current"]["number"]) == ("test-class", {"current": 1, "rejected": 1}, 1)
    shown = one["current"]["headline"]
    assert (shown["name"], shown["value"], shown["lower"], shown["upper"]) == ("accuracy", 0.9, 0.85, 0.95)
    about = models.version(engine, "2" * 64)
    assert about["policy"]["verdict"] == "refused"
    assert about["policy"]["reasons"] == ["failed: ece <= 0.05: 0.2; far off", "failed: b"]
    assert {(row["split"], row["slice"], row["name"]) for row in about["metrics"]} == {
        ("test", "all", "accuracy"), ("test", "class=G", "f1"),
    }  # fmt: skip
    assert [one["dataset"] for one in about["sources"]] == ["features.made"]
    with pytest.raises(InputError, match="no model 'nothing'; there are test-class"):
        models.model(engine, "nothing")


def test_over_the_policy_only_when_it_is_said_and_the_log_keeps_what_the_policy_said(act, engine, settings):  # noqa: F811
    with pytest.raises(InputError, match=r"test-class@2 was refused by its policy: failed: ece <= 0\.05"):
        act("promote", "test-class@2", over_policy=False)
    assert versions.current(engine, "test-class").number == 1
    made = act("promote", "test-class@2", over_policy=True)
    assert (made["number"], made["changed"], made["follows"]) == (2, True, "score_catalog")
    line = models.model(engine, "test-class")["history"][0]
    assert (line["who"], line["reason"], line["from_number"], line["to_number"]) == ("operator", "a trial", 1, 2)
    assert line["evidence"]["policy"]["verdict"] == "refused"
    assert models.policy_says(engine, versions.current(engine, "test-class"))["verdict"] == "refused"
    assert registry_file(settings.artifacts, "test-class").is_file()
    assert act("promote", "test-class@2", over_policy=True)["follows"] is None


def test_back_and_forward(act, engine):  # noqa: F811
    with pytest.raises(LedgerError, match="no version was current before"):
        act("rollback", "test-class")
    act("promote", "test-class@2", over_policy=True)
    assert act("rollback", "test-class")["number"] == 1
    assert act("promote", "test-class@2", over_policy=True)["number"] == 2
    assert act("rollback", "test-class", to="1")["number"] == 1


def test_a_page_that_is_out_of_date_changes_nothing(act, engine):  # noqa: F811
    act("promote", "test-class@2", over_policy=True)
    with pytest.raises(InputError, match="is current by now, not what your page showed"):
        act("rollback", "test-class", instead_of="1" * 64)
    with pytest.raises(InputError, match="say why"):
        act("rollback", "test-class", reason="  ")
    assert versions.current(engine, "test-class").number == 2


def test_two_to_eight_versions_are_compared(act, engine, settings):  # noqa: F811
    for references in ([], ["test-class@1"], ["test-class@1", "test-class@1"]):
        with pytest.raises(InputError, match="two to 8"):
            models.compare(settings, engine, references)


def test_syncs_are_fresh_for_eight_days(ledger, settings):
    settings.profile = "simulated"

    def states():
        return {one["name"]: one["state"] for one in freshness.freshness(settings, ledger)}

    assert states() == {"gaia": "never", "sdss": "never", "tess": "never", "labels": "never", "scores.catalog": "never"}
    batch = sa.text("""
        INSERT INTO ingest.batch (batch_id, survey, dataset, release, unit, sign, service, query, fetched_at,
                                  response_sha256, row_count, path, bytes, file_sha256)
        VALUES (:id, :survey, 'raw.gaia', 'r', 'u', 's', 'x', 'q', now() - CAST(:ago AS interval),
                'h', 1, 'raw', 1, :id)""")
    with ledger.begin() as connection:
        connection.execute(sa.text("INSERT INTO lake.dataset (name) VALUES ('raw.gaia')"))
        connection.execute(batch, {"id": "a" * 64, "survey": "gaia", "ago": "7 days 23 hours"})
        connection.execute(batch, {"id": "b" * 64, "survey": "sdss", "ago": "8 days 1 hour"})
        connection.execute(batch, {"id": "c" * 64, "survey": "tess", "ago": "30 days"})
        connection.execute(sa.text("INSERT INTO ingest.cursor (survey, name, value) VALUES ('tess', 'synced', '{}')"))
    # tess was asked again since, and had nothing new
    assert states() == {"gaia": "fresh", "sdss": "late", "tess": "fresh", "labels": "never", "scores.catalog": "never"}
