"""The server's public URL and the addresses of its clients, with or without reverse proxies."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from mirror.server.http import header_names
from mirror.wire import request_line
from mirror.wire.client_address import LONGEST_ADDRESS, Network, client_key, is_inside

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
#: Headers added by proxies to requests they pass on, besides ``X-Forwarded-…``.
_RELAYED: Final = frozenset({"forwarded", "via", "x-real-ip"})
_SCHEMES: Final = frozenset({"http", "https"})
#: Most proxies in a row whose entries in ``X-Forwarded-For`` are read.
_MOST_HOPS: Final = 32


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The reverse proxies whose ``X-Forwarded-…`` headers are believed.

    Attributes:
        networks: the networks of their addresses.
        everyone: True if every address counts as a proxy. Then only one proxy may be in front of the server.
    """

    networks: tuple[Network, ...] = ()
    everyone: bool = False

    def __bool__(self) -> bool:
        """Return True if there are any."""
        return self.everyone or bool(self.networks)

    def trust(self, address: str | None) -> bool:
        """Return True if the headers of requests from an address are believed."""
        return self.everyone or (bool(self.networks) and bool(address) and is_inside(address or "", self.networks))


NO_PROXIES: Final = TrustedProxies()


@dataclass(frozen=True, slots=True)
class ForwardedHeaders:
    """Interprets the headers of reverse proxies. Headers of all other senders are ignored.

    Attributes:
        url: the public URL of the server, without a trailing slash; None to derive the URL from each request. If the
            URL has a path, the server is reached below this path.
        proxies: the proxies whose ``X-Forwarded-Proto``, ``-Host``, ``-Prefix`` and ``-For`` are believed.
    """

    url: str | None = None
    proxies: TrustedProxies = NO_PROXIES

    def public_url(self, request: web.BaseRequest) -> str:
        """Return the URL at which the client of the request reaches the server, with the path prefix."""
        if self.url is not None:
            return self.url if urlsplit(self.url).path else self.url + self.prefix(request)
        scheme = "https" if request.transport and request.transport.get_extra_info("sslcontext") else "http"
        host = request.headers.get(hdrs.HOST, "")
        if self.is_relayed(request):
            if (said := _last(request, hdrs.X_FORWARDED_PROTO).lower()) in _SCHEMES:
                scheme = said
            if _HOST.fullmatch(said := _last(request, hdrs.X_FORWARDED_HOST)):
                host = said
        return f"{scheme}://{host if _HOST.fullmatch(host) else _own_address(request)}{self.prefix(request)}"

    def prefix(self, request: web.BaseRequest) -> str:
        """Return the path below which the client of the request reaches the server.

        The path is that of the public URL, or the one that a trusted proxy has taken from the request.

        Returns:
            The path without a slash at its end; empty if the server is reached at its root.
        """
        if self.url is not None and (path := urlsplit(self.url).path):
            return path
        if not self.is_relayed(request):
            return ""
        return request_line.parse_prefix(_last(request, header_names.X_FORWARDED_PREFIX)) or ""

    def without_prefix(self, request: web.BaseRequest, path: str) -> str:
        """Return the path of a request without the path of the public URL, which a proxy may have left in the path.

        A prefix in a header is never taken off, because a proxy that sends the header has taken it off already. If the
        proxy passes on the header of its client, that client could otherwise reach a path that the proxy blocks.
        """
        prefix = "" if self.url is None else urlsplit(self.url).path
        return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path

    def is_direct(self, request: web.BaseRequest) -> bool:
        """Return True if the request seems to come from a program on the server's own machine, on its own behalf.

        Return False if a proxy is configured or has left a header, if the request names another host, or if a web page
        of another origin makes a browser send it. A proxy leaving no trace is not detected.
        """
        if self.url is not None or self.proxies:
            return False
        if any(name.lower() in _RELAYED or name.lower().startswith("x-forwarded-") for name in request.headers):
            return False
        # Host and Origin keep out web pages that a browser on this machine shows.
        return _is_loopback(request.headers.get(hdrs.HOST, "")) and self.is_of_own_site(request)

    def is_of_own_site(self, request: web.BaseRequest) -> bool:
        """Return True unless a web page of another origin makes a browser send the request.

        Browsers name the origin of the page with each request that may change something. Programs do not.
        """
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return True
        url = urlsplit(self.public_url(request))
        return origin == f"{url.scheme}://{url.netloc}"

    def client_key(self, request: web.BaseRequest) -> str:
        """Return the key the client is counted by: its address, or the /64 network of an IPv6 address."""
        return client_key(self.client_address(request))

    def client_address(self, request: web.BaseRequest) -> str:
        """Return the address of the client, cut to :data:`LONGEST_ADDRESS` characters.

        Each trusted proxy has added the address that it got the request from to the end of ``X-Forwarded-For``. The
        client is the last address that is not a trusted proxy. Addresses before it may be forged.
        """
        address, proxies = request.remote or "", self.proxies
        # Spelled out, because this runs for every answer.
        if not (proxies.everyone or proxies.networks) or not proxies.trust(address):
            return address
        listed = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, ())).rsplit(",", _MOST_HOPS)
        for entry in reversed(listed[-_MOST_HOPS:]):
            if text := entry.strip()[:LONGEST_ADDRESS]:
                address = text
                # If everybody counts as a proxy, the first address from the end is the client of the only proxy.
                if self.proxies.everyone or not self.proxies.trust(text):
                    break
        return address

    def is_relayed(self, request: web.BaseRequest) -> bool:
        """Return True if the request comes from a trusted proxy."""
        return bool(self.proxies) and self.proxies.trust(request.remote)


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
