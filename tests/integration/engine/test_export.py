"""What leaves the lake is a plain copy that the field's own tools open."""

import json
from functools import partial

import hats.io.validation
import lsdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.table import Table
from typer.testing import CliRunner

from integration.engine import small_steps as small
from stellar import cli
from stellar.engine import engine
from stellar.engine import plan as planning
from stellar.engine.export import export
from stellar.engine.export_huggingface import feature
from stellar.engine.step import Accounting, StepResult
from stellar.errors import InputError, IntegrityError
from stellar.lake.layout import layout
from stellar.lake.read import Catalog
from stellar.ledger import snapshots

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def stars(ctx, sync, monkeypatch):
    """curated.stars in many cells, with margins; features.plain without positions."""
    sync(*"ab")
    monkeypatch.setattr(planning, "layout", partial(layout, threshold_bytes=20_000))
    engine.run(ctx, [small.curate_step(margin_arcsec=600.0), small.plain_step()])
    return ctx


def folder(ctx, dataset):
    return ctx.settings.lake / snapshots.current(ctx.engine, dataset).path


def test_a_collection_that_lsdb_opens(stars, tmp_path):
    seen = []
    report = export(stars, "curated.stars", tmp_path / "out", progress=lambda *told: seen.append(told))
    assert seen[-1] == ("copying", report["bytes"], report["bytes"])
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        "collection.properties",
        "stars",
        "stars_600arcs",
    ]
    for path in (tmp_path / "out", tmp_path / "out" / "stars", tmp_path / "out" / "stars_600arcs"):
        assert hats.io.validation.is_valid_catalog(path, strict=True)
    opened = lsdb.open_catalog(tmp_path / "out")
    ours = Catalog(folder(stars, "curated.stars"))
    assert len(opened) == report["rows"] == ours.rows
    assert opened.margin.hc_structure.catalog_info.margin_threshold == 600.0
    frame = opened.compute().sort_values("id")
    assert np.array_equal(frame["id"].to_numpy(), np.sort(ours.read_all(["id"])["id"].to_numpy()))
    matched = opened.crossmatch(opened, radius_arcsec=0.1, suffixes=("_a", "_b"), suffix_method="all_columns")
    assert len(matched.compute()) == report["rows"]
    again = Catalog(tmp_path / "out")
    assert again.read_all().equals(ours.read_all()) and again.margin_arcsec == 600.0
    # copies, not links, and nothing of ours that readers would have to know
    assert all(one.stat().st_nlink == 1 for one in (tmp_path / "out").rglob("*") if one.is_file())
    assert "stellar_" not in (tmp_path / "out" / "collection.properties").read_text()


def test_files_without_positions_in_one_folder(stars, tmp_path):
    with pytest.raises(InputError, match=r"features\.plain has no positions.*--format parquet"):
        export(stars, "features.plain", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for dataset in ("features.plain", "raw.stars", "curated.stars"):
        report = export(stars, dataset, tmp_path / dataset, form="parquet")
        files = list((tmp_path / dataset).glob("*.parquet"))
        assert len(files) == report["partitions"]
        assert sum(pq.read_metadata(one).num_rows for one in files) == report["rows"]


def test_a_repository_of_the_hub(stars, tmp_path):
    """Files of one split, and a card that says their columns, sizes and terms."""
    for dataset in ("curated.stars", "features.plain"):
        out = tmp_path / dataset
        report = export(stars, dataset, out, form="huggingface")
        assert {one.name for one in out.iterdir()} == {"README.md", "LICENSE.md", "MANIFEST.json", "data"}
        files = sorted((out / "data").iterdir())
        assert [one.name for one in files] == [f"train-{k:05d}-of-{len(files):05d}.parquet" for k in range(len(files))]
        _, head, body = (out / "README.md").read_text().split("---\n", 2)
        about = yaml.safe_load(head)
        (split,) = about["dataset_info"]["splits"]
        table = ds.dataset(files).to_table()
        assert split["num_examples"] == report["rows"] == len(table) and about["size_categories"] == ["1K<n<10K"]
        assert about["dataset_info"]["download_size"] == sum(one.stat().st_size for one in files) == report["bytes"]
        names = {one["name"]: one["dtype"] for one in about["dataset_info"]["features"]}
        assert list(names) == table.column_names and names["id"] == "int64"
        (data,) = about["configs"][0]["data_files"]
        assert sorted(out.glob(data["path"])) == files
        assert about["license_link"] == "LICENSE.md" and "no terms are on record" in body
        assert "test/stars" in (out / "LICENSE.md").read_text()
        manifest = json.loads((out / "MANIFEST.json").read_text())
        assert manifest["snapshot"] == report["snapshot"] and len(manifest["files"]) == len(files) + 2
    wanted = np.sort(Catalog(folder(stars, "curated.stars")).read_all(["id"])["id"].to_numpy())
    found = ds.dataset(tmp_path / "curated.stars" / "data").to_table(columns=["id"])["id"].to_numpy()
    assert np.array_equal(np.sort(found), wanted)
    (out / ".gitattributes").write_text("x")
    export(stars, "curated.stars", out, form="huggingface", overwrite=True)
    assert (out / ".gitattributes").is_file()
    (out / "MANIFEST.json").write_text('{"kind": "stellar-model"}')
    with pytest.raises(InputError, match="holds no export"):
        export(stars, "curated.stars", out, form="huggingface", overwrite=True)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (pa.bool_(), {"dtype": "bool"}),
        (pa.float32(), {"dtype": "float32"}),
        (pa.timestamp("us", "UTC"), {"dtype": "timestamp[us, tz=UTC]"}),
        (pa.list_(pa.string()), {"sequence": "string"}),
        (pa.list_(pa.list_(pa.float64())), {"sequence": {"sequence": "float64"}}),
        (pa.list_(pa.int8(), 3), {"sequence": "int8", "length": 3}),
        (pa.struct([("a", pa.int16())]), {"struct": [{"name": "a", "dtype": "int16"}]}),
    ],
)
def test_types_as_the_hub_names_them(kind, said):
    assert feature(pa.field("x", kind)) == {"name": "x", **said}


def test_what_is_in_the_way_is_not_touched(stars, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        export(stars, "curated.stars", out)
    with pytest.raises(InputError, match="holds no export"):
        export(stars, "curated.stars", out, overwrite=True)
    assert [one.name for one in out.iterdir()] == ["thesis.tex"]
    (out / "thesis.tex").unlink()
    export(stars, "curated.stars", out)
    with pytest.raises(InputError, match="--overwrite"):
        export(stars, "curated.stars", out)
    (out / "stars" / "leftover").write_text("x")
    export(stars, "curated.stars", out, overwrite=True)
    assert not (out / "stars" / "leftover").exists()
    with pytest.raises(InputError, match="is a file"):
        export(stars, "curated.stars", out / "collection.properties")
    with pytest.raises(InputError, match="no such dataset"):
        export(stars, "own.nothing", tmp_path / "other")
    with pytest.raises(InputError, match="hats, parquet, csv, fits, votable, huggingface"):
        export(stars, "curated.stars", tmp_path / "other", form="xls")


def test_damage_does_not_leave_the_lake(stars, tmp_path):
    out = tmp_path / "out"
    export(stars, "curated.stars", out)
    before = sorted(out.rglob("*"))
    victim = next(folder(stars, "curated.stars").rglob("Npix=*.parquet"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"{victim.name}: is not what was committed"):
        export(stars, "curated.stars", out, overwrite=True)
    assert sorted(out.rglob("*")) == before
    victim.unlink()
    with pytest.raises(IntegrityError, match="missing"):
        export(stars, "curated.stars", tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_by_the_command(stars, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    runner = CliRunner()
    said = runner.invoke(cli.app, ["export", "curated.stars", str(tmp_path / "a"), "--json"], catch_exceptions=False)
    report = json.loads(said.stdout)
    assert report["snapshot"] == snapshots.current(stars.engine, "curated.stars").key
    said = runner.invoke(cli.app, ["export", "curated.stars", str(tmp_path / "b")], catch_exceptions=False)
    assert f"{tmp_path / 'b'}: curated.stars" in said.stdout
    options = ["--format", "csv", "--missing", "-999", "--json"]
    said = runner.invoke(cli.app, ["export", "curated.stars", str(tmp_path / "csv"), *options], catch_exceptions=False)
    report = json.loads(said.stdout)
    assert report["bytes"] == sum(one.stat().st_size for one in (tmp_path / "csv").glob("*.csv"))
    with pytest.raises(InputError, match=r"own\.stars: no such dataset"):
        runner.invoke(cli.app, ["export", "stars", str(tmp_path / "c")], catch_exceptions=False)


def missing_step():
    """Every third star has no magnitude, and a number of observations that some lack."""

    def run(partition, inputs, params):
        stars = inputs["stars"].rows
        lacks = pc.equal(pc.bit_wise_and(stars["id"], 3), 0)
        count = pc.cast(pc.bit_wise_and(stars["id"], 15), pa.int16())
        table = pa.table(
            {
                "id": stars["id"],
                "ra": stars["ra"],
                "dec": stars["dec"],
                "mag": pc.if_else(lacks, pa.scalar(None, pa.float64()), stars["mag"]),
                "n_obs": pc.if_else(lacks, pa.scalar(None, pa.int16()), count),
            }
        )
        return StepResult(table, Accounting(len(table), len(table)))

    return small.double_step(dataset="curated.lacking", name="lack", run=run)


@pytest.mark.parametrize("form", ["parquet", "csv", "fits", "votable"])
def test_a_sentinel_for_those_who_want_one(stars, tmp_path, form):
    engine.run(stars, [missing_step()])
    ours = Catalog(folder(stars, "curated.lacking")).read_all().to_pandas().set_index("id").sort_index()
    lacks = ours["mag"].isna()
    assert 0 < lacks.sum() < len(ours)
    for missing in (None, -999.0):
        out = tmp_path / f"{form}{missing}"
        report = export(stars, "curated.lacking", out, form=form, missing=missing)
        files = sorted(one for one in out.iterdir() if one.name.startswith("Norder"))
        assert len(files) == report["partitions"] > 1
        tables = [read_back(one, form) for one in files]
        theirs = pd.concat([one for one in tables]).set_index("id").sort_index()
        assert np.array_equal(theirs.index, ours.index)
        assert np.array_equal(theirs["mag"][~lacks], ours["mag"][~lacks])
        assert np.array_equal(theirs["n_obs"][~lacks].astype(int), ours["n_obs"][~lacks].astype(int))
        if missing is None:
            assert theirs["mag"][lacks].isna().all() and theirs["n_obs"][lacks].isna().all()
        else:
            assert (theirs["mag"][lacks] == missing).all() and (theirs["n_obs"][lacks] == missing).all()
    # an export of any format is one that --overwrite may replace
    export(stars, "curated.lacking", out, form="parquet", overwrite=True)
    with pytest.raises(InputError, match="are copies; take --format parquet, csv, fits, votable"):
        export(stars, "curated.lacking", tmp_path / "hats", missing=-999)


def read_back(path, form):
    if form == "csv":
        return pd.read_csv(path)
    return (pq.read_table(path) if form == "parquet" else Table.read(path)).to_pandas()


def test_all_rows_in_one_file(stars, tmp_path):
    report = export(stars, "curated.stars", tmp_path / "one", form="fits", one_file=True)
    assert [one.name for one in (tmp_path / "one").glob("*.fits")] == ["stars.fits"]
    assert len(Table.read(tmp_path / "one" / "stars.fits")) == report["rows"]
    with pytest.raises(InputError, match="--one-file: hats is a folder of files"):
        export(stars, "curated.stars", tmp_path / "two", one_file=True)
