"""A version goes from one home to another by a folder, and says there what it said here."""

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import xgboost as xgb
import yaml
from typer.testing import CliRunner

from made_lake import bring_stars
from made_stars import make_class_config, make_config, make_stars
from stellar import cli, flow
from stellar.engine.context import Context
from stellar.errors import InputError, IntegrityError
from stellar.ledger.connect import ledger_session
from stellar.registry import onnx_export, promotion, versions
from stellar.registry.bundle import Bundle
from stellar.registry.manifest import write_manifest
from stellar.registry.standalone import predict
from stellar.registry.store import ArtifactStore, address_of, list_files
from stellar.settings import load_settings
from stellar.training.train import train

FILES = {
    "README.md", "config.json", "features.json", "metrics.json", "model.onnx", "registry.json", "LICENSE.md",
    "MANIFEST.json",
}  # fmt: skip

BLEND = {
    "members": [
        {"architecture": "forest_classifier", "params": {"trees": 30, "threads": 1}},
        {"architecture": "xgb_classifier", "params": {"rounds": 30, "threads": 1}},
    ]
}


@pytest.fixture(scope="module")
def module_home(tmp_path_factory, database_server):
    """A home with two trained models, for all tests of this file."""
    with new_home(tmp_path_factory.mktemp("home"), database_server) as ctx:
        bring_stars(ctx)
        train(ctx, make_config())
        train(ctx, make_class_config())
        train(ctx, make_class_config(name="test-blend", architecture="blend", params=BLEND))
        yield ctx


class new_home:  # noqa: N801 - used as a function
    """A home with a database of its own on the tests' server."""

    def __init__(self, folder, server):
        self.folder, self.server, self.name = folder, server, f"test_{uuid.uuid4().hex}"

    def __enter__(self):
        with self.server.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {self.name} TEMPLATE stellar STRATEGY file_copy"))
        where = self.server.url.set(database=self.name, drivername="postgresql")
        settings = load_settings(home=self.folder, postgres_url=where.render_as_string(hide_password=False))
        self.session = ledger_session(settings)
        return Context(settings, self.session.__enter__())

    def __exit__(self, *_):
        self.session.__exit__(None, None, None)
        with self.server.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {self.name} WITH (FORCE)"))


@pytest.fixture(scope="module")
def exported(module_home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    made = {}
    for model in ("test-teff", "test-class", "test-blend"):
        version = versions.current(module_home.engine, model)
        made[model] = flow.export_model(module_home, version, folder / model)
    return folder


@pytest.fixture
def other(tmp_path, database_server):
    """Another home, empty."""
    with new_home(tmp_path / "other", database_server) as ctx:
        yield ctx


@pytest.fixture(scope="module")
def empty(tmp_path_factory, database_server):
    """A home that nothing gets into."""
    with new_home(tmp_path_factory.mktemp("empty"), database_server) as ctx:
        yield ctx


@pytest.fixture
def copy(exported, tmp_path):
    return Path(shutil.copytree(exported / "test-teff", tmp_path / "copy"))


def rows_with_gaps(n=200):
    """Stars of which every third lacks a colour and some lie far from the examples."""
    table = make_stars(n, seed=5)
    for name, shift in (("bp_rp", 0), ("u_g", 1)):
        values = table[name].to_numpy(zero_copy_only=False).copy()
        values[shift::3] = np.nan
        values[shift::17] = 90.0
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, from_pandas=True))
    return table


def bundle_of(ctx, version):
    return Bundle.load(ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256))


def test_the_folder_is_a_repository_of_the_hub(module_home, exported):
    for model, task in (("test-teff", "tabular-regression"), ("test-class", "tabular-classification")):
        folder, version = exported / model, versions.current(module_home.engine, model)
        assert {one.name for one in folder.iterdir() if one.is_file()} == FILES
        _, head, body = (folder / "README.md").read_text().split("---\n", 2)
        about = yaml.safe_load(head)
        assert about["pipeline_tag"] == task and about["library_name"] == "stellar-platform"
        assert (about["license"], about["license_link"]) == ("other", "LICENSE.md")
        (result,) = about["model-index"][0]["results"]
        figures = json.loads((folder / "metrics.json").read_text())["figures"]
        shown = {one["name"]: one["value"] for one in result["metrics"]}
        assert shown and all(figures[name]["value"] == value for name, value in shown.items())
        assert "onnx" in about["tags"] and about["datasets"] == ["features.made"]
        for name in re.findall(r"\]\(([^)#:]+)\)", body):
            assert (folder / name).is_file(), name
        for said in (
            "## Intended use",
            "## Limits",
            "## Licence and attribution",
            version.key[:16],
            "made by the tests",
        ):
            assert said in body
        manifest = json.loads((folder / "MANIFEST.json").read_text())
        assert manifest["version"] == version.key and manifest["artifact_sha256"] == version.artifact_sha256
        assert manifest["libraries"]["xgboost-cpu"] == xgb.__version__
        assert set(manifest["files"]) == {
            one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()
        } - {"MANIFEST.json"}
        assert address_of(list_files(folder / "bundle")) == version.artifact_sha256


def test_config_says_columns_types_and_units(exported):
    about = json.loads((exported / "test-teff" / "config.json").read_text())
    assert [one["name"] for one in about["features"]] == ["bp_rp", "u_g"]
    assert {one["type"] for one in about["features"]} == {"double"}
    assert about["target"] == {"name": "teff_k", "kind": "quantity", "unit": "K"}
    assert about["watched"] == ["g_mag"] and about["alpha"] == 0.1
    units = {one["name"]: one["unit"] for one in about["outputs"]}
    assert units["teff_k_lower"] == units["teff_k_width"] == "K" and units["flags"] is None
    assert about["onnx"]["outputs"][:2] == ["teff_k", "teff_k_lower"]
    assert json.loads((exported / "test-class" / "config.json").read_text())["classes"] == ["A", "F", "G", "K", "M"]


def test_boosters_and_graph_say_what_the_bundle_says(module_home, exported):
    folder, table = exported / "test-teff", rows_with_gaps()
    bundle = bundle_of(module_home, versions.current(module_home.engine, "test-teff"))
    matrix = np.column_stack([table[name].to_numpy(zero_copy_only=False) for name in ("bp_rp", "u_g")])
    (text,) = (folder / "boosters").rglob("*.json")
    wanted = bundle.model.heads["teff_k"].booster.inplace_predict(matrix.astype(np.float32))
    assert (xgb.Booster(model_file=text).inplace_predict(matrix.astype(np.float32)) == wanted).all()
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    found = dict(
        zip(
            (one.name for one in session.get_outputs()),
            session.run(None, {"features": matrix.astype(np.float32)}),
            strict=True,
        )
    )
    for name in ("teff_k", "teff_k_lower", "teff_k_upper"):
        np.testing.assert_allclose(found[name], bundle.predict(table)[name].to_numpy(), rtol=1e-4)


def test_the_same_version_gives_the_same_bytes(module_home, exported, tmp_path):
    version = versions.current(module_home.engine, "test-teff")
    flow.export_model(module_home, version, tmp_path / "again")
    wanted = (exported / "test-teff" / "MANIFEST.json").read_bytes()
    assert (tmp_path / "again" / "MANIFEST.json").read_bytes() == wanted


def test_an_architecture_without_a_converter_is_published_without_a_graph(module_home, other, tmp_path, monkeypatch):
    monkeypatch.delitem(onnx_export.CONVERTERS, "xgb_classifier")
    for model in ("test-class", "test-blend"):  # itself, and as a member of a blend
        folder, version = tmp_path / model, versions.current(module_home.engine, model)
        made = flow.export_model(module_home, version, folder)
        assert made["onnx"] == "the architecture xgb_classifier has no converter to ONNX"
        assert not (folder / "model.onnx").exists()
        card = (folder / "README.md").read_text()
        assert f"There is no `model.onnx`: {made['onnx']}." in card and "- onnx\n" not in card
        assert flow.import_model(other, folder, who="tester").version.artifact_sha256 == version.artifact_sha256


@pytest.mark.parametrize("model", ["test-teff", "test-class", "test-blend"])
def test_another_home_says_the_same_to_the_bit(module_home, exported, other, model):
    version = versions.current(module_home.engine, model)
    made = flow.import_model(other, exported / model, who="tester")
    assert (made.found, made.version.state, made.version.model) == (False, "candidate", model)
    assert made.version.artifact_sha256 == version.artifact_sha256
    table = rows_with_gaps()
    said, wanted = bundle_of(other, made.version).predict(table), bundle_of(module_home, version).predict(table)
    assert said.equals(wanted)
    assert said["is_out_of_range"].to_pylist().count(True) > 10
    assert not versions.current(other.engine, model), "an import promotes nothing"
    figures = {(row.name, row.slice): row.value for row in versions.metrics_of(other.engine, made.version.key)}
    assert figures == {(row.name, row.slice): row.value for row in versions.metrics_of(module_home.engine, version.key)}


def test_where_it_came_from_is_told_and_stays(module_home, exported, other):
    version = versions.current(module_home.engine, "test-teff")
    made = flow.import_model(other, exported / "test-teff", who="tester").version
    assert made.state_reason == f"imported from test-teff, exported by version key {version.key[:16]}"
    promotion.promote(other.engine, "test-teff", made.key, who="tester", reason="looks well")
    kept = versions.current(other.engine, "test-teff")
    origin = kept.config["imported"]
    assert (origin["version"], origin["by"]) == (version.key, "tester")
    assert set(origin["snapshots"]) == {"features", "labels"}
    assert origin["sources"][0] | {"rows": 0} == {
        "survey": "stars", "release": "made", "dataset": "raw.stars", "batches": 1, "rows": 0, "simulated": False,
    }  # fmt: skip
    history = json.loads((other.settings.artifacts / "registry" / "test-teff.json").read_text())
    assert history["tables"]["registry.version"][0]["config"]["imported"]["version"] == version.key


def test_importing_twice_finds_it_and_so_does_the_home_that_exported_it(module_home, exported, other):
    first = flow.import_model(other, exported / "test-teff", who="tester")
    again = flow.import_model(other, exported / "test-teff", who="other")
    assert again.found and again.version == first.version
    assert len(versions.list_versions(other.engine)) == 1
    own = flow.import_model(module_home, exported / "test-teff", who="tester")
    assert own.found and own.version == versions.current(module_home.engine, "test-teff")


def test_an_imported_version_can_be_exported_and_imported_again(exported, other, tmp_path, database_server):
    made = flow.import_model(other, exported / "test-teff", who="tester").version
    flow.export_model(other, made, tmp_path / "second")
    about = json.loads((tmp_path / "second" / "registry.json").read_text())
    assert about["sources"][0]["survey"] == "stars" and set(about["snapshots"]) == {"features", "labels"}
    with new_home(tmp_path / "third", database_server) as third:
        last = flow.import_model(third, tmp_path / "second", who="tester").version
        assert last.artifact_sha256 == made.artifact_sha256
        assert last.config["imported"]["version"] == made.key


# -- folders that are not what they say ------------------------------------------------------------------------------
def rewrite(folder, **changes):
    """A manifest that says what lies there, as who forges one would write it."""
    about = json.loads((folder / "MANIFEST.json").read_text()) | changes
    del about["files"], about["format"]
    (folder / "MANIFEST.json").unlink()
    write_manifest(folder, about)


def edit(path, change):
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _said(folder, change):
    edit(folder / "MANIFEST.json", change)


FAULTS = {
    "missing": (lambda f: (f / "model.onnx").unlink(), "lacks model.onnx"),
    "extra": (lambda f: (f / "bundle" / "run.py").write_text("x"), "holds bundle/run.py"),
    "changed": (lambda f: _flip(f / "bundle" / "model" / "head0.ubj"), "is not what MANIFEST"),
    "changed card": (lambda f: _flip(f / "README.md"), "README.md: is not what"),
    "longer": (lambda f: (f / "config.json").open("a").write(" "), r"config.json: \d+ bytes instead of"),
    "link": (lambda f: (f / "LICENSE.md").unlink() or (f / "LICENSE.md").symlink_to("/etc/passwd"), "a link or device"),
    "linked folder": (lambda f: (f / "more").symlink_to("/etc"), "a link or device"),
    "pipe": (lambda f: os.mkfifo(f / "pipe"), "a link or device"),
    "traversal": (lambda f: _said(f, lambda m: m["files"].update({"../x": m["files"]["README.md"]})), "no plain path"),
    "absolute": (lambda f: _said(f, lambda m: m["files"].update({"/etc/passwd": {}})), "no plain path"),
    "backslash": (lambda f: _said(f, lambda m: m["files"].update({"a\\b": {}})), "no plain path"),
    "oversized": (lambda f: _said(f, lambda m: m["files"]["README.md"].update(bytes=1 << 40)), "more than the 1 GiB"),
    "no size": (lambda f: _said(f, lambda m: m["files"]["README.md"].update(bytes="7")), "no size in bytes"),
    "no hash": (lambda f: _said(f, lambda m: m["files"]["README.md"].pop("sha256")), "no SHA-256"),
    "no list": (lambda f: _said(f, lambda m: m.update(files=[])), "`files` is no list"),
    "no JSON": (lambda f: (f / "MANIFEST.json").write_text("{"), "not readable as JSON"),
    "old library": (lambda f: rewrite(f, libraries={"xgboost-cpu": "1.7.0"}), "written with xgboost-cpu 1.7.0, and"),
    "other library": (lambda f: rewrite(f, libraries={"no-such-thing": "1"}), "which is not installed"),
    "other address": (lambda f: rewrite(f, artifact_sha256="0" * 64), "not the artifact that"),
    "odd name": (lambda f: rewrite(f, model=["a"], version={}), "is not the bundle's"),
    "odd key": (lambda f: rewrite(f, version="x" * 64), "is not the bundle's"),
    "other name": (lambda f: rewrite(f, model="other"), "is not the bundle's"),
    "other columns": (
        lambda f: (edit(f / "config.json", lambda c: c["features"].reverse()), rewrite(f)),
        "config.json: features is not what the bundle",
    ),
    "other target": (
        lambda f: (edit(f / "config.json", lambda c: (c["target"].update(unit="mK"), c.update(alpha=0.2))), rewrite(f)),
        "target, alpha are not what",
    ),
    "other description": (lambda f: (edit(f / "config.json", lambda c: c.update(format=9)), rewrite(f)), "format 9"),
    "no figures": (
        lambda f: (edit(f / "registry.json", lambda r: r["figures"][0].update(value="high")), rewrite(f)),
        "figures cannot be read",
    ),
    "no family": (lambda f: (edit(f / "registry.json", lambda r: r.pop("family")), rewrite(f)), "family is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_is_not_what_it_says_is_refused_whole(copy, empty, fault):
    break_it, said = FAULTS[fault]
    break_it(copy)
    with pytest.raises(IntegrityError, match=said):
        flow.import_model(empty, copy, who="tester")
    assert versions.list_versions(empty.engine) == []
    assert not list(empty.settings.artifacts.glob("*")) if empty.settings.artifacts.is_dir() else True


def forge(folder, change):
    """Change the bundle, and let artifact, manifest and all agree with it."""
    change(folder / "bundle")
    rewrite(folder, artifact_sha256=address_of(list_files(folder / "bundle")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: edit(b / "bundle.json", lambda one: one.update(format=1)), "bundle format 1"),
        (lambda b: edit(b / "bundle.json", lambda one: one.pop("target")), "cannot be read"),
        (lambda b: edit(b / "bundle.json", lambda one: one.update(columns=[{}])), "cannot be read|not what"),
        (lambda b: edit(b / "ranges.json", lambda one: one.update(lower=[])), "cannot be read"),
        (lambda b: edit(b / "conformal.json", lambda one: one.update(intervals=7)), "cannot be read"),
        (lambda b: edit(b / "config.json", lambda one: one.update(split=3)), "config.json: split"),
        (lambda b: edit(b / "model" / "model.json", lambda one: one["libraries"].update(numpy="1.0")), "numpy 1.0"),
        (lambda b: edit(b / "model" / "model.json", lambda one: one.update(architecture="os.system")), "not known"),
        (lambda b: (b / "model" / "head0.ubj").write_bytes(b"{L" * 40), "cannot be read|not readable"),
    ],
)
def test_a_bundle_that_agrees_with_its_manifest_and_is_none_is_refused(copy, empty, change, said):
    forge(copy, change)
    with pytest.raises(IntegrityError, match=said):
        flow.import_model(empty, copy, who="tester")
    assert versions.list_versions(empty.engine) == []


def test_code_in_a_bundle_is_refused(copy, empty):
    import pickle

    (copy / "bundle" / "model" / "extra.npy").write_bytes(pickle.dumps([1]))
    rewrite(copy)
    with pytest.raises(IntegrityError, match="a pickle can run code"):
        flow.import_model(empty, copy, who="tester")


@pytest.mark.parametrize("change", [{"kind": "stellar-dataset"}, {"kind": None}])
def test_anempty_kind_of_folder_is_refused(copy, empty, change):
    rewrite(copy, **change)
    with pytest.raises(InputError, match="this version reads format 1 of 'stellar-model'"):
        flow.import_model(empty, copy, who="tester")
    with pytest.raises(InputError, match=r"no MANIFEST\.json"):
        flow.import_model(empty, copy / "bundle", who="tester")
    with pytest.raises(InputError, match="no such folder"):
        flow.import_model(empty, copy / "nothing", who="tester")


def test_what_git_and_the_hub_keep_beside_the_files_is_passed_over(copy, other):
    (copy / ".gitattributes").write_text("*.onnx filter=lfs")
    for folder in (".git", ".cache/huggingface"):
        (copy / folder).mkdir(parents=True)
        (copy / folder / "x").symlink_to("/etc")
    assert flow.import_model(other, copy, who="tester").version.state == "candidate"


def test_a_model_of_the_same_name_and_another_target_is_another_model(copy, other):
    bring_stars(other)
    train(other, make_class_config(name="test-teff"))
    with pytest.raises(InputError, match="it is another model"):
        flow.import_model(other, copy, who="tester")


def test_what_lies_in_the_way_is_not_touched(module_home, tmp_path):
    version = versions.current(module_home.engine, "test-teff")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        flow.export_model(module_home, version, folder)
    with pytest.raises(InputError, match="holds no export"):
        flow.export_model(module_home, version, folder, overwrite=True)
    (folder / "thesis.tex").unlink()
    flow.export_model(module_home, version, folder, licence="cc-by-4.0", datasets=["me/stars"])
    head = yaml.safe_load((folder / "README.md").read_text().split("---\n", 2)[1])
    assert (head["license"], head["datasets"]) == ("cc-by-4.0", ["me/stars"])
    assert head["model-index"][0]["results"][0]["dataset"]["type"] == "me/stars"
    (folder / ".gitattributes").write_text("x")
    flow.export_model(module_home, version, folder, overwrite=True)
    assert (folder / ".gitattributes").is_file()
    with pytest.raises(InputError, match="--licence MIT License"):
        flow.export_model(module_home, version, tmp_path / "new", licence="MIT License")
    assert not (tmp_path / "new").exists()


def test_by_the_commands(module_home, other, tmp_path, monkeypatch):
    runner = CliRunner()

    def stellar(ctx, *command):
        monkeypatch.setenv("STELLAR_HOME", str(ctx.settings.home))
        monkeypatch.setenv("STELLAR_POSTGRES_URL", ctx.settings.postgres_url.get_secret_value())
        return runner.invoke(cli.app, [str(part) for part in command], catch_exceptions=False).stdout

    folder = tmp_path / "teff"
    assert f"{folder}: test-teff@1" in stellar(module_home, "models", "export", "test-teff@1", folder)
    made = json.loads(stellar(module_home, "models", "export", "test-teff", folder, "--overwrite", "--json"))
    assert made["onnx"] is None and made["files"] == len([one for one in folder.rglob("*") if one.is_file()])
    said = stellar(other, "models", "import", folder)
    assert "candidate) is imported from teff" in said and "stellar models promote test-teff@1" in said
    assert json.loads(stellar(other, "models", "import", folder, "--json"))["found"] is True
    assert "test-teff@1 is current" in stellar(other, "models", "promote", "test-teff@1", "--reason", "tried it")
    key = versions.current(module_home.engine, "test-teff").key
    said = stellar(other, "models", "show", "test-teff")
    assert re.search(rf"imported +from teff by \w+; exported by version {key[:16]}", said)


def test_a_folder_predicts_without_a_home(module_home, exported, tmp_path):
    """As a home does, and with no database: none can be reached."""
    table = rows_with_gaps().select(["object_id", "g_mag", "bp_rp", "u_g"])
    pq.write_table(table, tmp_path / "stars.parquet")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", str(Path(cli.__file__).parents[2])),
        "STELLAR_HOME": str(tmp_path / "none"),
        "STELLAR_POSTGRES_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    command = [sys.executable, "-m", "stellar", "predict", exported / "test-teff", tmp_path / "stars.parquet"]
    run = partial(subprocess.run, env=environment, capture_output=True, text=True)
    done = run([*command, "--out", tmp_path / "out.parquet"])
    assert done.returncode == 0, done.stderr
    version = versions.current(module_home.engine, "test-teff")
    assert f"200 rows by test-teff ({version.key[:16]})" in done.stdout
    assert not (tmp_path / "none").exists()
    found = pq.read_table(tmp_path / "out.parquet")
    wanted = flow.predict(module_home, "test-teff", [str(tmp_path / "stars.parquet")]).table
    assert found.equals(wanted)
    assert found["id"].to_pylist() == table["object_id"].to_pylist()
    refused = run([*command, "--out", tmp_path])
    assert refused.returncode == 2 and "is a folder" in refused.stderr


@pytest.fixture(scope="session")
def small_environment(root, tmp_path_factory):
    """A Python that has what `requirements-predict.txt` lists, and nothing else."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    uv = [sys.executable, "-m", "uv", "--native-tls"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    install = [*uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", "--no-deps", "--require-hashes"]
    install += ["-r", root / "requirements-predict.txt"]
    if subprocess.run([*install, "--offline"], capture_output=True).returncode:
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode and re.search("(?i)request|connect|fetch|dns|network", done.stderr):
            pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
        assert not done.returncode, done.stderr
    return folder / "bin" / "python"


def test_it_takes_no_more_than_the_few_packages(root, module_home, exported, small_environment, tmp_path):
    """As in the image of Dockerfile.predict: of every model here, the same numbers as a home's."""
    environment = {"PYTHONPATH": str(root / "include"), "HOME": str(tmp_path)}
    lacks = subprocess.run([small_environment, "-c", "import sqlalchemy"], env=environment, capture_output=True)
    assert lacks.returncode, "the environment is not small"
    pq.write_table(rows_with_gaps(), tmp_path / "stars.parquet")
    for model in ("test-teff", "test-class", "test-blend"):
        command = [small_environment, "-m", "stellar", "predict", exported / model, tmp_path / "stars.parquet", "--out"]
        done = subprocess.run([*command, tmp_path / "o.parquet"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        wanted = flow.predict(module_home, model, [str(tmp_path / "stars.parquet")]).table
        assert pq.read_table(tmp_path / "o.parquet").equals(wanted)


def test_a_damaged_folder_does_not_predict(copy, tmp_path):
    pq.write_table(make_stars(5), tmp_path / "stars.parquet")
    (tmp_path / "words.txt").write_text("x")
    made = predict(copy, [str(tmp_path / "stars.parquet"), str(tmp_path / "words.txt"), str(tmp_path / "none.csv")])
    assert made.table.num_rows == 5
    assert [name.rpartition("/")[2] for name, _ in made.refused] == ["words.txt", "none.csv"]
    assert "no table of features" in made.refused[0][1]
    with pytest.raises(InputError, match="nothing to predict for"):
        predict(copy, [str(tmp_path / "words.txt")])
    _flip(copy / "bundle" / "ranges.json")
    with pytest.raises(IntegrityError, match="not what MANIFEST"):
        predict(copy, [str(tmp_path / "stars.parquet")])
    with pytest.raises(InputError, match="no folder that"):
        CliRunner().invoke(
            cli.app,
            ["predict", str(tmp_path), str(tmp_path / "stars.parquet"), "--out", str(tmp_path / "o.parquet")],
            catch_exceptions=False,
        )
