"""Damage of every kind is found, by file, with exit code 1; what is sound is said to be."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stellar import cli
from stellar.engine.context import Context
from stellar.engine.verify import verify, verify_datasets
from stellar.errors import InputError
from stellar.flow.matching import crossmatch
from stellar.flow.tables import import_table
from stellar.lake import layout
from stellar.ledger import snapshots


@pytest.fixture
def ctx(settings, ledger, monkeypatch):
    monkeypatch.setattr(layout, "THRESHOLD_BYTES", 8_000)
    settings.workers = 1
    return Context(settings, ledger, None)


@pytest.fixture
def stars(ctx, tmp_path):
    """own.stars in many cells with wide margins; the folder of its snapshot."""
    random = np.random.default_rng(3)
    table = pa.table(
        {
            "id": pa.array(np.arange(6000), pa.int64()),
            "lon": random.uniform(0, 360, 6000),
            "lat": np.degrees(np.arcsin(random.uniform(-1, 1, 6000))),
        }
    )
    pq.write_table(table, tmp_path / "stars.parquet")
    made = import_table(
        ctx, [tmp_path / "stars.parquet"], "stars", id_column="id", ra="lon", dec="lat", margin_arcsec=3600.0
    )
    assert made["partitions"] > 12
    return ctx.settings.lake / snapshots.current(ctx.engine, "own.stars").path


def faults(ctx, **options):
    return {(one["file"], one["what"]) for one in verify(ctx, ["own.stars"], **{"rows": True, **options})}


def damage(path, table=None):
    """Write a file anew, not through its hard links."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if table is not None:
        pq.write_table(table, path)
    else:
        path.write_bytes(data)


def test_sound_and_told_so(ctx, stars):
    (one,) = verify_datasets(ctx, ["own.stars"], rows=True)
    assert (one.faults, one.rows, one.margin_arcsec) == ([], 6000, 3600.0)
    assert one.files > 24
    assert one.bytes == sum(path.stat().st_size for path in stars.rglob("Npix=*.parquet"))


@pytest.mark.parametrize("folder", ["catalog", "margin"])
def test_a_flipped_bit_and_a_lost_file(ctx, stars, folder):
    flipped, lost = sorted((stars / folder).rglob("Npix=*.parquet"))[:2]
    damage(flipped)
    lost.unlink()
    for rows in (True, False):
        found = faults(ctx, rows=rows)
        assert {file for file, what in found if "SHA-256" in what} == {flipped.relative_to(stars).as_posix()}
        assert (lost.relative_to(stars).as_posix(), "the file is missing") in found


def test_a_margin_that_was_committed_short(ctx, stars):
    """As a fault of the program would leave it: file, ledger and manifest agree, and rows are missing."""
    victim = sorted((stars / "margin").rglob("Npix=*.parquet"))[0]
    name = "/".join(part.removesuffix(".parquet") for part in victim.parts if part.startswith(("Norder", "Npix")))
    damage(victim, pq.read_table(victim, partitioning=None).slice(1))
    from stellar.lake.write import file_sha256

    facts = {"rows": pq.read_metadata(victim).num_rows, "bytes": victim.stat().st_size, "sha256": file_sha256(victim)}
    manifest = json.loads((stars / "manifest.json").read_text())
    next(one for one in manifest["margins"] if one["name"] == name).update(facts)
    (stars / "manifest.json").write_text(json.dumps(manifest))
    with ctx.engine.begin() as connection:
        connection.exec_driver_sql("RESET ROLE")
        connection.exec_driver_sql("ALTER TABLE lake.margin DISABLE TRIGGER append_only")
        connection.exec_driver_sql(
            "UPDATE lake.margin SET rows = %(rows)s, bytes = %(bytes)s, file_sha256 = %(sha256)s WHERE name = %(name)s",
            {**facts, "name": name},
        )
    found = dict(faults(ctx))
    assert "lacks 1 of the" in found[victim.relative_to(stars).as_posix()]
    assert not any("lacks" in what for _, what in faults(ctx, rows=False))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told.update(content_hash="0" * 64), "its content hash is not what the ledger says"),
        (lambda told: told["partitions"][0].update(rows=1), "its partitions are not what the ledger says"),
        (lambda told: told["margins"].pop(), "its margins are not what the ledger says"),
        (lambda told: told.pop("key"), "cannot be read: KeyError"),
    ],
)
def test_a_manifest_that_says_otherwise(ctx, stars, change, said):
    told = json.loads((stars / "manifest.json").read_text())
    change(told)
    (stars / "manifest.json").write_text(json.dumps(told))
    ((file, what),) = faults(ctx)
    assert (file, said in what) == ("manifest.json", True)
    (stars / "manifest.json").unlink()
    assert faults(ctx) == {("manifest.json", "the file is missing")}


def test_results_of_every_kind_of_match_are_sound(ctx, stars, tmp_path):
    table = pq.read_table(tmp_path / "stars.parquet").slice(0, 3000)
    moved = table.set_column(2, "lat", pa.array(np.clip(table["lat"].to_numpy() + 0.001, -90, 90)))
    pq.write_table(moved, tmp_path / "others.parquet")
    import_table(ctx, [tmp_path / "others.parquet"], "others", id_column="id", ra="lon", dec="lat", margin_arcsec=60.0)
    for how in ("inner", "left", "outer"):
        crossmatch(ctx, "others", "stars", how, radius_arcsec=10.0, how=how, margin_arcsec=30.0)
    assert verify(ctx, rows=True) == []


def test_by_the_command(ctx, stars, settings, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())

    def stellar(*words):
        return CliRunner().invoke(cli.app, ["verify", *words], catch_exceptions=False)

    said = stellar("stars")
    assert said.exit_code == 0
    assert [line.split()[0] for line in said.stdout.splitlines()] == ["DATASET", "own.stars", "all"]
    victim = next((stars / "catalog").rglob("Npix=*.parquet"))
    damage(victim)
    for words in (("stars",), ("own.stars", "--quick"), ()):
        said = stellar(*words)
        assert said.exit_code == 1
        assert any(line.startswith("own.stars") and victim.name in line for line in said.stdout.splitlines())
    (fault,) = json.loads(stellar("stars", "--json").stdout)
    assert (fault["dataset"], fault["path"]) == ("own.stars", str(victim))
    with pytest.raises(InputError, match=r"own\.nothing: no such dataset"):
        stellar("nothing")
    assert stellar("stars", "--repair").exit_code == 1
    assert not stars.exists()
