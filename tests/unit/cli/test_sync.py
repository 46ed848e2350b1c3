"""`stellar sync`: what its options ask of a sync."""

from contextlib import nullcontext

import pytest
from typer.testing import CliRunner

from stellar import flow
from stellar.cli.sync import app
from stellar.errors import InputError


@pytest.fixture
def asked(monkeypatch):
    """The parameters of the syncs that were asked for; none is run."""
    found = []
    monkeypatch.setattr(flow, "open_context", nullcontext)
    monkeypatch.setattr(flow, "run_sync", lambda ctx, survey, params, **_: found.append(params) or {})
    return found


def invoke(*options: str) -> None:
    CliRunner().invoke(app, ["gaia", *options], catch_exceptions=False)


def test_a_cone_and_cells(asked):
    invoke("--ra", "10.5", "--dec", "-20", "--radius", "0.5", "--cell", "5/100", "--cell", "0/11")
    assert asked[0]["regions"] == [{"ra": 10.5, "dec": -20.0, "radius_deg": 0.5}]
    assert asked[0]["cells"] == [[5, 100], [0, 11]]
    invoke("--release", "dr3")
    assert (asked[1]["regions"], asked[1]["cells"], asked[1]["release"]) == ([], [], "dr3")


@pytest.mark.parametrize("options", [("--ra", "1"), ("--dec", "1", "--radius", "1")])
def test_half_a_cone_is_refused(asked, options):
    with pytest.raises(InputError, match="together"):
        invoke(*options)
    assert asked == []


@pytest.mark.parametrize("text", ["5", "5/", "/3", "x/3", "0/12", "30/1", "5/-1"])
def test_what_is_no_cell_is_refused(asked, text):
    with pytest.raises(InputError, match=f"--cell {text}: give ORDER/PIXEL"):
        invoke("--cell", text)
