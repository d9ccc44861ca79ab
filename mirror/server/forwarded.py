"""The server's public URL and the addresses of its clients, with or without a reverse proxy."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from mirror.wire.client_address import LONGEST_ADDRESS, client_key

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
#: Headers added by proxies to requests they pass on, besides ``X-Forwarded-…``.
_RELAYED: Final = frozenset({"forwarded", "via", "x-real-ip"})
_SCHEMES: Final = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True)
class ForwardedHeaders:
    """Interprets the headers of a reverse proxy.

    Attributes:
        url: the public URL of the server, without a trailing slash; None to derive the URL from each request.
        behind_proxy: True if a proxy is in front whose ``X-Forwarded-Proto`` and ``X-Forwarded-For`` are trusted.
    """

    url: str | None = None
    behind_proxy: bool = False

    def public_url(self, request: web.BaseRequest) -> str:
        """Return the URL at which the client of the request reaches the server."""
        if self.url is not None:
            return self.url
        scheme = "https" if request.transport and request.transport.get_extra_info("sslcontext") else "http"
        if self.behind_proxy and (said := _last(request, hdrs.X_FORWARDED_PROTO).lower()) in _SCHEMES:
            scheme = said
        host = request.headers.get(hdrs.HOST, "")
        return f"{scheme}://{host if _HOST.fullmatch(host) else _own_address(request)}"

    def is_direct(self, request: web.BaseRequest) -> bool:
        """Return True if the request seems to come from a program on the server's own machine, on its own behalf.

        Return False if a proxy is configured or has left a header, if the request names another host, or if a web page
        of another origin makes a browser send it. A proxy leaving no trace is not detected.
        """
        if self.url is not None or self.behind_proxy:
            return False
        if any(name.lower() in _RELAYED or name.lower().startswith("x-forwarded-") for name in request.headers):
            return False
        origin = request.headers.get(hdrs.ORIGIN)
        # Host and Origin keep out web pages that a browser on this machine shows.
        return _is_loopback(request.headers.get(hdrs.HOST, "")) and origin in {None, self.public_url(request)}

    def client_key(self, request: web.BaseRequest) -> str:
        """Return the key the client is counted by: its address, or the /64 network of an IPv6 address."""
        return client_key(self.client_address(request)[:LONGEST_ADDRESS])

    def client_address(self, request: web.BaseRequest) -> str:
        """Return the address of the client."""
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
    """Return the last value of a header. This value was added by the proxy itself, earlier ones may be forged."""
    return ",".join(request.headers.getall(name, ())).rpartition(",")[2].strip()


def _own_address(request: web.BaseRequest) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    if not isinstance(name, tuple):
        return "localhost"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
