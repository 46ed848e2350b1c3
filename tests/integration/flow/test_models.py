"""A model from its YAML file and a table on disk, as the guide tells it, in a real ledger."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from made_stars import make_stars
from stellar import flow
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.registry import versions
from stellar.registry.bundle import Bundle
from stellar.registry.store import ArtifactStore
from stellar.settings import CONFIG
from stellar.training.config import list_configs, load_config

GUIDE = Path(__file__).parents[3] / "docs" / "add-a-model.md"
TEMPLATE = CONFIG / "model-template.yaml"


@pytest.fixture
def ctx(settings, ledger):
    return Context(settings, ledger, "run-1")


def stars(n=1200, seed=1):
    """The made stars under a survey's names, a few without a temperature by the survey's sentinel."""
    made = make_stars(n, seed)
    teff = made["teff_k"].to_numpy().copy()
    teff[::40] = -999
    return pa.table({
        "source_id": np.arange(n) + 10**15, "ra": made["ra"], "dec": made["dec"], "g_mag": made["g_mag"],
        "bp_rp": made["bp_rp"], "u_g": made["u_g"], "parallax_mas": 10 ** ((10 - made["g_mag"].to_numpy()) / 5),
        "teff_gspphot": teff,
    })  # fmt: skip


def guides_model(folder):
    """The template with the six lines of the guide in the place of those that it marks."""
    lines = re.search(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL).group(1).splitlines()
    lines = [line.removeprefix("   ") for line in lines if line.strip()]
    assert len(lines) == 6
    text, marked = [], 0
    for line in TEMPLATE.read_text().splitlines():
        follows = bool(text) and text[-1].startswith("attributions: # <-")
        if follows or ("# <-" in line and not line.startswith(("#", "attributions"))):
            line, marked = lines[marked], marked + 1
        text.append(line)
    assert marked == 6
    path = folder / "my-model.yaml"
    path.write_text("\n".join(text) + "\n")
    return path


def test_the_template_is_right_and_is_no_model_of_the_platform():
    assert load_config(TEMPLATE).name == "model-template"
    assert "model-template" not in list_configs()


def test_the_guide_does_what_it_says(ctx, tmp_path):
    path = guides_model(tmp_path)
    csv.write_csv(stars(), tmp_path / "stars.csv")
    result = flow.train_model(ctx, path, who="tester")
    assert (result.outcome, result.promoted) == ("trained", True)
    assert result.metrics["mae"].value < 700
    assert list(result.snapshots) == ["own.my_model"]
    version = versions.current(ctx.engine, "my-model")
    assert version.training_rows == 1200 - 30

    again = flow.train_model(ctx, path, who="tester")
    assert (again.outcome, again.version_key) == ("found", result.version_key)
    assert again.snapshots == result.snapshots, "the same file is not imported twice"

    told = flow.predict(ctx, "my-model", ["own.my_model"]).table
    assert told.num_rows == 1200
    pq.write_table(stars(50, seed=9), tmp_path / "new.parquet")
    told = flow.predict(ctx, "my-model", [str(tmp_path / "new.parquet")]).table
    wrong = np.abs(told["teff_k"].to_numpy() - make_stars(50, 9)["teff_k"].to_numpy())
    assert np.median(wrong) < 600


def test_a_file_that_changed_makes_another_version(ctx, tmp_path):
    path = guides_model(tmp_path)
    csv.write_csv(stars(), tmp_path / "stars.csv")
    first = flow.train_model(ctx, path, who="tester")
    csv.write_csv(stars(1300), tmp_path / "stars.csv")
    second = flow.train_model(ctx, path, who="tester")
    assert second.outcome == "trained"
    assert second.snapshots != first.snapshots


WHOLE = """
derived:
  abs_mag: g_mag + 5 * log10(parallax_mas) - 10
filters:
  - {rule: faint stars, where: g_mag < 18}
  - {rule: red stars, where: bp_rp < 2.4}
polynomials: {columns: [bp_rp, u_g], degree: 2}
clusters: {columns: [bp_rp, u_g], components: 2}
weights: {balance: target, bins: 10, power: 0.5}
"""


def test_what_the_file_says_of_the_rows_is_done_to_predict_too(ctx, tmp_path):
    text = guides_model(tmp_path).read_text()
    text = text.replace("columns: [bp_rp, g_mag, parallax_mas]", "columns: [bp_rp, abs_mag, u_g]" + WHOLE)
    text = text.replace("  # rule: keep ", "  rule: median\n  indicators: true\n  #")
    text = text.replace("  # transform: log10", "  transform: log10")
    text = text.replace("  # correction: {reference: teff_spec, threshold: 10000",
                        "  correction: {reference: teff_spec, threshold: 7000")  # fmt: skip
    (tmp_path / "my-model.yaml").write_text(text)
    table = stars()
    teff = table["teff_gspphot"].to_numpy()
    truth = np.where(teff > 0, teff, np.nan)
    biased = np.where(truth > 6900, truth - 0.3 * (truth - 6900), truth)
    table = table.set_column(
        table.schema.get_field_index("teff_gspphot"), "teff_gspphot", pa.array(np.nan_to_num(biased, nan=-999))
    )
    table = table.append_column("teff_spec", pa.array(np.where(np.arange(len(truth)) % 2, truth, -999.0)))
    csv.write_csv(table, tmp_path / "stars.csv")
    result = flow.train_model(ctx, tmp_path / "my-model.yaml", who="tester")
    assert result.outcome == "trained"

    version = versions.find_version(ctx.engine, result.version_key)
    folder = ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256)
    correction = json.loads((folder / "correction.json").read_text())["teff_k"]
    assert abs(correction["after"]["median"]) < 30 < abs(correction["before"]["median"])
    assert version.config["corrections"]["teff_k"] == correction
    card = (folder / "card.md").read_text()
    for said in ("faint stars", "red stars", "Correction of `teff_k`", "derived `abs_mag`"):
        assert said in card
    examples = pq.read_table(folder / "examples.parquet")
    hot = examples.filter(pa.array(examples["teff_k"].to_numpy() > 7600))
    assert (hot["teff_k_corrected"].to_numpy() > hot["teff_k"].to_numpy()).all()
    assert json.loads((folder / "preparation.json").read_text())["medians"].keys() >= {"u_g", "abs_mag"}

    # from the raw columns alone: neither the truth nor the reference is needed
    raw = table.select(["source_id", "bp_rp", "g_mag", "parallax_mas", "u_g"])
    bundle = Bundle.load(folder)
    assert set(bundle.reads) == {"bp_rp", "g_mag", "parallax_mas", "u_g"}
    said = bundle.predict(raw)
    rows = np.flatnonzero(np.isfinite(truth))
    assert np.median(np.abs(said["teff_k"].to_numpy()[rows] - truth[rows])) < 400
    assert (said["teff_k_lower"].to_numpy() <= said["teff_k"].to_numpy()).all()


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("./stars.csv", "./star.csv", "source.file", "there is no"),
        ("dec: dec", "dec: decl", "source.dec", "decl"),
        ("[bp_rp, g_mag", "[bp_rq, g_mag", "columns.0", "did you mean `bp_rp`"),
        ("column: teff_gspphot", "column: teff_gsphot", "target.column", "did you mean `teff_gspphot`"),
        ("parallax_mas]", "a]\nderived: {a: parallax + 1}", "derived.a", "did you mean `parallax_mas`"),
        ("parallax_mas]", "a]\nderived: {a: nosuch(g_mag)}", "derived", "nosuch"),
    ],
)
def test_what_the_file_lacks_is_named_with_the_line(ctx, tmp_path, old, new, line, said):
    path = guides_model(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    csv.write_csv(stars(300), tmp_path / "stars.csv")
    with pytest.raises(InputError) as fault:
        flow.train_model(ctx, path, who="tester")
    assert str(path) in str(fault.value)
    assert line in str(fault.value)
    assert said in str(fault.value)


def test_models_to_train_may_be_files(ctx, tmp_path):
    path = guides_model(tmp_path)
    assert flow.train_plan(ctx, [str(path), "photometric-teff"]) == [str(path), "photometric-teff"]
    with pytest.raises(InputError, match="no such file"):
        flow.train_plan(ctx, [str(tmp_path / "other.yaml")])
    csv.write_csv(stars(), tmp_path / "stars.csv")
    assert flow.train(ctx, str(path), who="tester")["model"] == "my-model"
