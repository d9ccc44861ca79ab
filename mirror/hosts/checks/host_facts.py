"""Facts of a host: the answers of its engine, and its file system as far as this program sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from mirror.hosts.engine_api import EngineInfo, EngineVersion, InstalledPlugin
from mirror.oci import Digest


class PathKind(Enum):
    """Kind of a path on a host. Links are followed."""

    MISSING = "missing"
    FOLDER = "a folder"
    DEVICE = "a device"
    OTHER = "a file"
    #: This user must not look at the path.
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class RegistryAnswer:
    """Answer of an engine that asked a registry for a plugin.

    Attributes:
        digest: digest of the content at the registry; None if the engine could not read it, or could not be asked.
        refused: the engine's message if it could not read the content.
    """

    digest: Digest | None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Parts of a host's file system that matter for a plugin.

    Attributes:
        paths: kind of each path that the plugin needs.
        kernel: release of the running kernel.
        has_modules: True if ``/lib/modules/RELEASE`` exists.
        file_systems: names of the kernel's file systems that are loaded or built in.
        emulated: architectures in Go's names whose programs the host can run with an emulator.
        data_root_options: options of the mount with the engine's data root, such as ``noexec``.
        free_bytes: free bytes of the data root; None if unknown.
        digests: digests of installed plugins by id, as far as this user may read the records of the engine.
    """

    paths: Mapping[str, PathKind]
    kernel: str
    has_modules: bool
    file_systems: frozenset[str]
    emulated: frozenset[str]
    data_root_options: frozenset[str]
    free_bytes: int | None
    digests: Mapping[str, Digest]


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Everything that is known about a host.

    Attributes:
        version: version of the engine.
        info: properties of the engine.
        plugins: installed plugins.
        registry: answer of the registry to the engine.
        registry_addresses: addresses of the registry, as this program resolves its name.
        files: file system of the host; None if this program does not see it.
        unseen: reason why this program does not see the file system.
    """

    version: EngineVersion
    info: EngineInfo
    plugins: tuple[InstalledPlugin, ...]
    registry: RegistryAnswer
    registry_addresses: tuple[str, ...] = ()
    files: HostFiles | None = None
    unseen: str = ""
