"""Uploads from elsewhere come from public addresses alone."""

import socket

import pytest

from stellar.errors import InputError
from stellar.serving.tap.remote import fetch, public_address
from stellar.serving.tap.uploads import parse_parameter

INNER = [
    "127.0.0.1",
    "10.1.2.3",
    "192.168.1.1",
    "169.254.169.254",
    "172.16.0.1",
    "0.0.0.0",
    "::1",
    "::ffff:127.0.0.1",
    "fe80::1",
    "fd00::1",
    "224.0.0.1",
]


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_refused(monkeypatch, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(family, socket.SOCK_STREAM, 6, "", (address, 80))])
    with pytest.raises(InputError, match="not a public address"):
        public_address("innocent.example", 80)


def test_one_inner_address_among_others_is_enough(monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 80)) for one in ("193.0.6.139", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(InputError, match="not a public address"):
        public_address("innocent.example", 80)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x/y", "http://user:word@example.org/", "http://", "http://x:99999999/"]
)
def test_other_addresses_are_refused(tmp_path, url):
    with pytest.raises(InputError):
        fetch(url, tmp_path / "x", 10)
    assert not (tmp_path / "x").exists()


def test_the_parameter_is_taken_apart():
    assert parse_parameter(["a,param:x;b,http://h/t.vot", ""]) == {"a": "param:x", "b": "http://h/t.vot"}
    for wrong in ("a", "a b,param:x", "a,x", "a,param:x;A,param:y"):
        with pytest.raises(InputError, match="UPLOAD"):
            parse_parameter([wrong])
