"""A home goes into one file, and comes out of it in another place."""

import json
import os
import shutil
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from integration.engine import small_steps as small
from stellar import cli
from stellar.engine import backup as backups
from stellar.engine import engine, ingest
from stellar.engine.backup import backup
from stellar.engine.maintain import maintain
from stellar.engine.restore import restore
from stellar.errors import InputError, IntegrityError
from stellar.ledger import gates, lineage, snapshots
from stellar.ledger.connect import ledger_session
from stellar.settings import load_settings

STEPS = [small.curate_step(), small.double_step(), small.plain_step()]


@pytest.fixture
def owner(settings):
    with ledger_session(settings, role="owner") as engine_:
        yield engine_


@pytest.fixture
def elsewhere():
    """Settings of a home that is not there yet, with an embedded server."""
    folder = Path(tempfile.mkdtemp(prefix="stellar-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield load_settings(home=folder / "home", postgres_url=None, workers=1)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lived(ctx, sync):
    """A lake with a past of two snapshots of most datasets."""
    sync(*"abcd")
    engine.run(ctx, STEPS)
    sync("b", sign="2", seed=7)
    return engine.run(ctx, STEPS)


@pytest.mark.parametrize("suffix", [".tar", ".tar.zst"])
def test_a_home_moves(ctx, lived, settings, owner, elsewhere, tmp_path, suffix):
    (settings.home / "profile").write_text("tiny\n")
    seen = []
    file = tmp_path / f"home{suffix}"
    about = backup(settings, owner, file, progress=lambda *told: seen.append(told))
    assert seen[-1] == ("writing", about["bytes"], about["bytes"])
    assert not [path for path in (settings.lake / ".staging").iterdir() if path.name.startswith("backup")]
    report = restore(elsewhere, file)
    assert report["faults"] == []
    assert report["current"] == snapshots.current_keys(ctx.engine)
    there = load_settings(home=elsewhere.home, postgres_url=None, workers=1)
    assert there.profile == "tiny"
    with ledger_session(there) as ledger:
        other = engine.Context(there, ledger, "run-2")
        assert snapshots.list_datasets(ledger) == snapshots.list_datasets(ctx.engine)
        assert lineage.upstream(ledger, "features.plain") == lineage.upstream(ctx.engine, "features.plain")
        for one in gates.report(ledger):
            assert one["data_docs"] is None or (there.home / one["data_docs"]).is_file()
        assert [(one.key, one.found) for one in engine.run(other, STEPS)] == [(one.key, True) for one in lived]
        unit, answer = small.fetched("c", sign="2", seed=5)
        ingest.plan_units(other, "test", [unit])
        ingest.record_batch(other, unit, answer)
        made = ingest.commit_raw(other, "raw.stars")
        engine.gate(other, [made.key])
        engine.promote(other, [made.key], who="test", reason="sync")
        assert engine.run(other, STEPS)[0].carried == 3
        assert maintain(other, keep=1)["faults"] == []


def test_shared_files_are_stored_and_restored_once(ctx, lived, settings, owner, elsewhere, tmp_path):
    file = tmp_path / "home.tar"
    backup(settings, owner, file)
    with tarfile.open(file) as tar:
        links = [entry for entry in tar if entry.islnk()]
        stored = sum(entry.size for entry in tar if entry.isreg())
    inodes = {(one.stat().st_ino): one.stat().st_size for one in settings.lake.rglob("*.parquet")}
    assert len(links) > 8
    assert stored < sum(inodes.values()) + 2_000_000
    restore(elsewhere, file, rows=False)
    again = {(one.stat().st_ino): one.stat().st_size for one in elsewhere.lake.rglob("*.parquet")}
    assert sorted(again.values()) == sorted(inodes.values())


def test_secrets_stay_unless_asked_for(ctx, lived, settings, owner, elsewhere, tmp_path):
    settings.secrets.mkdir(mode=0o700)
    (settings.secrets / "postgres-owner").write_text("correct-horse")
    plain, full = tmp_path / "plain.tar", tmp_path / "full.tar"
    backup(settings, owner, plain)
    assert b"correct-horse" not in plain.read_bytes()
    assert backup(settings, owner, full, secrets=True)["secrets"] is True
    restore(elsewhere, full, rows=False)
    assert (elsewhere.secrets / "postgres-owner").read_text() == "correct-horse"
    assert elsewhere.secrets.stat().st_mode & 0o777 == 0o700
    with ledger_session(elsewhere) as ledger:
        assert snapshots.current_keys(ledger)


def test_a_retirement_meanwhile_takes_nothing_away(ctx, lived, settings, owner, elsewhere, tmp_path, monkeypatch):
    """What is listed was linked aside: that the lake loses it before it is written makes no difference."""
    former = [path for path in settings.lake.glob("curated/stars/*/manifest.json")]
    write = backups._write

    def late(*arguments):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(maintain, ctx, keep=1).result()["faults"] == []
        ctx.engine.dispose()
        for path in former:
            shutil.rmtree(path.parent)
        write(*arguments)

    monkeypatch.setattr(backups, "_write", late)
    backup(settings, owner, tmp_path / "home.tar")
    assert restore(elsewhere, tmp_path / "home.tar")["faults"] == []


def test_a_damaged_lake_is_not_backed_up(ctx, lived, settings, owner, tmp_path):
    row = snapshots.get(ctx.engine, lived[0].key)
    victim = next((settings.lake / row.path).rglob("Npix=*.parquet"))
    os.truncate(victim, victim.stat().st_size - 1)
    with pytest.raises(IntegrityError, match=rf"{victim.name}: missing, or of another size.*stellar verify"):
        backup(settings, owner, tmp_path / "home.tar")
    assert not list(tmp_path.iterdir())


def test_wrong_files_are_refused_and_leave_nothing(ctx, sync, settings, owner, elsewhere, tmp_path):
    sync("a")
    good, bad = tmp_path / "home.tar", tmp_path / "bad.tar"
    with pytest.raises(InputError, match=r"\*\.tar"):
        backup(settings, owner, tmp_path / "home.zip")
    backup(settings, owner, good)
    with pytest.raises(InputError, match="there already"):
        backup(settings, owner, good)
    backup(settings, owner, good, overwrite=True)

    def refused(said):
        with pytest.raises(InputError, match=said):
            restore(elsewhere, bad)
        assert not elsewhere.home.exists()

    refused("no such file")
    bad.write_bytes(b"nonsense" * 1000)
    refused("damaged or no backup")
    bad.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    refused("damaged|not whole")
    bad.write_bytes(pa.compress(good.read_bytes(), "zstd", asbytes=True)[:5000])
    refused("damaged|not whole")
    with tarfile.open(good) as tar, tarfile.open(bad, "w") as other:
        for entry in tar:
            data = tar.extractfile(entry)
            if entry.name == "backup.json":
                about = json.loads(data.read()) | {"layout": 99, "program": "9.8.7"}
                (tmp_path / "about").write_text(json.dumps(about))
                other.add(tmp_path / "about", "backup.json")
    refused(r"version 9\.8\.7 of the platform .*layout 99")
    with tarfile.open(bad, "w") as other:
        other.add(tmp_path / "about", "README")
    refused("no backup.json")
    elsewhere.home.mkdir()
    (elsewhere.home / "mine").write_text("x")
    with pytest.raises(InputError, match="is not empty"):
        restore(elsewhere, good)
    assert (elsewhere.home / "mine").exists()


def test_by_the_command(ctx, sync, settings, elsewhere, tmp_path, monkeypatch):
    sync("a")

    def stellar(*words):
        return CliRunner().invoke(cli.app, list(words), catch_exceptions=False)

    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    said = stellar("backup", str(tmp_path / "home.tar.zst"), "--json")
    assert json.loads(said.stdout)["snapshots"] == 1
    monkeypatch.setenv("STELLAR_HOME", str(elsewhere.home))
    with pytest.raises(InputError, match="holds a ledger already"):
        stellar("restore", str(tmp_path / "home.tar.zst"))
    monkeypatch.delenv("STELLAR_POSTGRES_URL")
    said = stellar("restore", str(tmp_path / "home.tar.zst"))
    assert (said.exit_code, "1 datasets, 1 snapshots" in said.stdout) == (0, True)
    assert json.loads(stellar("verify", "--json").stdout) == []


def test_an_imported_table_moves_without_its_staged_copy(ctx, sync, settings, owner, tmp_path):
    sync("a")
    (settings.lake / "staged" / "own" / "x").mkdir(parents=True)
    (settings.lake / "staged" / "own" / "x" / "1.arrow").write_bytes(b"rows")
    for staged in (False, True):
        backup(settings, owner, tmp_path / "home.tar", staged=staged, overwrite=True)
        with tarfile.open(tmp_path / "home.tar") as tar:
            assert ("lake/staged/own/x/1.arrow" in tar.getnames()) is staged
