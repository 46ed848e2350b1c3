"""The notebook of the documentation runs on a home and a TAP service made here."""

import nbformat
import numpy as np
import pyarrow as pa
import pytest
from nbclient import NotebookClient

from served_tap import running
from stellar.engine import engine
from stellar.engine.step import Accounting, Input, Step, StepResult
from stellar.quality import suites


def score(partition, inputs, params):
    stars = inputs["stars"].rows
    ids = [f"star-{number}" for number in stars["id"].to_pylist()]
    teff = 4000 + 100 * stars["mag"].to_numpy()
    table = pa.table({"object_id": pa.array(ids, pa.string()), "ra": stars["ra"], "dec": stars["dec"], "teff_k": teff})
    return StepResult(table, Accounting(len(ids), len(ids)))


@pytest.fixture
def scored(stars, monkeypatch):
    """A home with `scores.photometric_teff`; its gate asks little, since these are not its own columns."""
    gates = stars.settings.home / "gates"
    gates.mkdir()
    (gates / "default.yaml").write_text("description: asks nothing\nunique_id: false\n")
    monkeypatch.setattr("stellar.quality.suite_files.GATES", gates)
    suites.load_suite.cache_clear()
    step = Step(
        "scores.photometric_teff",
        "score",
        1,
        {"stars": Input("curated.stars")},
        {},
        score,
        "object_id",
        "rows",
        "stars",
    )
    engine.run(stars, [step])
    yield stars
    suites.load_suite.cache_clear()


def test_the_three_ways_agree(scored, root, monkeypatch):
    notebook = nbformat.read(root / "docs" / "three-ways.ipynb", as_version=4)
    nbformat.validate(notebook)
    monkeypatch.setenv("STELLAR_HOME", str(scored.settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", scored.settings.postgres_url.get_secret_value())
    monkeypatch.setenv("PYTHONPATH", str(root / "include"))
    with running(scored.settings) as (url, _):
        monkeypatch.setenv("STELLAR_TAP_URL", url)
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    said = notebook.cells[-1].outputs[0]["data"]["text/plain"]
    assert said.startswith("'3 ways, ")
    assert int(said.split()[2]) > 10 and np.isfinite(float(said.split()[4]))
