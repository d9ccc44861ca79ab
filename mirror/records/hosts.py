"""Docker hosts: which engines have pulled plugins, remembered beside the content."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from mirror.wire.user_agent import Engine

#: Leading bits of an address that make a network: about what one site has. See :attr:`Host.network`.
_NETWORK_BITS: Final = {4: 24, 6: 48}


@dataclass(frozen=True, slots=True)
class Host:
    """An engine at an address. A host whose engine is upgraded is another one from then on.

    Attributes:
        address: IPv4 or IPv6, in its canonical form. Behind NAT several hosts have one.
        engine: the version, such as ``20.10.24+dfsg1``; empty where the engine does not say one that could be.
        os, architecture: the platform as Go names it; empty where the engine does not say it.
    """

    address: str
    engine: str
    os: str = ""
    architecture: str = ""

    @classmethod
    def of(cls, address: str, engine: Engine) -> Host | None:
        """The host of an engine that has sent a request; None where the address is none.

        Args:
            address: where the request came from, as the connection or a trusted proxy says it: with or without a
                port, brackets, or the zone of a link-local address.
            engine: what it says of itself.
        """
        found = _address(address)
        if found is None:
            return None
        return cls(str(found), engine.version, engine.os or "", engine.architecture or "")

    @property
    def network(self) -> str:
        """The network of the address: 24 bits of an IPv4 address, 48 of an IPv6 address.

        Whoever has one address of IPv6 commonly has 2⁶⁴ or more of them; records are bounded for each network.
        """
        bits = _NETWORK_BITS[ipaddress.ip_address(self.address).version]
        return str(ipaddress.ip_network(f"{self.address}/{bits}", strict=False))


@dataclass(frozen=True, slots=True)
class SeenHost:
    """A host, and when it pulled plugins.

    Attributes:
        host: which one.
        first_seen, last_seen: the first and the latest time, in UTC.
    """

    host: Host
    first_seen: datetime
    last_seen: datetime


class Hosts(Protocol):
    """Hosts that have pulled plugins; bounded in number."""

    async def record_hosts(self, seen: Mapping[Host, datetime]) -> None:
        """Note when hosts have last pulled a plugin. Of too many, those unseen for longest are forgotten."""
        ...

    async def hosts(self) -> Sequence[SeenHost]:
        """Every host that is remembered, the one seen last first."""
        ...


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:  # IPv4 with a port, as some proxies write it
        bare = bare.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
