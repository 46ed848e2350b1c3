import socket

from stellar.platform.ports import assign_ports, free_ports, is_free, read_ports
from stellar.settings import load_settings


def test_ports_are_remembered_while_free_and_replaced_when_taken(tmp_path):
    settings = load_settings(home=tmp_path)
    first = assign_ports(settings, ("api", "archive"))
    assert len(set(first.values())) == 2
    assert assign_ports(settings, ("api", "archive")) == first == read_ports(settings)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", first["api"]))
        stranger.listen()
        assert not is_free(first["api"])
        second = assign_ports(settings, ("api", "archive"))
    assert second["api"] != first["api"]
    assert second["archive"] == first["archive"]


def test_a_part_added_later_gets_a_port_of_its_own(tmp_path):
    settings = load_settings(home=tmp_path)
    first = assign_ports(settings, ("api",))
    both = assign_ports(settings, ("api", "archive"))
    assert both["api"] == first["api"] != both["archive"]


def test_free_ports_are_distinct():
    assert len(set(free_ports(20))) == 20
