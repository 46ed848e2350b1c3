"""The gate of users' own tables: rows counted, ids compared with those of all others, in bounded memory."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellar.lake.hats import finish_catalog, partition_file
from stellar.lake.write import write_partition
from stellar.quality import numbers
from stellar.quality.numbers import run_number_gate
from stellar.sky.healpix import Cell


def catalogue(root, ids, cells=((1, 4), (1, 5), (1, 7))):
    """A catalogue of some cells, with a list of ids each; returns the hashes of its files."""
    rows, hashes, schema = {}, {}, None
    for (order, pixel), own in zip(cells, ids, strict=True):
        cell = Cell(order, pixel)
        index = cell.range29()[0] + np.arange(len(own))
        table = pa.table(
            {"_healpix_29": index, "id": pa.array(own), "ra": np.zeros(len(own)), "dec": np.zeros(len(own))}
        )
        path = root / partition_file(cell)
        made = write_partition(table, path, id_column="id", sky=True, keep_index=True)
        rows[cell], hashes[str(cell)], schema = len(own), made.sha256, pq.read_schema(path)
    finish_catalog(root, "own.stars", rows, schema)
    return hashes


def gate(root, hashes, cache, checked=()):
    found = run_number_gate("own.stars", root, ["id"], hashes, cache=cache, checked=checked, threads=2)
    return {row["kwargs"].get("note", row["expectation"]): row for row in found.expectations}, found


def repeated(rows):
    return next(row for note, row in rows.items() if "another row has too" in note)


def test_repeated_ids_are_counted_and_named(tmp_path):
    hashes = catalogue(tmp_path / "a", [[1, 2, 3], [4, 2, 6], [7, 3, 2]])
    rows, found = gate(tmp_path / "a", hashes, tmp_path / "cache")
    assert not found.passed
    assert repeated(rows)["failing"] == 5
    assert sorted((one["id"], one["rows"]) for one in repeated(rows)["failing_rows"]) == [(2, 3), (3, 2)]


@pytest.mark.parametrize("kind", [int, str])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    old=st.lists(st.integers(-5, 60), min_size=3, max_size=30, unique=True),
    new=st.lists(st.integers(-5, 60), min_size=1, max_size=12),
    together=st.sampled_from([4, 1 << 20]),
    few=st.sampled_from([0, 1 << 14]),
)
def test_only_what_changed_is_looked_at_and_the_outcome_is_that_of_all(
    tmp_path_factory, monkeypatch, kind, old, new, together, few
):
    monkeypatch.setattr(numbers, "_TOGETHER", together)
    monkeypatch.setattr(numbers, "_SAMPLE", 2)
    monkeypatch.setattr(numbers, "_FEW", few)
    folder = tmp_path_factory.mktemp("gate")
    third = max(1, len(old) // 3)
    parts = [[kind(one) for one in part] for part in (old[:third], old[third : 2 * third], old[2 * third :])]
    before = catalogue(folder / "a", parts)
    _, found = gate(folder / "a", before, folder / "cache")
    assert found.passed
    parts[1] = [kind(one) for one in new]
    after = catalogue(folder / "b", parts)
    grown, _ = gate(folder / "b", after, folder / "cache", checked=set(before.values()))
    whole, _ = gate(folder / "b", after, folder / "other")
    everything = [one for part in parts for one in part]
    count = sum(everything.count(one) > 1 for one in everything)
    assert (repeated(grown)["observed"]["value"], repeated(whole)["observed"]["value"]) == (count, count)


def test_of_very_many_repeated_ids_the_rows_are_counted_by_their_hashes(tmp_path, monkeypatch):
    monkeypatch.setattr(numbers, "_MANY", 2)
    hashes = catalogue(tmp_path / "a", [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [7]])
    rows, _ = gate(tmp_path / "a", hashes, tmp_path / "cache")
    assert repeated(rows)["failing"] == 8
    assert len(repeated(rows)["failing_rows"]) == 2


def test_damaged_files_of_ids_are_made_again(tmp_path):
    hashes = catalogue(tmp_path / "a", [[1, 2], [3], [4]])
    gate(tmp_path / "a", hashes, tmp_path / "cache")
    for kept in (tmp_path / "cache").rglob("*.u64"):
        kept.write_bytes(b"")
    _, found = gate(tmp_path / "a", hashes, tmp_path / "cache", checked=set(hashes.values()))
    assert found.passed


IMPORTED = """
import json, sys, threading
from pathlib import Path

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            print(threading.current_thread().name)

sys.meta_path.insert(0, Finder())
from stellar.quality.numbers import run_number_gate

root, cache, hashes = sys.argv[1:]
assert run_number_gate("own.stars", Path(root), ["id"], json.loads(hashes), cache=Path(cache), threads=2).passed
"""


def test_threads_do_not_import_pandas_at_once(tmp_path):
    # two threads that begin to import it together wait for each other, now and then for ever
    hashes = catalogue(tmp_path / "a", [["a", "b"], ["c"], ["d"]])
    arguments = [str(tmp_path / "a"), str(tmp_path / "cache"), json.dumps(hashes)]
    command = [sys.executable, "-c", IMPORTED, *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert set(said.split()) == {"MainThread"}


def test_a_failed_gate_says_what_is_wrong_in_words(tmp_path):
    hashes = catalogue(tmp_path / "a", [[1, 2], [2], [4]])
    _, found = gate(tmp_path / "a", hashes, tmp_path / "cache")
    assert found.reasons() == ["repeated_ids: 2 rows whose id another row has too, for example {'id': 2, 'rows': 2}"]
