"""Settings that are parsed from text."""

import pytest

from stellar.errors import InputError
from stellar.settings import load_settings
from stellar.surveys.base import Region, Scope


def test_regions_are_cones_separated_by_semicolons(monkeypatch):
    assert load_settings().regions == []
    monkeypatch.setenv("STELLAR_REGIONS", "10.5,-20,0.5; 0,90,1;")
    regions = load_settings().regions
    assert regions == [{"ra": 10.5, "dec": -20.0, "radius_deg": 0.5}, {"ra": 0.0, "dec": 90.0, "radius_deg": 1.0}]
    assert Scope.from_dict({"regions": regions}).regions == (Region(10.5, -20, 0.5), Region(0, 90, 1))


@pytest.mark.parametrize("text", ["10,20", "10,20,x", "360,0,1", "0,-91,1", "0,0,0", "0,0,nan", "1,2,3,4"])
def test_a_region_that_is_none_is_named(monkeypatch, text):
    monkeypatch.setenv("STELLAR_REGIONS", f"1,2,3;{text}")
    with pytest.raises(InputError, match=rf"STELLAR_REGIONS: .*'{text}'"):
        load_settings()


def test_a_command_that_names_no_profile_means_the_home_s(monkeypatch, tmp_path):
    monkeypatch.delenv("STELLAR_PROFILE", raising=False)
    assert load_settings(home=tmp_path).profile == "simulated"
    (tmp_path / "profile").write_text("real\n")
    assert load_settings(home=tmp_path).profile == "real"
    monkeypatch.setenv("STELLAR_PROFILE", "tiny")
    assert load_settings(home=tmp_path).profile == "tiny"


def test_what_is_given_goes_before_the_environment_and_that_before_the_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("STELLAR_SEED=1\nSTELLAR_HTTP_RETRIES=2\nSTELLAR_WORKERS=3\nOTHER=x\n# no more\n")
    monkeypatch.setenv("STELLAR_ROOT", str(tmp_path))
    monkeypatch.setenv("stellar_http_retries", "5")
    monkeypatch.setenv("STELLAR_WORKERS", "6")
    made = load_settings(workers=7)
    assert (made.seed, made.http_retries, made.workers) == (1, 5, 7)
    assert made.root == tmp_path


def test_the_lake_has_a_variable_of_its_own_name(monkeypatch):
    monkeypatch.setenv("STELLAR_LAKE", "s3://bucket/prefix")
    assert load_settings().lake_url == "s3://bucket/prefix"
    assert load_settings(lake_url=None).lake_url is None


def test_paths_are_absolute_and_secrets_do_not_show(monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", "some/../home")
    monkeypatch.setenv("STELLAR_POSTGRES_URL", "postgresql://a:secret@h/x")
    made = load_settings()
    assert made.home.is_absolute() and made.home.name == "home"
    assert "secret" not in repr(made)
    assert made.postgres_url.get_secret_value() == "postgresql://a:secret@h/x"


@pytest.mark.parametrize("name, value", [("WORKERS", "0"), ("EXECUTOR", "slurm"), ("SEED", ""), ("TAP_MEMORY", "2")])
def test_a_value_that_cannot_be_is_named_with_its_variable(monkeypatch, name, value):
    monkeypatch.setenv(f"STELLAR_{name}", value)
    with pytest.raises(InputError, match=f"^STELLAR_{name}: "):
        load_settings()
