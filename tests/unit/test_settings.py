"""Settings that are parsed from text."""

import pytest
from pydantic import ValidationError

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
    with pytest.raises(ValidationError, match=rf"regions\n.*'{text}'"):
        load_settings()
