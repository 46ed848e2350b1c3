import json

import pytest

from stellar import __version__
from stellar.errors import InputError
from stellar.ledger.connect import ledger_session
from stellar.ledger.home import LAYOUT, read_layout
from stellar.ledger.server import Server
from stellar.settings import load_settings


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path / "home", postgres_url=None)


def write(settings, text):
    settings.home.mkdir(exist_ok=True)
    (settings.home / "version").write_text(text)


def test_an_empty_home_has_no_layout_yet(settings):
    assert read_layout(settings) is None
    settings.home.mkdir()
    assert read_layout(settings) is None


@pytest.mark.parametrize("part", ["lake/raw", "postgres/PG_VERSION"])
def test_a_home_from_before_the_file_is_of_layout_1(settings, part):
    (settings.home / part).mkdir(parents=True)
    assert read_layout(settings) == 1


def test_the_file_tells(settings):
    write(settings, json.dumps({"layout": LAYOUT, "program": __version__}))
    assert read_layout(settings) == LAYOUT


def test_a_newer_home_is_refused_by_name_of_both_before_anything_starts(settings):
    write(settings, json.dumps({"layout": LAYOUT + 1, "program": "9.8.7"}))
    said = rf"layout {LAYOUT + 1}, made by version 9\.8\.7.*this is version {__version__}.*up to {LAYOUT}"
    with pytest.raises(InputError, match=said):
        Server(settings).start()
    with pytest.raises(InputError, match=said), ledger_session(settings):
        pass
    assert [path.name for path in settings.home.iterdir()] == ["version"]


@pytest.mark.parametrize("text", ["", "2", "[]", '{"layout": "x", "program": "1"}', '{"layout": 2}'])
def test_a_damaged_file_is_named(settings, text):
    write(settings, text)
    with pytest.raises(InputError, match=r"version cannot be read.*put it back"):
        read_layout(settings)
