"""The server as it is reached from outside: its URL, and the addresses of its clients, also behind a proxy."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from mirror.wire.client_address import LONGEST_ADDRESS, client_key

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
#: Headers by which proxies say that they have passed a request on, beside ``X-Forwarded-…``.
_RELAYED: Final = frozenset({"forwarded", "via", "x-real-ip"})
_SCHEMES: Final = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True)
class ForwardedHeaders:
    """The way between the server and its clients.

    Attributes:
        url: where clients reach the server, without a slash at the end; None: where each request says that it went.
        behind_proxy: whether a proxy stands there, whose ``X-Forwarded-Proto`` and ``X-Forwarded-For`` are believed.
    """

    url: str | None = None
    behind_proxy: bool = False

    def public_url(self, request: web.BaseRequest) -> str:
        """The URL at which the client that sent the request reaches the server."""
        if self.url is not None:
            return self.url
        scheme = "https" if request.transport and request.transport.get_extra_info("sslcontext") else "http"
        if self.behind_proxy and (said := _last(request, hdrs.X_FORWARDED_PROTO).lower()) in _SCHEMES:
            scheme = said
        host = request.headers.get(hdrs.HOST, "")
        return f"{scheme}://{host if _HOST.fullmatch(host) else _own_address(request)}"

    def is_direct(self, request: web.BaseRequest) -> bool:
        """Tell whether a request looks as if a program on the server's own machine had sent it, on its own account.

        It does not where a proxy stands in front or has left a header, where it was sent to the name of another host,
        and where a page of another origin has a browser send it. A proxy that hides all that is not seen.
        """
        if self.url is not None or self.behind_proxy:
            return False
        if any(name.lower() in _RELAYED or name.lower().startswith("x-forwarded-") for name in request.headers):
            return False
        origin = request.headers.get(hdrs.ORIGIN)
        return _is_loopback(request.headers.get(hdrs.HOST, "")) and origin in {None, self.public_url(request)}

    def client_key(self, request: web.BaseRequest) -> str:
        """The client that what the request takes is counted for: its address, or of IPv6 its network."""
        return client_key(self.client_address(request)[:LONGEST_ADDRESS])

    def client_address(self, request: web.BaseRequest) -> str:
        """The address of the client."""
        forwarded = _last(request, hdrs.X_FORWARDED_FOR) if self.behind_proxy else ""
        return forwarded or request.remote or ""


def _is_loopback(host: str) -> bool:
    if _HOST.fullmatch(host) is None:
        return False
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _last(request: web.BaseRequest, name: str) -> str:
    """The last of the values in a header: that which the proxy itself has added."""
    return ",".join(request.headers.getall(name, ())).rpartition(",")[2].strip()


def _own_address(request: web.BaseRequest) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    if not isinstance(name, tuple):
        return "localhost"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
