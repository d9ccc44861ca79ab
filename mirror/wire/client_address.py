"""Whom an address stands for, where what clients take is counted."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

#: Longest text that stands for a client, in characters.
LONGEST_ADDRESS: Final = 64


@lru_cache(maxsize=4096)
def client_key(address: str) -> str:
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
        return text[:LONGEST_ADDRESS]
    if isinstance(found, IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Network((int(found), 64), strict=False))
