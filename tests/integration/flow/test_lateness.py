"""What is late, by a real ledger: surveys nobody synced, and outputs that did not follow a sync."""

from datetime import UTC, datetime, timedelta

from stellar import flow
from stellar.flow.lateness import messages

CONE = {"regions": [{"ra": 0.0, "dec": 20.0, "radius_deg": 0.3}]}


def late(ctx, **after) -> list[str]:
    return [one["id"].split("-20")[0] for one in flow.late(ctx, datetime.now(UTC) + timedelta(**after))]


def test_nothing_is_late_in_a_home_that_nobody_filled(ctx):
    assert late(ctx, days=100) == []


def test_syncs_and_scores_get_late_each_in_its_time_and_a_sync_that_finds_nothing_new_counts(ctx):
    flow.run_sync(ctx, "gaia", CONE, who="test", say=lambda line: None)
    assert late(ctx, hours=23) == []
    assert late(ctx, hours=25) == ["late-scores"]
    others = [f"late-sync-{survey}" for survey in ("sdss", "tess", "labels")]
    assert late(ctx, days=9) == ["late-sync-gaia", *others, "late-scores"]
    # a week later all is as it was: the sync brings nothing, and still it was done
    with ctx.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ingest.cursor SET updated_at = now() - interval '9 days'")
        connection.exec_driver_sql("UPDATE ingest.batch SET fetched_at = now() - interval '9 days'")
    assert late(ctx) == ["late-sync-gaia"]
    flow.run_sync(ctx, "gaia", CONE, who="test", say=lambda line: None)
    assert late(ctx) == []


def test_scores_are_no_longer_late_once_what_was_behind_has_followed(ctx):
    flow.run_sync(ctx, "gaia", CONE, who="test", say=lambda line: None)
    [found] = flow.late(ctx, datetime.now(UTC) + timedelta(hours=30))
    assert "build_catalog has not followed" in found["text"] and "30 h behind" in found["title"]
    [message] = messages([found], "http://127.0.0.1:1/")
    assert message.links == {"dag": "http://127.0.0.1:1/dags/build_catalog"}
    for dag in ("build_catalog", "extract_features"):
        flow.run_stages(ctx, dag, who="test", say=lambda line: None)
    assert late(ctx, hours=30) == []
