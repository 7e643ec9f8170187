"""Connections to public addresses only: none to this machine, its network, or a cloud's metadata.

The address that was checked is the one that is connected to, so a name server cannot change its mind in between;
a redirect connects anew and is checked anew. A proxy resolves names itself: of what goes through one, the name is
checked as far as it is known here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import urllib.request
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import unquote, urlsplit

NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address in its last 32 bits


class NotPublic(OSError):
    """An address that somebody else's file may not lead to."""


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the internet's, whatever an IPv6 address wraps included."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def resolved(host: str, port: int) -> list[tuple[Any, ...]]:
    """Return what a name resolves to, as socket.getaddrinfo does. Raises NotPublic where any of it is not public."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for entry in found:
        if not is_public(str(entry[4][0])):
            raise NotPublic(
                f"it leads to {host}, {entry[4][0]}: this machine's or a private network's address; set "
                "allow_private: true under downloads: in the suite if you trust who wrote this"
            )
    return found


def connected(address: tuple[str, int], timeout: Any = None, source_address: Any = None) -> socket.socket:
    """Connect as socket.create_connection does, to a public address. Raises NotPublic, or the last error."""
    last: OSError = OSError(f"{address[0]} has no address")
    for family, kind, protocol, _, place in resolved(*address):
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(timeout)
            if source_address:
                made.bind(source_address)
            made.connect(place)
            return made
        except OSError as error:
            made.close()
            last = error
    raise last


class _Http(HTTPConnection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = connected


class _Https(HTTPSConnection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = connected


class HttpHandler(urllib.request.HTTPHandler):
    """Opens http addresses that are public."""

    def http_open(self, req: Any) -> Any:
        """Connect to the address itself, or to the proxy."""
        return self.do_open(HTTPConnection if _by_proxy(req) else _Http, req)


class HttpsHandler(urllib.request.HTTPSHandler):
    """Opens https addresses that are public."""

    def https_open(self, req: Any) -> Any:
        """Connect to the address itself, or through the proxy."""
        return self.do_open(HTTPSConnection if _by_proxy(req) else _Https, req)


def _by_proxy(req: Any) -> bool:
    """Tell whether a request goes to a proxy. Raises NotPublic where what it asks for is known not to be public."""
    if not req.has_proxy() and not req._tunnel_host:  # how urllib keeps what ProxyHandler did for http and for https
        return False
    asked = urlsplit(req.full_url)
    with contextlib.suppress(socket.gaierror):  # a name that only the proxy knows
        resolved(unquote(asked.hostname or ""), asked.port or 443)
    return True
