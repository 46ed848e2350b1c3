"""Services on a bad day: the rows are the same, or the failure says which service and which unit."""

import time
from pathlib import Path

import pyarrow as pa
import pytest

from served_archive import content, served
from stellar.archive.fields import FIELDS
from stellar.errors import ServiceError
from stellar.surveys.base import Region, Scope, open_survey
from stellar.surveys.http import transport

HALO = FIELDS[0]
SURVEYS = ["gaia", "sdss", "tess", "labels"]
SCOPE = Scope((Region(HALO.ra, HALO.dec, HALO.radius_deg / 2),))
BAD_DAY = {"429": 0.05, "503": 0.05, "stall": 0.03, "cut": 0.04, "short": 0.03, "job": 0.2}


def rows(survey) -> dict[str, pa.Table]:
    found: dict[str, list[pa.Table]] = {}
    for unit in survey.plan(SCOPE, {}):
        found.setdefault(unit.dataset, []).append(survey.fetch(unit).table)
    return {dataset: pa.concat_tables(tables) for dataset, tables in found.items()}


@pytest.mark.parametrize("name", SURVEYS)
def test_a_fifth_of_bad_answers_changes_no_row(archive_service, tmp_path, name):
    good = rows(open_survey(name, archive_service.settings(tmp_path / "good")))
    archive_service.misbehave(rates=BAD_DAY, seed=11, retry_after_s=1, stall_s=4)
    settings = archive_service.settings(tmp_path / "bad", http_timeout_s=2.0, http_retries=8)
    bad = rows(open_survey(name, settings))
    assert sum(count for kind, count in archive_service.given().items() if kind != "good") > 0
    assert {dataset: content(table) for dataset, table in bad.items()} == {
        dataset: content(table) for dataset, table in good.items()
    }


@pytest.mark.parametrize("name", SURVEYS)
def test_pages_instead_of_data_end_in_an_error_that_names_the_unit(archive_service, tmp_path, name):
    settings = archive_service.settings(tmp_path, http_retries=1)
    unit = open_survey(name, settings).plan(Scope(), {})[0]
    archive_service.misbehave(rates={"html": 1.0})
    with pytest.raises(ServiceError) as caught:
        open_survey(name, settings).fetch(unit)
    assert archive_service.url in str(caught.value)
    assert unit.unit in str(caught.value)
    assert "HTML page" in str(caught.value)


def test_a_job_that_always_ends_in_error_is_told(archive_service, tmp_path):
    archive_service.misbehave(rates={"job": 1.0})
    with pytest.raises(ServiceError, match=r"gaia at .* unit plan: .*ended in ERROR: .*simulated fault"):
        open_survey("gaia", archive_service.settings(tmp_path)).plan(Scope(), {})


def test_with_the_service_down_it_fails_in_time_and_resumes_when_it_is_back(tmp_path: Path):
    limits = {"http_timeout_s": 5.0, "http_retries": 1}
    with served() as service:
        surveys = {name: open_survey(name, service.settings(tmp_path, **limits)) for name in SURVEYS}
        units = {name: survey.plan(Scope(), {}) for name, survey in surveys.items()}
        service.stop()
        for name, survey in surveys.items():
            start = time.monotonic()
            with pytest.raises(ServiceError) as caught:
                survey.fetch(units[name][0])
            assert time.monotonic() - start < 30
            assert (caught.value.unit, caught.value.service) == (
                units[name][0].unit,
                f"{name} at {survey.endpoint.url}",
            )
            with pytest.raises(ServiceError, match=r"unit plan.*no connection"):
                survey.plan(Scope(), {})
        with served(service.folder) as back:
            for name in SURVEYS:
                survey = open_survey(name, back.settings(tmp_path, **limits))
                again = survey.plan(Scope(), {})
                assert [(u.unit, u.sign) for u in again] == [(u.unit, u.sign) for u in units[name]]
                assert survey.fetch(again[0]).table.num_rows == again[0].expected_rows


def test_an_answer_cut_between_two_rows_is_asked_for_again(archive_service, tmp_path, monkeypatch):
    """SkyServer's CSV has no end mark: half of it passes as a table, and only the plan's count tells."""
    survey = open_survey("sdss", archive_service.settings(tmp_path))
    unit = next(unit for unit in survey.plan(SCOPE, {}) if unit.dataset == "sdss_photo" and unit.expected_rows > 1)
    good = content(survey.fetch(unit).table)
    halves = cut_once_at_a_line(monkeypatch)
    survey = open_survey("sdss", archive_service.settings(tmp_path / "other"))
    assert content(survey.fetch(unit).table) == good
    assert halves == [True]


def cut_once_at_a_line(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Make the next table lose its last line on the way; the list says when it happened."""
    real, done = transport._read, []

    def read(response, deadline, max_bytes):
        real(response, deadline, max_bytes)
        if not done and response.content.startswith(b"#Table"):
            body = response.content.rstrip(b"\n")
            response._content = body[: body.rfind(b"\n") + 1]
            response.raw = transport._Body(response.content)
            done.append(True)

    monkeypatch.setattr(transport, "_read", read)
    return done
