"""Users' own datasets task by task, as the DAGs make them: the same snapshots as in one process."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stellar import flow
from stellar.engine.context import Context
from stellar.flow import own
from stellar.flow.crossmatch import crossmatch
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
