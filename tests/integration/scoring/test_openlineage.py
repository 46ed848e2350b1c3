"""A training and a scoring as events tell them: figures, versions, and the columns that a score came from."""

import pytest
import sqlalchemy as sa

import openlineage_schemas
from made_lake import bring_stars
from made_stars import make_config
from stellar.engine import engine
from stellar.engine.context import Context
from stellar.registry import promotion, versions
from stellar.scoring.merged import merged_step
from stellar.scoring.score import score_step
from stellar.training import train as module
from stellar.training.train import train


@pytest.fixture
def ctx(settings, ledger):
    return Context(settings, ledger, "train_models/run-1")


def bodies(ctx, job):
    with ctx.engine.connect() as connection:
        sql = "SELECT body FROM lineage.event WHERE job = :job ORDER BY id"
        found = connection.scalars(sa.text(sql), {"job": job}).all()
    for one in found:
        openlineage_schemas.validate(one)
    return found


def test_a_training_and_its_scores_are_told(ctx, monkeypatch):
    bring_stars(ctx, 900)
    monkeypatch.setattr(module, "fit", broken := lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(ctx, make_config())
    monkeypatch.undo()
    assert module.fit is not broken
    result = train(ctx, make_config(), who="tester")
    events = bodies(ctx, "train/test-teff")
    assert [one["eventType"] for one in events] == ["START", "FAIL", "START", "COMPLETE"]
    assert "division" in events[1]["run"]["facets"]["errorMessage"]["message"]
    complete = events[-1]
    assert complete["run"]["facets"]["parent"]["job"]["name"] == "train_models"
    assert complete["run"]["facets"]["stellar"]["figures"]["mae"] == pytest.approx(result.metrics["mae"].value)
    (output,) = complete["outputs"]
    assert (output["name"], output["facets"]["version"]["datasetVersion"]) == ("models.test_teff", result.version_key)
    assert {one["name"] for one in complete["inputs"]} == {"features.made", "features.labels"}

    version = versions.current(ctx.engine, "test-teff")
    engine.run(ctx, [score_step(make_config(), version, ctx.settings.artifacts)])
    scored = bodies(ctx, "build/scores.test_teff")[-1]
    assert {one["name"] for one in scored["inputs"]} == {"features.made", "models.test_teff"}
    fields = scored["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert [one["field"] for one in fields["object_id"]["inputFields"]] == ["object_id"]
    assert {one["field"] for one in fields["teff_k"]["inputFields"]} == {*version.config["reads"]}
    assert "model" not in fields and "_healpix_29" not in fields
    with ctx.engine.connect() as connection:
        sql = "SELECT input_column FROM ledger.column_lineage WHERE dataset = :d AND column_name = 'teff_k'"
        assert set(connection.scalars(sa.text(sql), {"d": "scores.test_teff"})) == {*version.config["reads"]}


def test_a_promotion_by_hand_is_told(ctx):
    bring_stars(ctx, 900)
    train(ctx, make_config())
    worse = train(ctx, make_config(params={"rounds": 2, "learning_rate": 0.05, "threads": 1}))
    promotion.promote(ctx.engine, "test-teff", worse.version_key, who="hand", reason="for a trial")
    start, complete = bodies(ctx, "promote/test-teff")
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert complete["run"]["facets"]["stellar"]["reason"] == "for a trial"
    assert complete["outputs"][0]["facets"]["version"]["datasetVersion"] == worse.version_key


def test_a_merged_catalogue_names_the_scores_and_the_objects():
    from stellar.engine.columns import sources_of

    found = sources_of(merged_step(["scores.x", "scores.xy"], 1.0), ["ra", "x__teff_k", "xy__teff_k", "_healpix_29"])
    assert found["ra"] == [("curated.objects", "ra", "")]
    assert [one[:2] for one in found["x__teff_k"]] == [("scores.x", "teff_k")]
    assert [one[:2] for one in found["xy__teff_k"]] == [("scores.xy", "teff_k")]
    assert "_healpix_29" not in found
