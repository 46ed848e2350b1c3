"""Dry runs: they say what would be done and leave nothing behind; and what the forms offer after a promotion."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from stellar import flow
from stellar.errors import InputError
from stellar.flow import own
from stellar.flow.choices import coarse
from stellar.sky.healpix import Cell

CONE = {"regions": [{"ra": 0.0, "dec": 20.0, "radius_deg": 0.3}]}


def trace(ctx) -> dict[str, object]:
    """Every row count of the ledger, and every file below lake and workspace."""
    with ctx.engine.connect() as connection:
        tables = connection.exec_driver_sql(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname IN ('lake', 'ingest', 'quality', 'registry', 'lineage')"
        ).scalars()
        counts = {name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() for name in tables}
    roots = (ctx.settings.lake, ctx.settings.workspace)
    return counts | {str(path): path.stat().st_mtime for root in roots for path in root.rglob("*") if path.is_file()}


def test_a_dry_run_of_a_sync_names_units_and_rows(ctx):
    before = trace(ctx)
    said = flow.sync_text("gaia", flow.sync_plan(ctx, "gaia", CONE, dry_run=True))
    assert trace(ctx) == before
    assert "units to fetch" in said and "rows expected: hpx6-" in said
    flow.run_sync(ctx, "gaia", CONE, who="test", say=lambda line: None)
    assert flow.sync_text("gaia", flow.sync_plan(ctx, "gaia", CONE, dry_run=True)) == "gaia: nothing to fetch."


def test_a_dry_run_of_a_build_names_partitions_and_leaves_no_trace(ctx):
    assert "never made" in flow.stages_text(ctx, "build_catalog")
    flow.run_sync(ctx, "gaia", CONE, who="test", say=lambda line: None)
    before = trace(ctx)
    said = flow.stages_text(ctx, "build_catalog")
    assert trace(ctx) == before
    head, *lines = said.splitlines()
    assert head.startswith("build_catalog: 1 partitions to compute, 0 to reuse")
    assert any(line.startswith("- curate curated.gaia 1 of 1 partitions to build") for line in lines)
    assert "models to train" in flow.training_text(ctx, ["photometric-teff"])
    assert trace(ctx) == before


def test_a_dry_run_of_an_import_and_of_a_match_stages_nothing(ctx, bare_home):
    file = bare_home / "stars.parquet"
    pq.write_table(pa.table({"n": [1, 2, 3], "ra": [10.0, 10.1, 10.2], "dec": [1.0, 1.0, 1.0]}), file)
    asked = {"files": [str(file)], "name": "stars", "id_column": "n", "ra": "ra", "dec": "dec"}
    before = trace(ctx)
    said = own.import_text(ctx, asked)
    assert trace(ctx) == before
    assert said.startswith("own.stars: 1 tables, 3 rows") and "0 staged already" in said
    with pytest.raises(InputError, match="no column nr"):
        own.import_text(ctx, asked | {"id_column": "nr"})
    flow.import_table(ctx, [file], "stars", id_column="n")
    before = trace(ctx)
    match = {"left": "stars", "right": "stars", "name": "pairs", "radius_arcsec": 5.0}
    said = own.own_text(ctx, own.crossmatch_request(ctx, match))
    assert trace(ctx) == before
    assert "own.pairs" in said and "1 of 1 partitions to build" in said


def test_a_promotion_writes_down_what_the_forms_offer_and_only_when_it_changed(ctx):
    flow.run_sync(ctx, "gaia", CONE, who="test", say=lambda line: None)
    file = ctx.settings.cache / "choices.json"
    assert json.loads(file.read_text()) == {"cells": {}, "datasets": ["raw.gaia"]}
    before = file.stat()
    flow.write_choices(ctx)
    assert file.stat().st_mtime_ns == before.st_mtime_ns and file.stat().st_ino == before.st_ino


def test_cells_are_offered_coarse():
    inside = [Cell(5, pixel) for pixel in range(64)]
    assert coarse(inside) == [f"3/{pixel}" for pixel in range(4)]
    assert coarse([Cell(1, 7), Cell(6, 0)]) == ["1/7", "3/0"]
    everywhere = [Cell(3, pixel) for pixel in range(768)]
    assert coarse(everywhere) == [f"1/{pixel}" for pixel in range(48)]


def test_the_account_of_a_run_has_rows_partitions_gate_and_links(ctx):
    for batch in flow.sync_plan(ctx, "gaia", CONE):
        flow.sync_fetch(ctx, batch)
    keys = [one["key"] for one in flow.sync_commit(ctx, "gaia")]
    fetched = flow.fetched_text(ctx, "gaia")
    flow.gate(ctx, keys)
    changed = flow.promote(ctx, keys, who="test", reason="test")
    [made] = flow.account(ctx, keys, changed)
    rows = ctx.engine.connect().scalar(sa.text("SELECT rows FROM lake.current WHERE dataset = 'raw.gaia'"))
    assert made["rows"] == rows and made["changed"] and made["passed"] and made["expectations"] > 0
    assert made["recomputed"] == made["partitions"] > 0 and made["reused"] == 0
    assert made["links"]["lineage"] == f"stellar/pages/lineage?ref={keys[0][:16]}"
    assert fetched == f"Fetched raw.gaia: {made['partitions']} units, {rows:,} rows."
    said = flow.account_text([made])
    assert f"{rows:,} rows" in said and f"](stellar/pages/quality?gate={made['gate']})" in said
    again = flow.promote(ctx, keys, who="test", reason="test")
    assert flow.account_text(flow.account(ctx, keys, again)).startswith("Promoted 0, unchanged 1; gates 1 of 1")
