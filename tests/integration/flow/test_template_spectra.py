"""Template libraries from files to gated feature datasets, through the engine, and the velocities that they give."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from stellar.catalog.curate import curate_step
from stellar.engine import engine, ingest
from stellar.engine.engine import Context
from stellar.engine.step import Accounting, Input, Step, StepResult
from stellar.features.spectra import spectra_step
from stellar.features.template_spectra import templates_step
from stellar.ledger import snapshots
from stellar.profile import load_curated
from stellar.surveys.base import Scope
from stellar.surveys.files import FilesSurvey, load_source


def curated(ctx, real_data, name):
    """Bring the files of a source, and make them `curated.<name>`."""
    survey = FilesSurvey(real_data, {name: load_source(name)})
    units = survey.plan(Scope(), {})
    ingest.plan_units(ctx, "files", units)
    for unit in units:
        ingest.record_batch(ctx, unit, survey.fetch(unit))
    raw = ingest.commit_raw(ctx, f"raw.{name}")
    assert all(result.passed for result in engine.gate(ctx, [raw.key]))
    engine.promote(ctx, [raw.key], who="tests", reason="made")
    config = load_curated(name)
    engine.run(ctx, [curate_step(config)], who="tests", reason="made")
    return config


@pytest.mark.parametrize(
    ("name", "dataset", "rows", "typed"),
    [
        ("sdss_eigen", "features.eigen_spectra", 123, 116),
        ("sdss_templates", "features.template_spectra", 228, 228),
    ],
)
def test_each_template_is_one_row_whatever_its_bucket(settings, ledger, real_data, name, dataset, rows, typed):
    ctx = Context(settings, ledger)
    config = curated(ctx, real_data, name)
    engine.run(ctx, [templates_step(dataset, config)], who="tests", reason="made")
    folder = ctx.settings.lake / snapshots.current(ctx.engine, dataset).path
    table = pq.read_table(folder / "dataset")
    assert table.num_rows == rows
    assert pc.count_distinct(table["template_name"]).as_py() == rows
    assert table.num_rows - table["spectral_type"].null_count == typed


def own_objects(partition, inputs, params):
    rows = inputs["spectra"].rows
    ids = rows["spec_id"]
    survey = pa.array(["lamost_spectra"] * len(ids), pa.string())
    columns = {"association_id": ids, "object_id": ids, "survey": survey, "survey_id": ids}
    table = pa.table(columns | {"ra": rows["ra"], "dec": rows["dec"]})
    return StepResult(table, Accounting(len(ids), len(ids)))


def test_every_cell_of_spectra_is_given_the_whole_library(settings, ledger, real_data):
    ctx = Context(settings, ledger)
    libraries = [curated(ctx, real_data, "sdss_eigen")]
    curated(ctx, real_data, "lamost_spectra")
    inputs = {"spectra": Input("curated.lamost_spectra")}
    claims = Step("curated.associations", "own", 1, inputs, {}, own_objects, "association_id", "inherit", "spectra")
    absent = load_curated("sdss_templates")
    names = {"dataset": "features.lamost_spectra", "source": "curated.lamost_spectra", "survey": "lamost_spectra"}
    for step in (claims, spectra_step(**names, libraries=[*libraries, absent])):
        engine.run(ctx, [step], who="tests", reason="made")
    folder = ctx.settings.lake / snapshots.current(ctx.engine, "features.lamost_spectra").path
    files = [path for path in sorted(folder.rglob("Npix=*.parquet")) if "margin" not in path.parts]
    table = pa.concat_tables([pq.read_table(path, partitioning=None) for path in files])
    assert table.num_rows == 89
    assert table["rv_km_s"].null_count == 0
    difference = pc.subtract(table["rv_km_s"], pc.multiply(table["z_applied"], 299_792.458))
    assert abs(pc.quantile(difference, 0.5)[0].as_py()) < 25
