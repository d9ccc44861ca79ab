"""Grouping of IP addresses into clients, for everything counted per client."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

#: Longest client key, in characters.
LONGEST_ADDRESS: Final = 64


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, with or without brackets, port and zone. Return None for any other text.

    An IPv4 address in IPv6 form is returned as the IPv4 address.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


@lru_cache(maxsize=4096)
def client_key(address: str) -> str:
    """Return the client that an address belongs to: the address itself, or the /64 network of an IPv6 address.

    Args:
        address: an address, with or without brackets, port and zone. Any other text is returned as its own key, cut
            to :data:`LONGEST_ADDRESS` characters.
    """
    found = parse_address(address)
    if found is None:
        return address.strip()[:LONGEST_ADDRESS]
    if isinstance(found, IPv4Address):
        return str(found)
    # One IPv6 subscriber has a whole /64. A limit per address could be evaded by changing the lower 64 bits.
    return str(IPv6Network((int(found), 64), strict=False))


@lru_cache(maxsize=4096)
def is_inside(address: str, networks: tuple[Network, ...]) -> bool:
    """Return True if an address is in one of the networks. Cached, because each request may ask.

    Args:
        address: an address as :func:`parse_address` reads it. Any other text is in no network.
        networks: the networks.
    """
    found = parse_address(address)
    return found is not None and any(found.version == each.version and found in each for each in networks)
