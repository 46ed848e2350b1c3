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
