"""Docker hosts: engines that have pulled plugins, and the port that stores them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from mirror.wire.user_agent import Engine

#: Prefix length of a network in bits, by IP version: roughly the addresses of one site. See :attr:`Host.network`.
_NETWORK_BITS: Final = {4: 24, 6: 48}


@dataclass(frozen=True, slots=True)
class Host:
    """Engine at an address. An upgraded engine is another host.

    Attributes:
        address: IPv4 or IPv6 address in canonical form. Hosts behind NAT share an address.
        engine: engine version such as ``20.10.24+dfsg1``; empty if the engine does not report a plausible one.
        os: operating system as Go names it; empty if unknown.
        architecture: architecture as Go names it; empty if unknown.
    """

    address: str
    engine: str
    os: str = ""
    architecture: str = ""

    @classmethod
    def of(cls, address: str, engine: Engine) -> Host | None:
        """Return the host that sent a request; None if the address is no IP address.

        Args:
            address: client address of the connection, or from a trusted proxy. May have a port, brackets, or the zone
                of a link-local address.
            engine: engine that the request reports.
        """
        found = _address(address)
        if found is None:
            return None
        return cls(str(found), engine.version, engine.os or "", engine.architecture or "")

    @property
    def network(self) -> str:
        """Network of the address: 24 bits of an IPv4 address, 48 bits of an IPv6 address.

        A client with one IPv6 address usually controls 2⁶⁴ or more of them. So stored hosts are limited for each
        network.
        """
        # Requests can claim any number of addresses. With a limit for each network, one site fills only its own part.
        bits = _NETWORK_BITS[ipaddress.ip_address(self.address).version]
        return str(ipaddress.ip_network(f"{self.address}/{bits}", strict=False))


@dataclass(frozen=True, slots=True)
class SeenHost:
    """Host, and the times at which it pulled plugins.

    Attributes:
        host: the host.
        first_seen: time of the first pull, in UTC.
        last_seen: time of the latest pull, in UTC.
    """

    host: Host
    first_seen: datetime
    last_seen: datetime


class Hosts(Protocol):
    """Port that stores a bounded number of hosts that have pulled plugins."""

    async def record_hosts(self, seen: Mapping[Host, datetime]) -> None:
        """Record the times of the latest pulls. Over the limit, the hosts unseen for longest are forgotten."""
        ...

    async def hosts(self) -> Sequence[SeenHost]:
        """Return all stored hosts, the latest seen first."""
        ...


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:  # IPv4 with a port, as some proxies write it
        bare = bare.partition(":")[0]
    # The zone of a link-local address names an interface of this machine, and is no part of the host's address.
    try:
        found = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    # A server on an IPv6 socket sees IPv4 clients as mapped addresses. One host must have one form.
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
