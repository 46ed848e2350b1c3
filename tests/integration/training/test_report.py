"""Reports of trained versions, through the commands."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from made_lake import bring_stars
from made_stars import make_config
from page_checks import read_page
from stellar import cli
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.registry import versions
from stellar.registry.store import ArtifactStore
from stellar.training.train import train


@pytest.fixture
def ctx(settings, ledger, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    return Context(settings, ledger, "run-1")


def stellar(*words):
    done = CliRunner().invoke(cli.app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.strip().splitlines()[-1]


def test_a_report_lies_in_the_artifact_and_a_copy_says_what_the_registry_thinks(ctx, tmp_path):
    bring_stars(ctx, 700)
    params = {"rounds": 40, "learning_rate": 0.1, "max_depth": 4, "threads": 1}
    first = train(ctx, make_config(report={"colour": "bp_rp"}, params=params))
    worse = train(ctx, make_config(params={"rounds": 2, "learning_rate": 0.05, "threads": 1}))
    path = Path(stellar("models", "report", "test-teff"))
    version = versions.current(ctx.engine, "test-teff")
    folder = ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256)
    assert (version.key, path) == (first.version_key, folder / "report.html")
    read = read_page(path)
    assert first.version_key in read.text and "raw.stars" in read.text
    assert "registry" not in read.headings

    before = path.read_bytes()
    copy = Path(stellar("models", "report", f"test-teff@{worse.version_key[:12]}", "--out", str(tmp_path / "r.html")))
    read = read_page(copy)
    assert read.headings[0] == "registry"
    assert "test-teff@2 is rejected" in read.text and "current (@1)" in read.text
    assert path.read_bytes() == before
    ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256)

    with pytest.raises(InputError, match="--out"):
        stellar("models", "report", "test-teff", "--out", str(tmp_path / "nowhere" / "r.html"))


def test_a_column_of_the_report_must_be_there_and_hold_numbers(ctx):
    bring_stars(ctx, 300)
    for column, said in (("colour_index", "gives no column colour_index"), ("object_id", "not a column of numbers")):
        with pytest.raises(InputError, match=said):
            train(ctx, make_config(report={"magnitude": column}))
