"""Registries that an engine may reach over plain HTTP. Pure."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Final, Protocol

from mirror.oci.printable_text import printable

#: The file with the settings of an engine of root.
DAEMON_FILE: Final = Path("/etc/docker/daemon.json")
#: Networks that are in the list of each engine by default.
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


class InsecureRegistries(Protocol):
    """Settings of an engine about plain HTTP."""

    @property
    def insecure_networks(self) -> tuple[str, ...]:
        """Networks (CIDR) whose registries may use HTTP."""
        ...

    @property
    def insecure_hosts(self) -> tuple[str, ...]:
        """Registries that may use HTTP, as ``HOST[:PORT]``."""
        ...


def may_use_http(settings: InsecureRegistries, host: str, addresses: tuple[str, ...]) -> bool:
    """Return True if an engine talks plain HTTP to a registry (moby: registry/config.go, isSecureIndex).

    Args:
        settings: insecure registries of the engine.
        host: registry, as ``HOST[:PORT]``.
        addresses: addresses of the registry.
    """
    if host in settings.insecure_hosts:
        return True
    networks = [network for text in settings.insecure_networks if (network := _network(text)) is not None]
    found = [address for text in addresses if (address := _address(text)) is not None]
    return any(address in network for network in networks for address in found)


def how_to_allow_http(settings: InsecureRegistries, host: str, daemon_file: Path = DAEMON_FILE) -> str:
    """Return the steps that let an engine use plain HTTP for one more registry.

    Args:
        settings: insecure registries of the engine.
        host: registry, as ``HOST[:PORT]``.
        daemon_file: file with the settings of the engine.
    """
    # The key replaces the list that the engine has, so the whole list is named.
    networks = (network for network in settings.insecure_networks if network not in LOOPBACK)
    lines = json.dumps({"insecure-registries": [*settings.insecure_hosts, *networks, host]})
    return (
        f"write {printable(lines)} into {daemon_file}, beside its other keys, then reload the engine: "
        "systemctl reload docker"
    )


def is_network(entry: str) -> bool:
    """Return True if an entry of ``insecure-registries`` is a network, and not a registry."""
    return "/" in entry and _network(entry) is not None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
