"""Privileges that an engine asks for before an install (moby: computePrivileges, the same from 1.13 to 29)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mirror.plugin.config.plugin_config import PluginConfig

# "none" is not in the list: engines ask for it, although it gives no network.
_NO_NETWORK_PRIVILEGE = frozenset({"", "null", "bridge"})


@dataclass(frozen=True, slots=True)
class Privilege:
    """One privilege in the engine's question.

    Attributes:
        name: name as the engine prints it: ``network``, ``mount``, ``capabilities`` …
        description: the engine's own description.
        values: the values that are asked for.
    """

    name: str
    description: str
    values: tuple[str, ...]

    @property
    def comparable(self) -> tuple[str, tuple[str, ...]]:
        """Name and sorted values. Engines sort the capabilities of a plugin when they install it."""
        return self.name, tuple(sorted(self.values))

    def to_engine_json(self) -> dict[str, Any]:
        """Return plain values, as the API of engines takes them."""
        return {"Name": self.name, "Description": self.description, "Value": list(self.values)}

    def __str__(self) -> str:
        """Return the line that the engine prints."""
        return f"{self.name}: [{' '.join(self.values)}]"


def compute_privileges(config: PluginConfig) -> tuple[Privilege, ...]:
    """List the privileges in the engine's order. Engines before 17.05 do not know the two about namespaces.

    No privilege covers propagated mounts, the environment, or the type and options of a mount.
    """
    return tuple(_privileges(config))


def _privileges(config: PluginConfig) -> Iterator[Privilege]:
    """Yield the privileges in the engine's order."""
    if config.network_type not in _NO_NETWORK_PRIVILEGE:
        yield Privilege("network", "permissions to access a network", (config.network_type,))
    if config.ipc_host:
        yield Privilege("host ipc namespace", "allow access to host ipc namespace", ("true",))
    if config.pid_host:
        yield Privilege("host pid namespace", "allow access to host pid namespace", ("true",))
    for mount in config.mounts:
        # An empty source is asked for as an empty path; only a missing one is not.
        if mount.source is not None:
            yield Privilege("mount", "host path to mount", (mount.source,))
    for device in config.devices:
        if device.path is not None:
            yield Privilege("device", "host device to access", (device.path,))
    if config.allow_all_devices:
        yield Privilege("allow-all-devices", "allow 'rwm' access to all devices", ("true",))
    if config.capabilities:
        yield Privilege("capabilities", "list of additional capabilities required", config.capabilities)
