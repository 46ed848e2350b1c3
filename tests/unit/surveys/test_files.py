"""Files as a survey: units, signs, column maps, faults; and every real file."""

from pathlib import Path

import pytest

from stellar.errors import InputError
from stellar.profile import load_profile
from stellar.settings import load_settings
from stellar.surveys.base import Scope
from stellar.surveys.files import FileColumn, FileSource, FilesSurvey, load_source, open_survey, read

SOURCE = FileSource(
    dataset="things",
    release="r1",
    files=["*.csv"],
    reader="csv",
    id="source_id",
    columns=[
        FileColumn(name="source_id", type="int64"),
        FileColumn(name="ra", type="float64", source="RAJ2000"),
        FileColumn(name="dec", type="float64"),
        FileColumn(name="note", type="string", optional=True),
    ],
)
TEXT = "SOURCE_ID,raj2000,dec\n1,10.0,5.0\n2,20.0,-5.0\n"


@pytest.fixture
def survey(tmp_path: Path) -> FilesSurvey:
    (tmp_path / "a.csv").write_text(TEXT)
    (tmp_path / "b.csv").write_text(TEXT.replace("1,", "3,"))
    return FilesSurvey(tmp_path, {"things": SOURCE})


def done(units: list) -> dict[tuple[str, str], str]:
    return {(u.dataset, u.unit): u.sign for u in units}


def test_a_unit_a_file_and_only_those_that_changed(survey: FilesSurvey) -> None:
    units = survey.plan(Scope(), {})
    assert [u.unit for u in units] == ["a.csv", "b.csv"]
    assert survey.plan(Scope(), done(units)) == []
    before = done(units)
    (survey.folder / "b.csv").write_text(TEXT.replace("1,", "4,"))
    assert [u.unit for u in survey.plan(Scope(), before)] == ["b.csv"]


def test_a_file_touched_but_not_changed_is_not_read_again(survey: FilesSurvey) -> None:
    before = done(survey.plan(Scope(), {}))
    (survey.folder / "a.csv").touch()
    assert survey.plan(Scope(), before) == []


def test_rows_come_by_the_map_with_file_and_row(survey: FilesSurvey) -> None:
    fetched = survey.fetch(survey.plan(Scope(), {})[0])
    assert fetched.table.to_pylist()[1] == {
        "source_id": 2,
        "ra": 20.0,
        "dec": -5.0,
        "note": None,
        "file_name": "a.csv",
        "file_row": 2,
        "fault": None,
    }
    assert fetched.service.startswith("file:///") and len(fetched.response_sha256) == 64


def test_a_file_that_changes_between_plan_and_fetch_is_refused(survey: FilesSurvey) -> None:
    unit = survey.plan(Scope(), {})[0]
    (survey.folder / "a.csv").write_text(TEXT + "9,1,1\n")
    with pytest.raises(InputError, match="changed since it was planned"):
        survey.fetch(unit)
    (survey.folder / "a.csv").unlink()
    with pytest.raises(InputError, match="is gone since it was planned"):
        survey.fetch(unit)


def test_cells_that_cannot_be_read_are_told_with_file_row_and_value(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("source_id,raj2000,dec\n1.2E+18,10.0,5.0\n2,east,5.0\n3,1.0\n4,1.0,2.0\n")
    table = read(path, SOURCE)
    faults = table["fault"].to_pylist()
    assert faults[0] == "x.csv: row 1: source_id: '1.2E+18' is not int64"
    assert faults[1] == "x.csv: row 2: raj2000: 'east' is not float64"
    assert "2 fields instead of 3" in faults[2] and faults[3] is None
    assert table["source_id"].to_pylist() == [None, 2, None, 4]


def test_a_file_of_another_dialect_names_what_it_lacks_and_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,alpha,delta\n1,2,3\n")
    with pytest.raises(
        InputError, match=r"x\.csv: there is no column source_id, RAJ2000, dec; it has id, alpha, delta"
    ):
        read(path, SOURCE)


def test_nothing_to_read_is_an_error_that_says_where(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the files"):
        FilesSurvey(tmp_path, {"things": SOURCE}).plan(Scope(), {})
    with pytest.raises(InputError, match="no such folder"):
        FilesSurvey(tmp_path / "nowhere", {"things": SOURCE}).plan(Scope(), {})


def test_a_region_cuts_rows_but_keeps_those_that_have_no_position(survey: FilesSurvey) -> None:
    (survey.folder / "a.csv").write_text(TEXT + "5,,1.0\n")
    scope = Scope.from_dict({"regions": [{"ra": 20.0, "dec": -5.0, "radius_deg": 1.0}]})
    table = survey.fetch(survey.plan(scope, {})[0]).table
    assert table["source_id"].to_pylist() == [2, 5]


def test_every_real_file_is_read_and_no_row_has_a_fault(real_data: Path) -> None:
    survey = open_survey(load_settings(data=real_data), load_profile("real").model_dump())
    units = survey.plan(Scope(), {})
    assert len(units) > 260 and len({(u.dataset, u.unit) for u in units}) == len(units)
    one_each = {u.params["source"]: u for u in units}
    assert set(one_each) == set(load_profile("real").files)
    for name, unit in one_each.items():
        table = survey.fetch(unit).table
        assert len(table), name
        assert table["fault"].null_count == len(table), name
        assert load_source(name).id in table.column_names


def test_a_file_is_read_again_when_its_source_reads_it_in_another_way(survey: FilesSurvey) -> None:
    before = done(survey.plan(Scope(), {}))

    def planned(scope: Scope = Scope(), **change: object) -> list[str]:  # noqa: B008
        other = FilesSurvey(survey.folder, {"things": SOURCE.model_copy(update=change)})
        return [u.unit for u in other.plan(scope, before)]

    assert planned(description="told in other words") == []
    assert planned(release="r2") == planned(columns=SOURCE.columns[:3]) == ["a.csv", "b.csv"]
    assert planned(options={"delimiter": ";"}) == ["a.csv", "b.csv"]
    assert planned(Scope.from_dict({"regions": [{"ra": 20.0, "dec": -5.0, "radius_deg": 1.0}]})) == ["a.csv", "b.csv"]


def test_a_file_that_is_gone_becomes_an_empty_unit_once(survey: FilesSurvey) -> None:
    before = done(survey.plan(Scope(), {}))
    text = (survey.folder / "b.csv").read_text()
    (survey.folder / "b.csv").unlink()
    (unit,) = survey.plan(Scope(), before)
    table = survey.fetch(unit).table
    assert (unit.unit, unit.expected_rows, table.num_rows) == ("b.csv", 0, 0)
    left = survey.fetch(survey.plan(Scope(), {})[0]).table
    assert table.schema == left.schema
    before |= done([unit])
    assert survey.plan(Scope(), before) == []
    (survey.folder / "b.csv").write_text(text)
    assert [u.unit for u in survey.plan(Scope(), before)] == ["b.csv"]
    with pytest.raises(InputError, match="is back since"):
        survey.fetch(unit)


def test_a_file_of_a_source_that_is_not_asked_for_is_not_gone(survey: FilesSurvey) -> None:
    before = done(survey.plan(Scope(), {}))
    only_a = FilesSurvey(survey.folder, {"things": SOURCE.model_copy(update={"files": ["a.csv"]})})
    assert only_a.plan(Scope(), before) == []
