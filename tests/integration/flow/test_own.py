"""Users' own datasets task by task, as the DAGs make them: the same snapshots as in one process."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stellar import flow
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.flow import own
from stellar.flow.matching import crossmatch
from stellar.flow.plans import dry_plan
from stellar.flow.tables import import_table
from stellar.lake import layout
from stellar.ledger import snapshots


@pytest.fixture
def ctx(settings, ledger, monkeypatch):
    monkeypatch.setattr(layout, "THRESHOLD_BYTES", 10_000)
    return Context(settings, ledger, "run-1")


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(1)
    paths = []
    for number, rows in enumerate((1500, 200, 900, 10, 700)):
        first = number * 10_000
        table = pa.table(
            {
                "n": np.arange(first, first + rows),
                "ra": random.uniform(0, 360, rows),
                "dec": np.degrees(np.arcsin(random.uniform(-1, 1, rows))),
            }
        )
        paths.append(str(tmp_path / f"{number}.parquet"))
        pq.write_table(table, paths[-1])
    return paths


def passed_on(value):
    """As it comes out of one task and into the next."""
    return json.loads(json.dumps(value))


def make(ctx, asked) -> str:
    items = passed_on(own.own_plan(ctx, passed_on(asked)))
    for item in items[1:]:
        own.own_build(ctx, item)
    keys = own.own_commit(ctx, items)
    flow.gate(ctx, keys)
    flow.promote(ctx, keys, who="airflow", reason=ctx.run_id)
    return keys[0]


def test_task_by_task_the_snapshots_are_those_of_one_process(ctx, files):
    params = {"files": files, "name": "stars", "id_column": "n", "ra": "ra", "dec": "dec", "margin_arcsec": 3600.0}
    groups = passed_on(own.import_groups(ctx, params))
    assert sorted(one["path"] for group in groups for one in group["sources"]) == sorted(files)
    assert 1 < len(groups) <= 2 * ctx.settings.workers
    assert sum(own.import_stage(ctx, params, group) for group in groups) == 3310
    key = make(ctx, own.import_request(ctx, params))
    assert snapshots.get(ctx.engine, key).rows == 3310
    again = import_table(ctx, files, "stars", id_column="n", margin_arcsec=3600.0)
    assert again["found"] and again["snapshot"] == key
    asked = {
        "left": "stars",
        "right": "own.stars",
        "name": "pairs",
        "radius_arcsec": 3000.0,
        "min_separation_arcsec": 1,
    }
    key = make(ctx, own.crossmatch_request(ctx, asked))
    again = crossmatch(ctx, **asked)
    assert again["found"] and again["snapshot"] == key and again["rows"] > 0


def moving(ctx, tmp_path, speed, margin_arcsec):
    """own.moving: stars that move by up to some mas a year; own.still: where they were ten years before."""
    random = np.random.default_rng(2)
    rows = 3000
    ra, dec = random.uniform(0, 360, rows), np.degrees(np.arcsin(random.uniform(-0.9, 0.9, rows)))
    pmdec = random.uniform(-speed, speed, rows)
    columns = {"n": np.arange(rows), "ra": ra, "dec": dec}
    now = {**columns, "dec": dec + 10 * pmdec / 3.6e6, "pmra": np.zeros(rows), "pmdec": pmdec}
    for name, table in (("moving", now), ("still", columns)):
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
        import_table(ctx, [tmp_path / f"{name}.parquet"], name, id_column="n", margin_arcsec=margin_arcsec)
    return rows


MATCH = {
    "left": "moving",
    "right": "still",
    "name": "pairs",
    "radius_arcsec": 0.5,
    "epoch_left": 2016.0,
    "epoch_right": 2006.0,
}


def test_a_match_reads_as_far_as_the_rows_move_when_it_is_planned(ctx, tmp_path):
    moving(ctx, tmp_path, 100.0, 0.0)
    asked = passed_on(own.crossmatch_request(ctx, MATCH))
    assert asked["right"]["margin_arcsec"] == 2.0
    rows = moving(ctx, tmp_path, 50_000.0, 0.0)  # minutes of arc in ten years, far beyond that margin
    key = make(ctx, asked)
    row = snapshots.get(ctx.engine, key)
    assert row.rows == rows
    again = crossmatch(ctx, **MATCH)
    assert again["found"] and again["snapshot"] == key
    moving(ctx, tmp_path, 100_000.0, 0.0)
    (planned,) = (one for one in dry_plan(ctx, "pairs") if one["dataset"] == "own.pairs")
    assert planned["key"] == crossmatch(ctx, **MATCH)["snapshot"] != key


def test_a_match_whose_rows_move_too_far_by_now_is_refused(ctx, tmp_path):
    moving(ctx, tmp_path, 100.0, 10.0)
    asked = passed_on(own.crossmatch_request(ctx, MATCH))
    assert own.own_plan(ctx, asked)[0]["found"] is False
    moving(ctx, tmp_path, 50_000.0, 10.0)
    with pytest.raises(InputError, match=r"own\.still keeps margins of 10 arcsec, and this match needs 50\d"):
        own.own_plan(ctx, asked)
    moving(ctx, tmp_path, 50_000.0, 600.0)
    assert make(ctx, asked) == crossmatch(ctx, **MATCH)["snapshot"]
