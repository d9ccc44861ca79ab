"""Interface types of plugins, and the use that engines make of them, as measured (``docs/INTERFACE_TYPES.md``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Version that engines look for where they look for a version at all.
THE_VERSION: Final = "1.0"


@dataclass(frozen=True, slots=True)
class Capability:
    """Use that engines make of plugins with one kind of interface.

    Attributes:
        since: first release that uses such plugins.
        removed: first release that no longer does; None if all later ones do.
        needs_version: True if only version 1.0 is found. Other capabilities are found with any version.
        speaks_http: True if the engine talks HTTP with such plugins. The others speak gRPC.
    """

    since: str = "1.13"
    removed: str | None = None
    needs_version: bool = False
    speaks_http: bool = True


CAPABILITIES: Final = {
    "volumedriver": Capability(),
    "networkdriver": Capability(needs_version=True),
    "ipamdriver": Capability(needs_version=True),
    "authz": Capability(),
    "graphdriver": Capability(removed="28"),
    "logdriver": Capability(since="17.05"),
    "metricscollector": Capability(since="17.06", needs_version=True),
    "secretprovider": Capability(since="17.07"),
    "csinode": Capability(since="23", speaks_http=False),
    "csicontroller": Capability(since="23", speaks_http=False),
}


@dataclass(frozen=True, slots=True)
class InterfaceType:
    """Interface type, split as engines split it.

    Attributes:
        prefix: text before the last dot of the part before the first slash.
        name: text after that dot, such as ``volumedriver``.
        version: text after the first slash; may be empty.
    """

    prefix: str
    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> InterfaceType | None:
        """Split a type. Return None if it has no slash, or no dot before the slash: engines then store other text."""
        whole, slash, version = text.partition("/")
        prefix, dot, name = whole.rpartition(".")
        return cls(prefix, name, version) if slash and dot else None

    @property
    def capability(self) -> Capability | None:
        """The use that engines make of this type, in any version; None if no engine uses it. Case matters."""
        return CAPABILITIES.get(self.name) if self.prefix == "docker" else None
