"""Addresses to which an upstream may not refer: this machine, its link, and the metadata services of clouds.

A name is checked by the address that it resolves to, at the moment of connecting. So a name that changes its address
after an earlier check gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

from aiohttp import AddrInfoType

Address = IPv4Address | IPv6Address

# Metadata services that hand out a machine's credentials, besides 169.254.169.254, which is link-local: Amazon, Google,
# Alibaba, Azure, Oracle.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)
_LOOPBACK = "a loopback address"
# A gateway translates these addresses to the IPv4 address in their last 32 bits.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class ForbiddenAddressError(OSError):
    """A connection to a forbidden address."""


class DestinationGuard:
    """A factory of sockets that refuses forbidden kinds of addresses.

    Args:
        allowed: kinds of special addresses that are allowed.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = frozenset(allowed)

    def refusal(self, host: str) -> str | None:
        """Return the forbidden kind of a host in a URL. Return None for allowed addresses and for names."""
        kind = kind_of(host)
        return None if kind in self._allowed else kind

    def socket(self, wanted: AddrInfoType) -> socket.socket:
        """Create a socket for a resolved address. Used as ``socket_factory``.

        Raises:
            ForbiddenAddressError: the address is forbidden.
        """
        family, kind, protocol, _, place = wanted
        if (forbidden := self.refusal(str(place[0]))) is not None:
            raise ForbiddenAddressError(f"its address is {forbidden}, to which no name may lead")
        return socket.socket(family, kind, protocol)


def kind_of(host: str) -> str | None:
    """Return the kind of a special address, or None for ordinary addresses and for names.

    Args:
        host: an address without brackets, or ``localhost``.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return _LOOPBACK
    try:
        # The zone of a scoped IPv6 address, such as ``fe80::1%eth0``, does not matter.
        address = _plain(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None
    kinds = {
        _LOOPBACK: address.is_loopback,
        "a cloud's metadata address": address in _METADATA,
        "a link-local address": address.is_link_local,
        "an unspecified, multicast or reserved address": address.is_unspecified
        or address.is_multicast
        or address.is_reserved,
    }
    return next((kind for kind, it_is in kinds.items() if it_is), None)


def _plain(address: Address) -> Address:
    """Return the IPv4 address embedded in an IPv6 address, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
