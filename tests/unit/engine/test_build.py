"""Staging: attempts at once do not get into one another's files."""

import pyarrow as pa

from stellar.engine import build
from stellar.engine.step import Step
from stellar.lake.write import file_sha256


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
        return build._stage(table, tmp_path, "bucket=000", step)

    monkeypatch.setattr(build, "write_partition", meanwhile)
    notes.append(stage(tables[0]))
    assert notes[0]["sha256"] != notes[1]["sha256"]
    for note in notes:
        assert file_sha256(tmp_path / note["file"]) == note["sha256"]
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(note["file"] for note in notes)
