"""Downloads lead to the internet: never to this machine or its network, however the address is written."""

import socket

import pytest

from niah.suite import public_addresses
from niah.suite.config import Downloads
from niah.suite.downloads import download, transfer
from niah.suite.public_addresses import NotPublic, connect_public, is_public
from niah.types import UserError
from tests.helpers.film_server import BODY, HERE, leading_to, serving, whole


@pytest.fixture
def films(tmp_path, monkeypatch):
    """A folder beside a cache of its own; no proxy stands between."""
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path


IPS = [
    ("8.8.8.8", True),
    ("2606:4700::1111", True),
    ("127.0.0.1", False),
    ("10.1.2.3", False),
    ("172.16.0.1", False),
    ("192.168.0.1", False),
    ("169.254.169.254", False),  # where clouds keep a machine's credentials
    ("100.64.0.1", False),  # between a provider and its customers
    ("0.0.0.0", False),
    ("224.0.0.1", False),
    ("::1", False),
    ("fe80::1%eth0", False),
    ("fc00::1", False),
    ("::ffff:127.0.0.1", False),  # IPv4 within IPv6, four ways
    ("64:ff9b::7f00:1", False),
    ("2002:7f00:1::", False),
    ("64:ff9b::808:808", True),
]


@pytest.mark.parametrize("address, public", IPS)
def test_public_addresses_are_told_from_those_of_machines_and_their_networks(address, public):
    assert is_public(address) == public


HOSTS = ["127.0.0.1", "localhost", "0177.0.0.1", "2130706433", "%31%32%37.0.0.1", "[::ffff:127.0.0.1]"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_download_from_this_machine_is_refused_unless_the_suite_allows_it(films, host):
    with serving(whole) as (url, asked):
        address = url.replace("127.0.0.1", host)
        with pytest.raises(UserError, match=r"or a private network; set allow_private: true"):
            download(f"{address}/x.mp4", Downloads(), "line 1")
        assert asked == []
        assert download(f"{url}/x.mp4", HERE, "line 1").read_bytes() == BODY


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch):
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **more: entries)
    with pytest.raises(NotPublic, match="it resolves to films.example, 10.0.0.1"):
        connect_public(("films.example", 80))


def test_the_address_that_was_checked_is_the_one_connect_public_to(monkeypatch):
    answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))]]  # a second question has no answer
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **more: answers.pop())
    places = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, place: places.append(place))
    connect_public(("films.example", 80), 1.0).close()
    assert places == [("8.8.8.8", 80)]


def test_a_redirect_to_this_machine_is_refused(films, monkeypatch):
    """The first server stands in for a public one: its port alone passes the check."""
    with serving(whole) as (inner, asked), serving(leading_to(f"{inner}/x.mp4")) as (outer, first):
        real, port = public_addresses.resolve_public, int(outer.rpartition(":")[2])
        free = socket.getaddrinfo
        monkeypatch.setattr(
            public_addresses, "resolve_public", lambda host, at: free(host, at) if at == port else real(host, at)
        )
        assert "a private network" in transfer(f"{outer}/x.mp4", str(films / "out"), 1000)
    assert first == ["/x.mp4"] and asked == []


def test_what_goes_through_a_proxy_is_checked_by_name(films, monkeypatch):
    with serving(whole) as (url, asked):
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "")
        assert "a private network" in transfer("http://127.0.0.1:9/x.mp4", str(films / "out"), 1000)
        assert asked == []
        assert transfer("http://films.invalid/x.mp4", str(films / "out"), 1000) == ""
    assert asked == ["http://films.invalid/x.mp4"]
