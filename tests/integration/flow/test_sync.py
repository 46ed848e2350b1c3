"""Syncs as the DAG and the command call them: with a real ledger, over HTTP from a real archive."""

import pytest
import sqlalchemy as sa

from stellar import flow
from stellar.engine import ingest
from stellar.errors import StellarError
from stellar.flow.staleness import stale

CONE = {"regions": [{"ra": 0.0, "dec": 20.0, "radius_deg": 0.3}]}


def units(ctx) -> dict[str, int]:
    with ctx.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT state, count(*) FROM ingest.work_unit GROUP BY state"))
        return {row.state: row.count for row in rows}


def test_a_dry_run_names_the_batches_and_records_nothing(ctx):
    assert flow.sync_plan(ctx, "gaia", CONE, dry_run=True)
    assert units(ctx) == {}


def test_rows_that_were_fetched_and_in_no_snapshot_make_the_sync_stale(ctx):
    assert stale(ctx, only="sync_gaia") == []
    for batch in flow.sync_plan(ctx, "gaia", CONE):
        flow.sync_fetch(ctx, batch)
    assert stale(ctx, only="sync_gaia") == ["sync_gaia"]
    keys = [one["key"] for one in flow.sync_commit(ctx, "gaia")]
    flow.gate(ctx, keys)
    assert flow.promote(ctx, keys, who="test", reason="test")["raw.gaia"]
    assert stale(ctx, only="sync_gaia") == []


def test_units_left_open_by_another_scope_do_not_keep_a_sync_stale(ctx):
    flow.sync_plan(ctx, "gaia", CONE)
    assert units(ctx)["planned"] > 0
    assert stale(ctx, only="sync_gaia") == []


def test_one_bad_answer_does_not_keep_the_other_units_from_being_recorded(ctx, monkeypatch):
    from stellar.surveys import gaia

    [*batches] = flow.sync_plan(ctx, "gaia")
    names = [unit for batch in batches for _, unit in batch["units"]]
    fetch = gaia.GaiaSurvey.fetch

    def one_is_broken(self, unit):
        if unit.unit == names[0]:
            raise ValueError("an answer that nobody thought of")
        return fetch(self, unit)

    with monkeypatch.context() as patch:
        patch.setattr(gaia.GaiaSurvey, "fetch", one_is_broken)
        with pytest.raises(StellarError, match=f"{names[0]}: ValueError: an answer that nobody thought of"):
            for batch in batches:
                flow.sync_fetch(ctx, batch)
    assert units(ctx)["failed"] == 1
    assert {unit.unit for unit in ingest.pending_units(ctx, "gaia")} >= {names[0]}
    for batch in batches:
        flow.sync_fetch(ctx, batch)
    assert units(ctx) == {"done": len(names)}


def test_a_stage_is_judged_without_the_archive(ctx):
    (ctx.settings.home / "run" / "archive.json").unlink()
    assert stale(ctx, only="build_catalog") == []
