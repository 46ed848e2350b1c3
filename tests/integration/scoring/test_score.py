"""Scores of a real lake: keyed by the model's version, made again only where something changed."""

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from made_lake import bring, bring_stars
from made_stars import make_config, make_stars
from stellar.engine import engine
from stellar.engine.context import Context
from stellar.lake.sql import connect
from stellar.registry import versions
from stellar.scoring.score import score_step
from stellar.training.train import train


@pytest.fixture
def ctx(settings, ledger):
    return Context(settings, ledger)


def scored(ctx):
    config = make_config()
    version = versions.current(ctx.engine, config.name)
    (outcome,) = engine.run(ctx, [score_step(config, version, ctx.settings.artifacts)])
    with connect(ctx.settings, ctx.engine) as lake:
        return outcome, version, lake.arrow("select * from scores.test_teff order by object_id")


def test_each_feature_row_is_scored_once_with_its_version(ctx):
    bring_stars(ctx)
    train(ctx, make_config())
    outcome, version, table = scored(ctx)
    assert (outcome.rows, table.num_rows) == (1500, 1500)
    assert set(table["model_version"].to_pylist()) == {version.key[:16]}
    assert {"_healpix_29", "teff_k", "teff_k_lower", "teff_k_upper", "teff_class", "prediction_set"} <= set(
        table.column_names
    )
    with ctx.engine.connect() as connection:
        parents = connection.execute(
            sa.text("select parent from lineage.walk_up(:key) where parent_kind = 'version'"), {"key": outcome.key}
        ).scalars()
        assert set(parents) == {version.key}


def test_scored_again_nothing_is_computed_and_a_new_model_computes_all(ctx):
    bring_stars(ctx)
    train(ctx, make_config())
    first, _, _ = scored(ctx)
    again, _, _ = scored(ctx)
    assert again.found
    assert again.key == first.key
    assert train(ctx, make_config(params={"rounds": 120, "learning_rate": 0.1, "max_depth": 4, "threads": 1})).promoted
    other, version, table = scored(ctx)
    assert not other.found
    assert other.key != first.key
    assert set(table["model_version"].to_pylist()) == {version.key[:16]}


def test_new_stars_are_scored_by_the_model_there_is(ctx):
    bring_stars(ctx)
    train(ctx, make_config())
    scored(ctx)
    new = make_stars(50, seed=2)
    names = pa.array([f"gaia-9{k:05d}" for k in range(50)])
    bring(ctx, new.set_column(0, "object_id", names), unit="more")
    outcome, _, table = scored(ctx)
    assert outcome.rows == 1550
    found = dict(zip(table["object_id"].to_pylist(), table["teff_k"].to_numpy(), strict=True))
    error = np.array([found[name] for name in names.to_pylist()]) - new["teff_k"].to_numpy()
    assert np.abs(error).mean() < 500
