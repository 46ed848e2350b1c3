"""`stellar predict` on a user's own files: what the lake's rows get, and a reason for each file that gets nothing."""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from made_lake import bring_plain
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.flow.prediction import predict
from stellar.flow.user_files import dialects, features_of
from stellar.registry import versions
from stellar.registry.bundle import Bundle
from stellar.registry.store import ArtifactStore
from stellar.surveys.readers.members import Member, members
from stellar.training.config import ModelConfig
from stellar.training.train import train

CURVES = 120
COLUMNS = ("amplitude", "skew", "fourier_explained", "r21")


def curve_text(number):
    """A sine, or a sawtooth: 90 points over 300 days."""
    random = np.random.default_rng(number)
    time = np.sort(random.uniform(0, 300, 90))
    phase = (time / random.uniform(0.4, 3)) % 1
    shape = 2 * phase - 1 if number % 2 else np.sin(2 * np.pi * phase)
    mag = 12 + 0.3 * shape + random.normal(0, 0.01, 90)
    return "".join(f"{t:.5f},{m:.4f},0.01\n" for t, m in zip(time, mag, strict=True))


def shifted(by):
    lines = (line.split(",", 1) for line in curve_text(1).splitlines(keepends=True))
    return "".join(f"{float(time) + by:.5f},{rest}" for time, rest in lines)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curves")
    for number in range(CURVES):
        (folder / f"curve-{number:03d}.dat").write_text(curve_text(number))
    return folder


@pytest.fixture(scope="module")
def features(files):
    known = dialects("lightcurves", "features.lightcurves")
    rows = [
        features_of(Member(path.name, path.read_bytes()), "lightcurves", "features.lightcurves", known)
        for path in sorted(files.iterdir())
    ]
    kinds = pa.array(["saw" if number % 2 else "sine" for number in range(CURVES)])
    return pa.concat_tables(rows).append_column("shape", kinds)


def trained(ctx, features, family):
    """A home whose model `shape` reads the features of a family of models."""
    bring_plain(ctx, "made_curves", features.drop_columns(["id"]), "lc_id")
    config = ModelConfig.model_validate(
        {
            "name": "shape",
            "description": "A model of the tests' own",
            "family": family,
            "features": "features.made_curves",
            "example": "lc_id",
            "on_sky": False,
            "inputs": {"labels": "features.made_curves"},
            "frame": "select * from features",
            "target": {"name": "shape", "kind": "class", "min_count": 5},
            "columns": list(COLUMNS),
            "watch": ["mag_median"],
            "architecture": "xgb_classifier",
            "params": {"rounds": 30, "learning_rate": 0.2, "max_depth": 3, "threads": 1},
            "split": {"order": 4, "fractions": {"train": 0.4, "validation": 0.2, "calibration": 0.2, "test": 0.2}},
            "policy": [{"metric": "accuracy", "op": ">=", "value": 0.8}],
            "min_examples": 50,
            "attributions": ["made by the tests"],
        }
    )
    assert train(ctx, config).promoted
    return ctx


@pytest.fixture
def model(settings, ledger, features):
    return trained(Context(settings, ledger), features, "lightcurves")


def of_dataset(ctx, features):
    version = versions.current(ctx.engine, "shape")
    return Bundle.load(ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256)).predict(features)


def test_files_get_what_the_dataset_s_rows_get(model, files, features, tmp_path):
    """In a folder, one by one, compressed and in an archive; in the order of the inputs."""
    first, second, third = sorted(files.iterdir())[:3]
    packed = tmp_path / "third.dat.gz"
    packed.write_bytes(gzip.compress(third.read_bytes()))
    archive = tmp_path / "all.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(files.iterdir()):
            info = tarfile.TarInfo(f"in/{path.name}")
            info.size = path.stat().st_size
            tar.addfile(info, io.BytesIO(path.read_bytes()))
    wanted = of_dataset(model, features)
    names = [path.stem for path in sorted(files.iterdir())]
    told = []
    for inputs, rows, ids in (
        ([str(files)], list(range(CURVES)), names),
        ([str(archive)], list(range(CURVES)), names),
        ([str(packed), str(second), str(first)], [2, 1, 0], ["third", names[1], names[0]]),
        (["features.made_curves"], list(range(CURVES)), names),
    ):
        made = predict(model, "shape", inputs, lambda *progress: told.append(progress))
        assert made.table["id"].to_pylist() == ids
        assert made.table.column_names[-2:] == ["model_version", "file"]
        assert made.table.drop_columns(["id", "model_version", "file"]).equals(wanted.take(rows))
        assert set(made.table["model_version"].to_pylist()) == {made.version.key[:16]}
        assert made.refused == []
    assert told[0] == ("predict", 0, CURVES) and ("predict", CURVES, CURVES) in told
    files_of = predict(model, "shape", [str(archive), str(first)]).table["file"].to_pylist()
    assert (files_of[0], files_of[-1]) == (f"{archive}: in/{first.name}", str(first))


def test_tables_of_features_keep_their_ids(model, features, tmp_path):
    table = features.select(["id", *COLUMNS, "mag_median"])
    pq.write_table(table, tmp_path / "features.parquet")
    pyarrow.csv.write_csv(table.drop_columns(["id"]), tmp_path / "features.csv")
    made = predict(model, "shape", [str(tmp_path / "features.parquet"), str(tmp_path / "features.csv")])
    assert made.table["id"].to_pylist() == [*table["id"].to_pylist(), *map(str, range(CURVES))]
    pq.write_table(table.drop_columns(["skew"]), tmp_path / "short.parquet")
    with pytest.raises(InputError, match=r"short.parquet: it lacks the column skew"):
        predict(model, "shape", [str(tmp_path / "short.parquet")])
    words = table.set_column(table.schema.get_field_index("skew"), "skew", pa.array(["x"] * CURVES))
    pq.write_table(words, tmp_path / "words.parquet")
    made = predict(model, "shape", [str(tmp_path / "words.parquet"), str(tmp_path / "features.csv")])
    assert made.table["id"].to_pylist() == [*map(str, range(CURVES))]
    assert [name for name, _ in made.refused] == [str(tmp_path / "words.parquet")]


def test_a_bad_file_of_an_archive_leaves_the_others(model, files, tmp_path):
    first, second = sorted(files.iterdir())[:2]
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(first, "a/curve.dat")
        archive.writestr("b/curve.dat.gz", b"no gzip")
        archive.write(second, "c/curve.dat")
        archive.write(second, "d/J1234-05.67")
    made = predict(model, "shape", [str(tmp_path / "some.zip")])
    assert made.table["id"].to_pylist() == ["curve", "curve", "J1234-05.67"]
    assert made.table["file"].to_pylist() == [
        f"{tmp_path}/some.zip: {name}/{file}"
        for name, file in (("a", "curve.dat"), ("c", "curve.dat"), ("d", "J1234-05.67"))
    ]
    assert [name for name, _ in made.refused] == [f"{tmp_path}/some.zip: b/curve.dat.gz"]


def test_a_damaged_member_of_a_zip_leaves_those_behind_it(model, files, tmp_path):
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("a\xe9.dat", "0,1,2\n")
        archive.writestr("b.dat", "0,1,2\n")
        archive.write(sorted(files.iterdir())[0], "c.dat")
    content = (tmp_path / "some.zip").read_bytes().replace("a\xe9".encode(), b"a\xff\xfe", 1)  # there, not in the list
    (tmp_path / "some.zip").write_bytes(content.replace(b"b.dat0,1,2", b"b.dat9,9,9"))
    made = predict(model, "shape", [str(tmp_path / "some.zip")])
    assert made.table["id"].to_pylist() == ["c"]
    assert [name.rpartition(": ")[2] for name, _ in made.refused] == ["a\xe9.dat", "b.dat"]


def test_progress_is_of_what_is_done(model, files):
    told = []
    made = predict(model, "shape", [str(files)], lambda *one: told.append(one))
    assert made.rows == CURVES
    assert told == [("predict", done, CURVES) for done in (0, 32, 64, 96, CURVES)]  # as many go together


def test_what_cannot_be_used_is_told_and_the_rest_is_done(model, files, tmp_path):
    from astropy.io import fits

    bad = {
        "short.dat": ("".join(curve_text(1).splitlines(keepends=True)[:5]), "too few points"),
        "words.dat": ("not a light curve\n", "of no kind that gives lightcurves"),
        "dark.dat": (curve_text(1).replace(",0.01", ",nan"), "too few points"),
        "cut.dat": (curve_text(1)[:-6], "fields instead of 3"),
        "empty.dat": ("", "there is no measurement in it"),
        "julian.dat": (f"0.0,12,0.01\n{shifted(2.4e6)}", "span too long"),
        "instant.dat": ("".join(f"{k * 1e-15:.18f},12,0.01\n" for k in range(90)), "span too short"),
        "ragged.csv": ("amplitude,skew\n1,2,3\n", "cannot be read: ArrowInvalid"),
        "other.csv": ("amplitude,skew\n1,2\n", "it lacks the columns fourier_explained, r21"),
        "damaged.parquet": ("PAR1", "cannot be read: ArrowInvalid"),
        "no.tar": ("", "cannot be read"),
    }
    for name, (text, _) in bad.items():
        (tmp_path / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        bad["empty.zip"] = ("", "there is no file in it")
    (tmp_path / os.fsdecode(b"n\xffme.dat")).write_text("x")
    (tmp_path / "big.fits").write_bytes(b"")
    os.truncate(tmp_path / "big.fits", (1 << 30) + 1)
    bad |= {"n\ufffdme.dat": ("", "fields instead of 3"), "big.fits": ("", "more than 1024 MiB")}
    n = 200
    columns = [
        fits.Column("TIME", "D", array=np.arange(n) * 0.02),
        fits.Column("PDCSAP_FLUX", "E", array=1000 + np.sin(np.arange(n))),
        fits.Column("PDCSAP_FLUX_ERR", "E", array=np.ones(n)),
        fits.Column("QUALITY", "J", array=np.zeros(n)),
    ]
    about = fits.PrimaryHDU()
    about.header.update({"MISSION": "TESS", "TICID": 7, "SECTOR": 1, "RA_OBJ": 1.0, "DEC_OBJ": 2.0})
    fits.HDUList([about, fits.BinTableHDU.from_columns(columns)]).writeto(tmp_path / "flux.fits")
    bad["flux.fits"] = ("", "no mag_median, which the model was trained with")
    good = sorted(files.iterdir())[0]
    made = predict(model, "shape", [str(tmp_path), str(good)])
    assert made.table["id"].to_pylist() == [good.stem]
    reasons = dict(made.refused)
    assert {name.rpartition("/")[2] for name in reasons} == set(bad)
    for name, (_, why) in bad.items():
        assert why in reasons[str(tmp_path / name)]
    with pytest.raises(InputError, match=r"nothing to predict for: .*words.dat: of no kind"):
        predict(model, "shape", [str(tmp_path / "words.dat")])
    with pytest.raises(InputError, match="neither a file, a folder nor a dataset"):
        predict(model, "shape", [str(tmp_path / "nowhere")])


def test_a_table_without_the_model_s_columns_is_told_which_they_are(settings, ledger, features, tmp_path):
    ctx = trained(Context(settings, ledger), features, "photometry")
    (tmp_path / "other.csv").write_text("ra,dec\n1,2\n")
    with pytest.raises(InputError, match=r"no table .* that has the columns which the model reads: amplitude, .*skew"):
        predict(ctx, "shape", [str(tmp_path / "other.csv")])


def test_the_command_writes_the_table_and_says_what_was_left(model, files, tmp_path):
    (tmp_path / "words.dat").write_text("not a light curve\n")
    out = tmp_path / "made" / "out.parquet"
    where = model.settings.postgres_url.get_secret_value()
    done = subprocess.run(
        [sys.executable, "-m", "stellar", "predict", "shape", files, tmp_path / "words.dat", "--out", out],
        env=os.environ | {"STELLAR_HOME": str(model.settings.home), "STELLAR_POSTGRES_URL": where},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"not used: {tmp_path / 'words.dat'}: of no kind" in done.stderr
    assert f"{CURVES} rows by shape@1" in done.stdout and "1 files could not be used" in done.stdout
    command = [sys.executable, "-m", "stellar", "predict", "shape", str(files)]
    for place, why in (
        (tmp_path, "is a folder"),
        (tmp_path / "words.dat" / "x", "cannot be made a folder"),
        (sorted(files.iterdir())[0], "is one of the inputs"),
    ):
        refused = subprocess.run(
            [*command, str(sorted(files.iterdir())[0]), "--out", place], capture_output=True, text=True
        )
        assert refused.returncode == 2 and why in refused.stderr
    table = pq.read_table(out)
    assert table.column_names[:3] == ["id", "shape", "probability"] and table.num_rows == CURVES
    folder = tmp_path / "two"
    folder.mkdir()
    for path in sorted(files.iterdir())[:2]:
        shutil.copy(path, folder)
    for _ in range(2):  # what was written is no input of the next time
        made = predict(model, "shape", [str(folder)], out=folder / "made.parquet")
        assert (made.table.num_rows, made.refused) == (2, [])
        pq.write_table(made.table, folder / "made.parquet")


LINEAR = """# ra dec ug gi iK JK logP Ampl skew kurt magMed nObs LCtype LINEARobjectID
119.526 46.9629 1.034 1.046 3.173 0.682 -0.472 0.46 0.37 -0.82 17.5 216 5 10003298
119.602 47.2093 1.164 0.284 -99.99 -99.99 -0.219 1.01 -0.84 -0.62 16.6 311 1 10004892
"""


@pytest.mark.parametrize(
    "name", ["held_back.dat", "held_back.dat.gz", "held_back.csv", "held_back.tsv", "held_back.parquet"]
)
def test_a_model_of_a_curated_dataset_reads_its_kind_of_table(tmp_path, name):
    rows = [line.split() for line in LINEAR.splitlines()]
    columns = {key: [float(row[k]) for row in rows[1:]] for k, key in enumerate(rows[0][1:])}
    columns["LINEARobjectID"] = [int(value) for value in columns["LINEARobjectID"]]
    if not name.startswith("held_back.dat"):
        del columns["LCtype"]  # what is to be predicted need not be there
    buffer = io.BytesIO()
    if name.endswith(".parquet"):
        pq.write_table(pa.table(columns), buffer)
    elif name.endswith(".csv"):
        pyarrow.csv.write_csv(pa.table(columns), buffer)
    elif name.endswith(".tsv"):
        options = pyarrow.csv.WriteOptions(delimiter="\t")
        pyarrow.csv.write_csv(pa.table(columns), buffer, options)
    else:
        buffer.write(LINEAR.encode())
    content = gzip.compress(buffer.getvalue()) if name.endswith(".gz") else buffer.getvalue()
    (tmp_path / name).write_bytes(content)
    (member,) = members(tmp_path / name)
    dataset = "curated.linear_variables"
    found = features_of(member, "lightcurves", dataset, dialects("lightcurves", dataset))
    assert found["id"].to_pylist() == ["10003298", "10004892"]
    assert found["log_period_d"].to_pylist() == [-0.472, -0.219]
    assert found["ik"].to_pylist() == [3.173, None]


def test_a_row_without_an_id_keeps_its_place_and_says_so():
    member = Member("two.dat", LINEAR.replace(" 10004892", " 0").encode())
    dataset, told = "curated.linear_variables", []
    found = features_of(member, "lightcurves", dataset, dialects("lightcurves", dataset), told.append)
    assert found["id"].to_pylist() == ["10003298", "row 2"]
    assert not told
    sound, wrong = found["row_fault"].to_pylist()
    assert sound is None
    assert "linear_id" in wrong
    assert found["refused"].null_count == 2
