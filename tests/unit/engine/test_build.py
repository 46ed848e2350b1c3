"""Staging: attempts at once do not get into one another's files, and a note comes after what it is of."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from stellar.engine import build
from stellar.engine.step import Partition, Step
from stellar.lake.write import file_sha256
from stellar.settings import load_settings


def test_another_attempt_in_between_does_not_change_what_is_staged(tmp_path, monkeypatch):
    step = Step("plain.rows", "rows", 1, {}, {}, lambda *given: None, "id", "plain")
    real = build.write_partition
    tables = [pa.table({"id": [number]}) for number in range(2)]
    notes = []

    def meanwhile(table, path, **options):
        made = real(table, path, **options)
        if not notes:
            notes.append(None)
            notes[0] = stage(tables[1])
        return made

    def stage(table):
        files = {}
        note = build._stage(table, tmp_path, "bucket=000", step, files)
        for own, named in files.items():
            own.replace(named)
        return note

    monkeypatch.setattr(build, "write_partition", meanwhile)
    notes.append(stage(tables[0]))
    assert notes[0]["sha256"] != notes[1]["sha256"]
    for note in notes:
        assert file_sha256(tmp_path / note["file"]) == note["sha256"]
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(note["file"] for note in notes)


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """Two partitions to build, each of one row, by a stand-in for the step; `run` builds them."""
    settings = load_settings(home=tmp_path)
    names = ["bucket=000", "bucket=001"]
    step = Step("plain.rows", "rows", 1, {}, {}, lambda *given: None, "id", "plain")
    places = [SimpleNamespace(partition=Partition(name)) for name in names]
    plan = SimpleNamespace(key="k", inputs={}, batches=[[0, 1]], partitions=places)

    def build_one(settings, step, plan, one, reader):
        folder, files = build.staging(settings, plan.key), {}
        folder.mkdir(parents=True, exist_ok=True)
        table = pa.table({"id": [names.index(one.partition.name)]})
        return build.Built(build._stage(table, folder, one.partition.file_name, step, files), files)

    monkeypatch.setattr(build, "key_of", lambda step, inputs: "k")
    monkeypatch.setattr(build, "build_one", build_one)
    return SimpleNamespace(
        settings=settings,
        build_one=build_one,
        run=lambda: build.build_batch(settings, step, plan, 0),
        notes=lambda: [build.read_note(settings, "k", one.partition) for one in places],
    )


def test_a_partition_counts_once_its_file_is_on_the_disk(batch, monkeypatch):
    seen = []

    def sync(path):
        seen.append((path.exists(), sum(note is not None for note in batch.notes())))

    monkeypatch.setattr(build, "sync", sync)
    batch.run()
    assert seen == [(True, 0), (True, 1)]
    folder = build.staging(batch.settings, "k")
    assert all(file_sha256(folder / note["file"]) == note["sha256"] for note in batch.notes())


def test_a_disk_that_refuses_is_told_of_and_nothing_counts(batch, monkeypatch):
    def sync(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "sync", sync)
    with pytest.raises(OSError, match="No space left"):
        batch.run()
    assert batch.notes() == [None, None]


def test_what_was_built_before_a_fault_counts(batch, monkeypatch):
    def fails_second(settings, step, plan, one, reader):
        if one.partition.name == "bucket=001":
            raise ValueError("bad row")
        return batch.build_one(settings, step, plan, one, reader)

    monkeypatch.setattr(build, "build_one", fails_second)
    with pytest.raises(ValueError, match="bad row"):
        batch.run()
    first, second = batch.notes()
    assert first["rows"] == 1 and second is None
