"""Connect to public addresses only, not to this machine, its network, or the metadata service of a cloud.

The checked address is the one that is connected to, so a name server cannot return another one in between. A redirect
opens a new connection, which is checked again. A proxy resolves names itself, so a name that is requested through a
proxy is checked only if it can be resolved here.
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
    """An address that is not public, so an untrusted file may not name it."""


def is_public(address: str) -> bool:
    """Return True if an IP address is public; an IPv4 address inside an IPv6 address is checked too."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def resolve_public(host: str, port: int) -> list[tuple[Any, ...]]:
    """Resolve a name as socket.getaddrinfo does. Raises NotPublic if any of its addresses is not public."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for entry in found:
        if not is_public(str(entry[4][0])):
            raise NotPublic(
                f"it resolves to {host}, {entry[4][0]}, an address of this machine or a private network; set "
                "allow_private: true under downloads: in the suite if you trust who wrote this"
            )
    return found


def connect_public(address: tuple[str, int], timeout: Any = None, source_address: Any = None) -> socket.socket:
    """Connect as socket.create_connection does, to a public address. Raises NotPublic, or the last error."""
    last: OSError = OSError(f"{address[0]} has no address")
    for family, kind, protocol, _, socket_address in resolve_public(*address):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            if source_address:
                connection.bind(source_address)
            connection.connect(socket_address)
            return connection
        except OSError as error:
            connection.close()
            last = error
    raise last


class _Http(HTTPConnection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = connect_public


class _Https(HTTPSConnection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = connect_public


class HttpHandler(urllib.request.HTTPHandler):
    """Open http addresses that are public."""

    def http_open(self, req: Any) -> Any:
        """Connect to the address itself, or to the proxy."""
        return self.do_open(HTTPConnection if _uses_proxy(req) else _Http, req)


class HttpsHandler(urllib.request.HTTPSHandler):
    """Open https addresses that are public."""

    def https_open(self, req: Any) -> Any:
        """Connect to the address itself, or through the proxy."""
        return self.do_open(HTTPSConnection if _uses_proxy(req) else _Https, req)


def _uses_proxy(req: Any) -> bool:
    """Return True if a request goes to a proxy. Raises NotPublic if its host resolves to a private address."""
    if not req.has_proxy() and not req._tunnel_host:  # set by ProxyHandler for http and for https
        return False
    url = urlsplit(req.full_url)
    with contextlib.suppress(socket.gaierror):  # a name that only the proxy knows
        resolve_public(unquote(url.hostname or ""), url.port or 443)
    return True
