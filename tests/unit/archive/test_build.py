"""The archive as a whole: the same bytes from the same seed, every class present, whole or absent."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stellar.archive import build
from stellar.archive.build import build_archive
from stellar.archive.columns import TABLES
from stellar.archive.fields import FIELDS
from stellar.archive.targets import VARIABLES
from stellar.errors import InputError

from .conftest import SCALE, SEED


def described(folder: Path) -> dict:
    return json.loads((folder / "archive.json").read_text())


def test_same_seed_same_bytes_and_another_seed_another_sky(archive: Path, tmp_path: Path) -> None:
    build_archive(tmp_path / "again", seed=SEED, scale=SCALE)
    build_archive(tmp_path / "other", seed=SEED + 1, scale=SCALE)
    assert (tmp_path / "again" / "archive.json").read_bytes() == (archive / "archive.json").read_bytes()
    same = [n for n, f in described(tmp_path / "other")["files"].items() if f == described(archive)["files"][n]]
    assert same == []


def test_described_hashes_are_those_of_the_files(archive: Path) -> None:
    files = described(archive)["files"]
    assert set(files) == {p.name for p in archive.iterdir()} - {"archive.json"}
    for name, entry in files.items():
        assert hashlib.sha256((archive / name).read_bytes()).hexdigest() == entry["sha256"]


def test_built_once(archive: Path) -> None:
    before = (archive / "archive.json").stat().st_mtime_ns
    build_archive(archive, seed=SEED, scale=SCALE)
    assert (archive / "archive.json").stat().st_mtime_ns == before


def test_interrupted_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_describe", fail)
    with pytest.raises(KeyboardInterrupt):
        build_archive(tmp_path / "sky", seed=1, scale=0.01)
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("not an archive")
    with pytest.raises(InputError, match=r"no archive\.json"):
        build_archive(tmp_path, seed=1)
    with pytest.raises(InputError, match="scale"):
        build_archive(tmp_path / "sky", seed=1, scale=0.0)


def test_tables_have_the_published_columns(archive: Path) -> None:
    for name, columns in TABLES.items():
        schema = pq.read_schema(archive / f"{name}.parquet")
        assert [(f.name, f.type) for f in schema] == [(c.name, c.type) for c in columns]
        assert pq.read_metadata(archive / f"{name}.parquet").num_rows == described(archive)["rows"][name] > 0


def test_every_class_has_members_in_both_fields(table) -> None:
    truth, spectra = table("truth"), table("sdss_specobj")
    classes = Counter(truth["var_class"][truth["ticid"] > 0])
    assert min(classes[name] for name in VARIABLES) >= 6
    letters = Counter(truth["letter"][truth["specobjid"] != ""])
    assert min(letters[name] for name in ("O", "B", "A", "F", "G", "K", "M", "WD", "CARBON")) >= 4
    assert letters["QSO"] and letters["GALAXY"]
    gaia = Counter(truth["field"][truth["source_id"] > 0])
    assert all(gaia[field.name] > 400 for field in FIELDS)
    assert len(set(spectra["plate"])) == 5


def test_size_at_scale(table) -> None:
    assert 0.9 < len(table("gaia_source")["ra"]) / (30_000 * SCALE) < 1.1
    # At least six of each class, so the small archive has a little more than its share of targets.
    assert 0.9 < len(table("sdss_specobj")["ra"]) / (2_000 * SCALE) < 1.8
    assert 0.9 < len(table("tess_observations")["obsid"]) / (2_000 * SCALE) < 1.4


def test_ids_are_unique_and_cross_references_hold(table) -> None:
    truth, gaia, photo, spec = table("truth"), table("gaia_source"), table("sdss_photoobj"), table("sdss_specobj")
    for ids in (gaia["source_id"], photo["objID"], spec["specObjID"], table("tic")["ID"], table("simbad_basic")["oid"]):
        assert len(np.unique(ids)) == len(ids)
    assert np.isin(truth["source_id"][truth["source_id"] > 0], gaia["source_id"]).all()
    assert np.isin(truth["objid"][truth["objid"] > 0], photo["objID"][photo["mode"] == 1]).all()
    assert np.isin(spec["bestObjID"][spec["bestObjID"] > 0], photo["objID"]).all()
    assert np.isin(truth["specobjid"][truth["specobjid"] != ""], spec["specObjID"][spec["sciencePrimary"] == 1]).all()
    assert np.isin(table("tess_lightcurves")["ticid"].astype(str), table("tic")["ID"]).all()
    assert set(table("simbad_ident")["oidref"]) == set(table("simbad_basic")["oid"])
    fibres = set(zip(spec["plate"], spec["mjd"], spec["fiberID"], strict=True))
    assert len(fibres) == len(spec["plate"])
