"""Decisions about quarantined rows: kept for good, carried out by the next build, in the cells that they touch."""

import json

import pyarrow as pa
import pytest
import sqlalchemy as sa

from integration.engine.conftest import gates  # noqa: F401 - fixture
from stellar import flow
from stellar.engine import engine, ingest
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.lake.read import Catalog
from stellar.ledger import snapshots
from stellar.serving import quality, quarantine
from stellar.surveys.base import Fetched, WorkUnit

DATASET, REFUSED = "curated.gaia_dr3_sample", "quarantine.gaia_dr3_sample"
NEGATIVE = "parallax_error: outside 0.."


@pytest.fixture
def ctx(settings, ledger, gates):  # noqa: F811
    """A home with four stars in two cells: one has a negative error, one has no place."""
    settings.workers, settings.profile = 1, "real"
    made = Context(settings, ledger, "run-1")
    stars = pa.table(
        {
            "source_id": [10, 11, 12, 13],
            "ra": [56.0, 56.5, 230.0, None],
            "dec": [19.0, 19.5, -30.0, 5.0],
            "parallax": [8.0, 8.1, 2.0, 3.0],
            "parallax_error": [0.1, -1.5, 0.1, 0.1],
        }
    )
    unit = WorkUnit("files", "gaia_dr3_sample", "gaiadr3", "stars.csv", "1", {}, 4)
    ingest.plan_units(made, "files", [unit])
    ingest.record_batch(made, unit, Fetched(stars, "files", "stars.csv", {}, "0" * 64))
    raw = ingest.commit_raw(made, "raw.gaia_dr3_sample")
    engine.gate(made, [raw.key])
    engine.promote(made, [raw.key], who="test", reason="sync")
    build(made)
    return made


def plan(ctx):
    return [one for one in flow.stage_plan(ctx, "curate") if one["dataset"] == DATASET]


def build(ctx, items=None):
    """Build, gate and promote; how many partitions were built, and the snapshot's key."""
    items = items or plan(ctx)
    for item in items:
        if item["batch"] is not None:
            flow.stage_build(ctx, item)
    keys = flow.stage_commit(ctx, items)
    flow.gate(ctx, keys)
    flow.promote(ctx, keys, who="test", reason="build")
    return sum(item["partitions"] for item in items if item["batch"] is not None), keys[0]


def ids(ctx, dataset=DATASET):
    folder = ctx.settings.lake / snapshots.current(ctx.engine, dataset).path
    return sorted(Catalog(folder).read_all()["source_id"].to_pylist())


def decide(ctx, decision, why="looked at it", **which):
    return quarantine.decide(ctx.settings, ctx.engine, REFUSED, decision, who="operator", why=why, **which)


def groups(ctx):
    found = quarantine.overview(ctx.settings, ctx.engine)
    return {one["reason"]: (one["open"], one["released"], one["discarded"]) for one in found}


def test_a_released_row_is_in_the_next_build_and_goes_when_it_is_taken_back(ctx):
    first = snapshots.current(ctx.engine, DATASET).key
    assert ids(ctx) == [10, 12]
    assert groups(ctx) == {NEGATIVE: (1, 0, 0), "ra, dec: position is missing": (1, 0, 0)}
    made = decide(ctx, "release", reason=NEGATIVE)
    assert (made["decided"], made["follows"]) == (1, "build_catalog")
    assert groups(ctx)[NEGATIVE] == (0, 1, 0)
    assert flow.stale(ctx, only="build_catalog") == ["build_catalog"]
    built, second = build(ctx)
    assert built == 1  # of two cells with rows, and the rows without a place
    assert ids(ctx) == [10, 11, 12] and ids(ctx, REFUSED) == [13]
    (account,) = [one for one in quality.accounting(ctx.engine) if one["dataset"] == DATASET]
    assert (account["rows_in"], account["rows_out"], account["quarantined"]) == (4, 3, 1)
    assert plan(ctx)[0]["found"]  # asked for again it is there

    assert decide(ctx, "reopen", rows=[quarantine.decided(ctx.engine)[0]["row_id"]])["follows"] == "build_catalog"
    built, third = build(ctx)
    assert (built, third) == (0, first) and second != first
    assert ids(ctx) == [10, 12]


def test_what_cannot_be_released_is_said_and_can_be_discarded(ctx):
    with pytest.raises(InputError, match=r"position is missing.*cannot be released: it has no place on the sky"):
        decide(ctx, "release", reason="ra, dec: position is missing")
    made = decide(ctx, "discard", reason="ra, dec: position is missing")
    assert (made["decided"], made["follows"]) == (1, None)
    assert groups(ctx)["ra, dec: position is missing"] == (0, 0, 1)
    assert plan(ctx)[0]["found"]  # nothing is built for it
    assert decide(ctx, "discard", reason="ra, dec: position is missing")["decided"] == 0
    with pytest.raises(InputError, match="say why"):
        decide(ctx, "discard", why=" ", reason=NEGATIVE)
    with pytest.raises(InputError, match="no row"):
        decide(ctx, "discard", rows=["f" * 64])


def test_decisions_say_who_and_why_and_are_never_changed(ctx):
    decide(ctx, "discard", reason=NEGATIVE)
    decide(ctx, "release", why="it is real", reason=NEGATIVE)
    (newest,) = quarantine.decided(ctx.engine, REFUSED)
    assert (newest["decision"], newest["who"], newest["why"], newest["source_id"]) == (
        "release", "operator", "it is real", "11",
    )  # fmt: skip
    assert newest["content"]["parallax_error"] == -1.5
    for change in ("UPDATE quality.decision SET who = 'x'", "DELETE FROM quality.decision"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), ctx.engine.begin() as connection:
            connection.execute(sa.text(change))
    kept = json.loads((ctx.settings.lake / "quarantine" / "gaia_dr3_sample" / "history.json").read_text())
    assert [one["decision"] for one in kept["tables"]["quality.decision"]] == ["discard", "release"]


def test_a_decision_during_a_build_is_for_the_next_one(ctx):
    decide(ctx, "release", reason=NEGATIVE)
    items = plan(ctx)
    decide(ctx, "reopen", rows=[quarantine.decided(ctx.engine)[0]["row_id"]])
    assert build(ctx, items)[0] == 1
    assert ids(ctx) == [10, 11, 12]
    build(ctx)
    assert ids(ctx) == [10, 12]


def test_rows_are_shown_as_published(ctx):
    found = quarantine.rows_of(ctx.settings, ctx.engine, REFUSED, reason=NEGATIVE)
    (row,) = found["rows"]
    assert found["total"] == 1
    assert (row["values"]["source_id"], row["values"]["parallax_error"], row["state"]) == (11, -1.5, "open")
    with pytest.raises(InputError, match=r"no such quarantine; with rows: quarantine\.gaia_dr3_sample"):
        quarantine.rows_of(ctx.settings, ctx.engine, "quarantine.nothing")
