"""Template libraries from files to gated feature datasets, through the engine."""

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from stellar.catalog.curate import curate_step
from stellar.engine import engine, ingest
from stellar.engine.engine import Context
from stellar.features.template_spectra import templates_step
from stellar.ledger import snapshots
from stellar.profile import load_curated
from stellar.surveys.base import Scope
from stellar.surveys.files import FilesSurvey, load_source


@pytest.mark.parametrize(("name", "rows", "typed"), [("sdss_eigen", 123, 116), ("sdss_templates", 228, 228)])
def test_each_template_is_one_row_whatever_its_bucket(settings, ledger, real_data, name, rows, typed):
    ctx = Context(settings, ledger)
    survey = FilesSurvey(real_data, {name: load_source(name)})
    units = survey.plan(Scope(), {})
    ingest.plan_units(ctx, "files", units)
    for unit in units:
        ingest.record_batch(ctx, unit, survey.fetch(unit))
    raw = ingest.commit_raw(ctx, f"raw.{name}")
    assert all(result.passed for result in engine.gate(ctx, [raw.key]))
    engine.promote(ctx, [raw.key], who="tests", reason="made")
    config = load_curated(name)
    dataset = {"sdss_eigen": "features.eigen_spectra", "sdss_templates": "features.template_spectra"}[name]
    for step in (curate_step(config), templates_step(dataset, config)):
        engine.run(ctx, [step], who="tests", reason="made")
    folder = ctx.settings.lake / snapshots.current(ctx.engine, dataset).path
    table = pq.read_table(folder / "dataset")
    assert table.num_rows == rows
    assert pc.count_distinct(table["template_name"]).as_py() == rows
    assert table.num_rows - table["spectral_type"].null_count == typed
