"""How the server is reached from outside: its own URL, and where its clients are, also behind a proxy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web

from mirror.server import headers

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_SCHEMES: Final = frozenset({"http", "https"})
_LONGEST_ADDRESS: Final = 64


@dataclass(frozen=True, slots=True)
class Front:
    """What stands between the server and its clients.

    Attributes:
        url: where clients reach the server, without a slash at the end; None: where each request says that it went.
        behind_proxy: whether a proxy stands there, whose ``X-Forwarded-Proto`` and ``X-Forwarded-For`` are believed.
    """

    url: str | None = None
    behind_proxy: bool = False

    def url_of(self, request: web.BaseRequest) -> str:
        """Where the client that sent the request reaches the server."""
        if self.url is not None:
            return self.url
        scheme = "https" if request.transport and request.transport.get_extra_info("sslcontext") else "http"
        if self.behind_proxy and (said := _last(request, headers.X_FORWARDED_PROTO).lower()) in _SCHEMES:
            scheme = said
        host = request.headers.get(headers.HOST, "")
        return f"{scheme}://{host if _HOST.fullmatch(host) else _own_address(request)}"

    def client_of(self, request: web.BaseRequest) -> str:
        """The client that what the request takes is counted for, as :func:`counted_as` has it."""
        return counted_as(self.address_of(request)[:_LONGEST_ADDRESS])

    def address_of(self, request: web.BaseRequest) -> str:
        """The address of the client."""
        forwarded = _last(request, headers.X_FORWARDED_FOR) if self.behind_proxy else ""
        return forwarded or request.remote or ""


@lru_cache(maxsize=4096)
def counted_as(address: str) -> str:
    """The client that an address belongs to: itself, and of IPv6 the network of 64 bits, which is one client's.

    Args:
        address: with or without brackets, port and zone; any other text stands for itself.
    """
    text = address.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return text[:_LONGEST_ADDRESS]
    if isinstance(found, IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Network((int(found), 64), strict=False))


def _last(request: web.BaseRequest, name: str) -> str:
    """The last of the values in a header: that which the proxy itself has added."""
    return ",".join(request.headers.getall(name, ())).rpartition(",")[2].strip()


def _own_address(request: web.BaseRequest) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    if not isinstance(name, tuple):
        return "localhost"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
