"""Training labels: who tells what, which object it belongs to, and that the YAML's classes are what they should be."""

import pyarrow as pa
import pytest

from stellar.engine.step import Partition, PartitionInput
from stellar.features.labels import LabelsConfig, labels_step, load_labels, plain_labels_step, run, run_plain, told
from stellar.profile import load_profile


def told_class(survey: str, **columns: list) -> list[str | None]:
    """Classes that the real configuration gives to rows of a survey, null where it gives none."""
    n = len(next(iter(columns.values())))
    table = pa.table({"n": pa.array(range(n), pa.int64()), **columns})
    config = LabelsConfig(targets=[t for t in load_labels().targets if t.name.endswith("class")])
    labels = told(table, "n", survey, config)[0].to_pylist()
    found = {row["survey_id"]: row["value_string"] for row in labels}
    return [found.get(str(i)) for i in range(n)]


@pytest.mark.parametrize(
    ("subclass", "letter"),
    [
        ("G2", "G"), ("A0p", "A"), ("OB", "O"), ("M5", "M"), ("WD", "WD"), ("WDhotter", "WD"), ("CarbonWD", "WD"),
        ("Carbon_lines", "CARBON"), ("Carbon", "CARBON"), ("CV", None), ("", None), ("sdM1", "M"), ("L1", "L"),
        ("K5Ve (118100)", "K"), ("F9V (10697)", "F"),
    ],
)  # fmt: skip
def test_letters_of_sdss_subclasses(subclass: str, letter: str | None) -> None:
    assert told_class("sdss_spectra", subclass=[subclass], **{"class": ["STAR"]}, has_good_redshift=[True]) == [letter]


def test_quality_flags_are_applied() -> None:
    columns = {"subclass": ["G2"] * 3, "class": ["STAR", "STAR", "QSO"], "has_good_redshift": [True, False, True]}
    assert told_class("sdss_spectra", **columns) == ["G", None, None]


def test_variability_types_by_gcvs_then_simbad() -> None:
    vartyp = ["EA", "RRAB", "RRC", "DSCT", "BY", "UV", "SRS", "CST", None, None, None, "QQ"]
    otype = ["EB*", "RR*", "RR*", "dS*", "BY*", "Er*", "*", "*", "dS*", "RotV", "EB*", "dS*"]
    expected = ["EA", "RRab", "RRc", "DSCT", "ROT", "FLARE", "SOLR", "CONST", "DSCT", "ROT", None, None]
    assert told_class("labels", vartyp=vartyp, otype=otype) == expected


CONFIG = {
    "targets": [
        {"name": "teff_k", "from": [{"survey": "s", "value": "teff", "error": "err"}]},
        {"name": "kind", "from": [{"survey": "s", "class": "k"}]},
    ]
}
ROWS = pa.table(
    {
        "n": pa.array([1, 2, 3], pa.int64()),
        "teff": [5000.0, None, 6000.0],
        "err": [50.0, None, None],
        "k": ["a", "b", None],
    }
)


def test_labels_stand_where_their_object_is() -> None:
    associations = pa.table(
        {
            "object_id": ["o1", "o2", "o1"],
            "survey": ["s", "s", "other"],
            "survey_id": ["1", "3", "1"],
            "ra": [10.0, 20.0, 10.0],
            "dec": [1.0, 2.0, 1.0],
        }
    )
    inputs = {
        "associations": PartitionInput(associations, associations.slice(0, 0)),
        "s": PartitionInput(ROWS.slice(0, 1), ROWS.slice(1)),  # the second and third lie across the cell's edge
    }
    result = run(Partition("Norder=0/Npix=0"), inputs, {"labels": CONFIG, "ids": {"s": "n"}})
    rows = {r["label_id"]: r for r in result.table.to_pylist()}
    assert set(rows) == {"teff_k:s:1", "kind:s:1", "teff_k:s:3"}, "row 2 belongs to another cell's object"
    assert rows["teff_k:s:1"]["object_id"] == "o1" and rows["teff_k:s:1"]["error_float"] == 50.0
    assert rows["teff_k:s:3"]["ra"] == 20.0 and rows["kind:s:1"]["value_string"] == "a"
    a = result.accounting
    assert (a.rows_in, a.rows_out, a.filtered, a.gap) == (4, 3, {"no_label": 1}, 0)


def test_datasets_without_positions_tell_each_row_once_over_all_buckets() -> None:
    given = {"s": PartitionInput(ROWS, ROWS.slice(0, 0))}
    parts = [run_plain(Partition.of_bucket(k, 4), given, {"labels": CONFIG, "ids": {"s": "n"}}) for k in range(4)]
    ids = sorted(i for p in parts for i in p.table["label_id"].to_pylist())
    assert ids == ["kind:s:1", "kind:s:2", "teff_k:s:1", "teff_k:s:3"]
    assert sum(p.accounting.rows_in for p in parts) == 6 and all(p.accounting.gap == 0 for p in parts)


def test_steps_of_the_profiles() -> None:
    assert plain_labels_step(load_profile("simulated")) is None
    plain = plain_labels_step(load_profile("real"))
    assert plain is not None and set(plain.inputs) == {"asas_classes"}
    assert {"associations", "gaia_dr3_sample", "lamost_parameters"} <= set(labels_step(load_profile("real")).inputs)
