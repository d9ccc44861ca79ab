"""Addresses that an upstream may not send us to: this machine, its link, and what clouds tell a machine about itself.

A name is judged by what it resolves to, in the moment of connecting: a name that meant another address when it was
looked at a moment ago gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

from aiohttp import AddrInfoType

Address = IPv4Address | IPv6Address

# Where clouds keep a machine's credentials, beside 169.254.169.254: Amazon, Google, Alibaba, Azure, Oracle.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)
_LOOPBACK = "a loopback address"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class ForbiddenAddressError(OSError):
    """A connection to an address that is forbidden."""


class DestinationGuard:
    """Opens sockets, except to forbidden kinds of addresses.

    Args:
        allowed: kinds that are not forbidden.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = frozenset(allowed)

    def refusal(self, host: str) -> str | None:
        """Why a host, as it is written in a URL, is not connected to; None for a name, and for an address that is."""
        kind = kind_of(host)
        return None if kind in self._allowed else kind

    def socket(self, wanted: AddrInfoType) -> socket.socket:
        """A socket for an address that a name resolved to. Used as ``socket_factory``.

        Raises:
            ForbiddenAddressError: it is not to be connected to.
        """
        family, kind, protocol, _, place = wanted
        if (forbidden := self.refusal(str(place[0]))) is not None:
            raise ForbiddenAddressError(f"its address is {forbidden}, which no upstream may send us to")
        return socket.socket(family, kind, protocol)


def kind_of(host: str) -> str | None:
    """Name the kind of a special address; None for an ordinary address and for a name.

    Args:
        host: an address without brackets, or ``localhost``.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return _LOOPBACK
    try:
        address = _plain(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None
    kinds = {
        _LOOPBACK: address.is_loopback,
        "a cloud's metadata address": address in _METADATA,
        "a link-local address": address.is_link_local,
        "no host's address": address.is_unspecified or address.is_multicast or address.is_reserved,
    }
    return next((kind for kind, it_is in kinds.items() if it_is), None)


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
