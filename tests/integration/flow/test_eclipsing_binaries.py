"""The config of eclipsing binaries, from the archive's catalogue to scores of every row."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from stellar import cli, flow
from stellar.archive.eclipsing.generate import write_catalogue
from stellar.engine.context import Context
from stellar.registry import feature_tables
from stellar.registry.bundle import Bundle
from stellar.registry.store import ArtifactStore
from stellar.registry.versions import current, resolve
from stellar.training.config import MODELS

NAME = "photometric-teff-eb"


@pytest.fixture
def catalogue(tmp_path):
    path = tmp_path / "binaries.parquet"
    write_catalogue(path, rows=20_000, seed=7)
    return path


def config_of(catalogue, folder):
    about = yaml.safe_load((MODELS / f"{NAME}.yaml").read_text())
    about["source"]["file"] = str(catalogue)
    # a tenth of the rows of the real thing's test part: coverage is uncertain by some hundredths
    about["policy"] = [{"metric": "mae", "op": "<=", "value": 700}]
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(about))
    return folder / f"{NAME}.yaml"


def test_every_row_is_scored_in_its_order(settings, ledger, catalogue, tmp_path, monkeypatch):
    ctx = Context(settings, ledger, "run-1")
    result = flow.train_model(ctx, config_of(catalogue, tmp_path), who="tester")
    assert (result.outcome, result.promoted) == ("trained", True), result.reasons
    assert result.metrics["interval_coverage"].value == pytest.approx(0.9, abs=0.03)
    assert result.metrics["pit_std"].value == pytest.approx(0.289, abs=0.02)
    assert current(ctx.engine, NAME) is not None

    # batches of another size than the file's row groups, on more than one core
    monkeypatch.setattr(feature_tables, "TABULAR_BATCH", 3000)
    made = flow.predict(ctx, NAME, [str(catalogue)]).table
    given = pq.read_table(catalogue)
    assert made["id"].to_pylist() == [str(one) for one in given["source_id"].to_pylist()]
    low, middle, high = (made[name].to_numpy() for name in ("teff_k_lower", "teff_k", "teff_k_upper"))
    assert ((low <= middle) & (middle <= high)).all()
    assert (made["teff_k_width"].to_numpy() == high - low).all()
    assert ((made["novelty"].to_numpy() >= 0) & (made["novelty"].to_numpy() <= 1)).all()
    bundle = Bundle.load(ArtifactStore(settings.artifacts).get(resolve(ctx.engine, NAME).version.artifact_sha256))
    at_once = bundle.predict(given)
    for name in at_once.column_names:
        assert made[name].combine_chunks().equals(at_once[name].combine_chunks()), name

    # the command gives what the call gives, rows that come twice too
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    shuffled = given.take(np.random.default_rng(1).permutation(20_000)[:5000])
    odd = pa.concat_tables([shuffled, shuffled.slice(0, 7)])
    pq.write_table(odd, tmp_path / "odd.parquet")
    done = CliRunner().invoke(
        cli.app,
        ["predict", NAME, str(tmp_path / "odd.parquet"), "--out", str(tmp_path / "out.parquet")],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    assert "5007 rows" in done.output
    written = pq.read_table(tmp_path / "out.parquet")
    assert pc.all(pc.equal(written["id"], odd["source_id"].cast(pa.string()))).as_py()
    assert written.slice(0, 7).equals(written.slice(5000, 7))
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".out")] == []
