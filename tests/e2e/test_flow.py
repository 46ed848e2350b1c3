"""The main job, through Airflow's scheduler and REST API."""

import json
import re
import subprocess
import sys

import pytest

SECOND_RUN_LIMIT_S = 600
MODELS = {"photometric-teff", "spectral-class", "spectral-params", "lightcurve-class"}


def test_one_command_brings_survey_data_to_promoted_scores(undisturbed, expected):
    datasets = expected["datasets"]
    for name in (
        "raw.gaia",
        "raw.sdss_spectra",
        "raw.tess_lightcurves",
        "raw.labels",
        "curated.objects",
        "curated.photometry",
        "features.sed",
    ):
        assert datasets[name][0] > 0, name
    scores = {name for name in datasets if name.startswith("scores.")}
    assert scores == {"scores.catalog", *(f"scores.{name.replace('-', '_')}" for name in MODELS)}
    assert datasets["scores.catalog"][0] == datasets["curated.objects"][0]
    assert {model for model, *_ in expected["versions"]} == MODELS


def test_the_summary_says_what_there_is(undisturbed):
    text = undisturbed.first
    for part in ("Datasets", "curated.objects", "Gates:", "Models", "photometric-teff", "recomputed", "make up"):
        assert part in text, part
    assert re.search(r"Gates: (\d+) of \1 passed", text)
    assert "nothing changed" not in text


def test_nothing_is_left_behind(undisturbed):
    assert undisturbed.marked() == []
    assert undisturbed.status()["url"] is None


def test_every_step_accounts_for_every_row(undisturbed):
    wrong = undisturbed.query(
        "select s.dataset from lake.snapshot s join lake.accounting a on a.snapshot = s.key "
        "where a.rows_in <> a.rows_out + a.merged + a.filtered + a.quarantined or a.rows_out <> s.rows"
    )
    assert wrong == []
    assert undisturbed.query("select count(*) from lake.accounting")[0][0] > 10


def test_secrets_are_in_no_log(undisturbed):
    secrets = [file.read_text() for file in undisturbed.settings.secrets.iterdir() if file.read_text().strip()]
    logs = [*undisturbed.settings.logs.rglob("*.log"), *(undisturbed.settings.home / "airflow" / "logs").rglob("*.log")]
    assert len(logs) > 20
    found = [str(log) for log in logs for text in [log.read_text(errors="replace")] if any(s in text for s in secrets)]
    assert found == []


def test_a_score_leads_back_to_the_queries(undisturbed):
    done = subprocess.run(
        [sys.executable, "-m", "stellar", "lineage", "scores.photometric_teff", "--json"],
        env=undisturbed.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    text = json.dumps(json.loads(done.stdout))
    for part in ("photometric-teff", "features.sed", "curated.gaia", "raw.gaia", "gaia_source"):
        assert part in text, part


@pytest.mark.timeout(SECOND_RUN_LIMIT_S)
def test_a_second_run_finds_that_nothing_changed(undisturbed, expected):
    text = undisturbed.run()
    assert "nothing changed: 0 partitions recomputed, 0 models retrained" in text
    assert json.loads(json.dumps(undisturbed.contents())) == expected
    print("second run:", re.search(r"total (\d+:\d+)", text)[1])


def test_another_profile_in_the_same_home_is_refused_by_name(undisturbed):
    done = subprocess.run(
        [sys.executable, "-m", "stellar", "run"],
        env=undisturbed.environment | {"STELLAR_PROFILE": "simulated"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "holds profile 'tiny', not 'simulated'" in done.stderr
