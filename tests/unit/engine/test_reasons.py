"""What a plan and a manifest differ in, said in words."""

import dataclasses
import json

import pyarrow as pa
import pytest

from stellar.engine.inputs import InputPlan
from stellar.engine.plan import PartitionPlan, Plan, identity
from stellar.engine.reasons import compare
from stellar.engine.step import Accounting, Input, Partition, Step, StepResult


def run(partition, inputs, params):
    return StepResult(pa.table({}), Accounting(0, 0))


STEP = Step(
    "curated.stars",
    "curate",
    1,
    {"raw": Input("raw.stars"), "near": Input("curated.others", margin_arcsec=5)},
    {"limit": 19},
    run,
    "id",
    "rows",
    primary="raw",
    models={"teff": "a" * 64},
)
READS = {"raw": {"b1": "1"}, "near": {"Norder=0/Npix=3": "2", "margin/Norder=0/Npix=3": "3"}}


def planned(places, step=STEP):
    """Plan of partitions: name -> (key, carried, reads)."""
    inputs = {role: InputPlan(role, one.dataset, "s", "p", "h", 1, "cells") for role, one in step.inputs.items()}
    parts = [PartitionPlan(Partition(name), key, carried, reads) for name, (key, carried, reads) in places.items()]
    return Plan("k", step.dataset, False, parts, [], inputs)


def manifest(places, step=STEP):
    return {
        "key": "m",
        "identity": json.loads(json.dumps(identity(step))),
        "partitions": [{"name": name, "key": key, "reads": reads} for name, (key, reads) in places.items()],
    }


CELL = "Norder=0/Npix=3"


def why(reasons, name=CELL):
    return [(one.kind, one.what) for one in reasons.partitions[name]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"params": {"limit": 18}}, ("parameter", "parameter limit: 19 -> 18")),
        ({"params": {}}, ("parameter", "parameter limit: 19 -> null")),
        ({"version": 2}, ("step", "the step's version: 1 -> 2")),
        ({"models": {"teff": "b" * 64}}, ("model", f"model teff: version {'a' * 16} -> {'b' * 16}")),
        ({"margin_arcsec": 10.0}, ("step", "the width of the margins: 0 -> 10.0")),
        ({"position": ("lon", "lat")}, ("step", 'the position\'s columns: ["ra", "dec"] -> ["lon", "lat"]')),
        ({"layout": "inherit"}, ("step", "how rows are laid out in cells")),
        (
            {"inputs": {**STEP.inputs, "near": Input("curated.others", margin_arcsec=7)}},
            ("reads", "curated.others: margin read: 5 -> 7"),
        ),
        ({"inputs": {"raw": STEP.inputs["raw"]}}, ("reads", "curated.others is not read any more")),
    ],
)
def test_what_decides_every_partition_is_said_once(change, told):
    new = dataclasses.replace(STEP, **change)
    found = compare(new, planned({CELL: ("new", False, {})}, new), manifest({CELL: ("old", {})}))
    assert [(one.kind, one.what) for one in found.every] == [told]
    assert found.partitions == {CELL: []}


def test_what_a_partition_reads_is_compared_by_content():
    now = {"raw": {"b2": "1"}, "near": {"Norder=0/Npix=3": "2", "margin/Norder=0/Npix=3": "9"}}
    found = compare(STEP, planned({CELL: ("new", False, now)}), manifest({CELL: ("old", READS)}))
    assert found.every == []
    assert why(found) == [
        ("input", "raw.stars: b1 is gone"),
        ("input", "raw.stars: b2 is new"),
        ("margin", "curated.others: the margin of Norder=0/Npix=3 changed"),
    ]
    assert found.partitions[CELL][2].to_dict() == {
        "kind": "margin",
        "what": "curated.others: the margin of Norder=0/Npix=3 changed",
        "dataset": "curated.others",
        "partition": "Norder=0/Npix=3",
    }


def test_carried_partitions_need_no_reason():
    found = compare(STEP, planned({CELL: ("new", True, READS)}), manifest({CELL: ("old", READS)}))
    assert (found.every, found.partitions, found.removed) == ([], {}, [])


def test_a_file_that_is_not_there_is_told_from_a_change():
    found = compare(STEP, planned({CELL: ("same", False, READS)}), manifest({CELL: ("same", READS)}))
    assert why(found) == [("file", "its file is missing or damaged")]


def test_cells_that_split_merge_appear_and_go():
    old = {"Norder=1/Npix=0": ("1", {}), "Norder=1/Npix=4": ("2", {}), "Norder=1/Npix=5": ("3", {})}
    new = {
        "Norder=2/Npix=1": ("4", False, {}),  # of Norder=1/Npix=0
        "Norder=0/Npix=1": ("5", False, {}),  # of Npix=4 and 5
        "Norder=0/Npix=7": ("6", False, {}),
        "unplaced": ("7", False, {}),
    }
    found = compare(STEP, planned(new), manifest(old))
    assert why(found, "Norder=2/Npix=1") == [("cell", "new cell: Norder=1/Npix=0 was split")]
    merged = "new cell: 2 cells were merged (Norder=1/Npix=4, Norder=1/Npix=5)"
    assert why(found, "Norder=0/Npix=1") == [("cell", merged)]
    assert why(found, "Norder=0/Npix=7") == [("cell", "new cell: there were no rows")]
    assert why(found, "unplaced") == [("cell", "it was not there")]
    assert found.removed == sorted(old)


def test_buckets_that_became_more():
    found = compare(STEP, planned({"bucket=005": ("4", False, {})}), manifest({"bucket=000": ("1", {})}))
    assert why(found, "bucket=005") == [("cell", "the number of buckets changed")]


def test_a_snapshot_of_an_older_program():
    old = {**manifest({CELL: ("old", None)}), "identity": None}
    found = compare(STEP, planned({CELL: ("new", False, READS)}), old)
    assert [one.what for one in found.every] == ["the current snapshot was made by an older version of the platform"]
    assert found.partitions == {CELL: []}
