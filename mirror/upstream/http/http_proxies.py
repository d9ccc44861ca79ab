"""Selection of the proxy for a request: the configured proxy, or else the proxy of the environment.

The environment is interpreted as by Go and therefore the Docker Engine: ``HTTPS_PROXY``, ``HTTP_PROXY`` and
``NO_PROXY``, each in upper or lower case. ``ALL_PROXY`` replaces a missing variable, as in curl. Loopback hosts never
use a proxy of the environment.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from mirror.oci.errors import ConfigurationFault
from mirror.upstream.http.forbidden_destinations import kind_of

SOCKS = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
_SCHEMES = SOCKS | {"http", "https"}
#: Value of the setting that disables all proxies, including those of the environment.
DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies of one upstream, its token server and its redirect targets.

    Attributes:
        configured: URL of a proxy, or :data:`DIRECT`; None: the environment decides.
        environment: variables of the environment.
    """

    configured: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def through(self, url: URL) -> URL | None:
        """Return the proxy for a URL, or None for a direct connection.

        Raises:
            ConfigurationFault: the setting is not a valid proxy URL.
        """
        if self.configured == DIRECT:
            return None
        if self.configured is not None:
            return _proxy(self.configured, "proxy")
        name = "HTTPS_PROXY" if url.scheme == "https" else "HTTP_PROXY"
        found = self._variable(name) or self._variable("ALL_PROXY")
        host, port = url.host or "", url.port or 0
        if not found or kind_of(host) == "a loopback address" or _excepted(host, port, self._variable("NO_PROXY")):
            return None
        return _proxy(found if "://" in found else f"http://{found}", name)

    def _variable(self, name: str) -> str:
        return (self.environment.get(name) or self.environment.get(name.lower()) or "").strip()


def _proxy(text: str, origin: str) -> URL:
    try:
        url = URL(text)
        usable = url.scheme in _SCHEMES and bool(url.host)
    except ValueError:
        usable = False
    if not usable:
        kinds = ", ".join(sorted(_SCHEMES))
        raise ConfigurationFault(f"{origin} is not a proxy's URL; fix: write SCHEME://HOST:PORT, SCHEME one of {kinds}")
    return url


def _excepted(host: str, port: int, exceptions: str) -> bool:
    return any(_matches(host.lower().rstrip("."), port, item.strip().lower()) for item in exceptions.split(","))


def _matches(host: str, port: int, item: str) -> bool:
    """Return True if an entry of ``NO_PROXY`` matches a host.

    An entry is ``*``, an address, a network, or a name, which also matches all subdomains.
    """
    if item in {"", "*"}:
        return item == "*"
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(item.strip("[]"), strict=False)
    except ValueError:
        pass  # the host or the entry is a name: names are compared below
    except TypeError:
        return False
    name, colon, wanted_port = item.rpartition(":")
    if colon and wanted_port.isdigit() and ("]" in name or ":" not in name):
        return int(wanted_port) == port and _matches(host, port, name)
    bare = item.removeprefix("*").removeprefix(".")
    return bool(bare) and (host.endswith(f".{bare}") or (host == bare and not item.startswith((".", "*."))))
