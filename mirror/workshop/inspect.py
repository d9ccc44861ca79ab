"""What a reference stands for, read through the port: a plugin, an image, an artifact or an index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from mirror.oci import media_types
from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.plugin import checks, privileges, settings
from mirror.plugin.config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.findings import Finding
from mirror.plugin.privileges import Privilege
from mirror.plugin.settings import Setting
from mirror.registry.derivations import Derivation
from mirror.registry.port import Reader

_KINDS = {
    media_types.DOCKER_PLUGIN_CONFIG: "plugin",
    media_types.DOCKER_IMAGE_CONFIG: "image",
    media_types.OCI_IMAGE_CONFIG: "image",
}


#: Gives what was found of a manifest when it was stored; None where nobody looked.
Recorded: TypeAlias = Callable[[Digest], Awaitable[tuple[Finding, ...] | None]]


async def _nobody_looked(_digest: Digest) -> tuple[Finding, ...] | None:
    return None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where something that is held came from.

    Attributes:
        how: ``mirrored``, by a rule, or ``pulled through``.
        upstream: the name of the upstream.
        repository: the repository there.
        at: when it was brought, or last confirmed.
    """

    how: str
    upstream: str
    repository: Repository
    at: datetime


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Attributes:
        repository: where it was read.
        target: what was asked for.
        manifest: the manifest.
        plugin: the plugin's configuration; None for anything else, and where no engine could read it.
        privileges: what an engine will ask for before it installs the plugin.
        settings: what a host may set on it.
        findings: what is wrong with it, as far as is known; without a record, what shows without its layers.
        origin: where it came from; None where it was pushed, or is not known.
        derivation: how it came about, of a copy with changes.
    """

    repository: Repository
    target: Tag | Digest
    manifest: Manifest
    plugin: PluginConfig | None
    privileges: tuple[Privilege, ...] = ()
    settings: tuple[Setting, ...] = ()
    findings: tuple[Finding, ...] = ()
    origin: Provenance | None = None
    derivation: Derivation | None = None

    @property
    def kind(self) -> str:
        """``plugin``, ``image``, ``artifact`` or ``index``."""
        return kind_of(self.manifest)


def kind_of(manifest: Manifest) -> str:
    """``plugin``, ``image``, ``artifact`` or ``index``, by the type of its config."""
    return "index" if manifest.config is None else _KINDS.get(manifest.config.media_type, "artifact")


async def inspect(
    reader: Reader, repository: Repository, target: Tag | Digest, recorded: Recorded = _nobody_looked
) -> Inspection:
    """Read a manifest and, of a plugin, its configuration.

    Args:
        reader: where it is.
        repository, target: its name there.
        recorded: what was found when it was stored.

    Raises:
        ManifestUnknown, BlobUnknown: it is not there.
    """
    manifest = await reader.get_manifest(repository, target)
    found = await recorded(manifest.digest)
    if manifest.config is None or not manifest.is_plugin:
        return Inspection(repository, target, manifest, plugin=None, findings=found or ())
    async with reader.open_blob(repository, manifest.config.digest) as blob:
        size_bytes = blob.size_bytes
        content = None if size_bytes > MAX_CONFIG_BYTES else b"".join([chunk async for chunk in blob])
    if found is None:
        found = checks.of_plugin(manifest, size_bytes, content, None)
    return replace(_read(repository, target, manifest, content), findings=found)


def _read(repository: Repository, target: Tag | Digest, manifest: Manifest, content: bytes | None) -> Inspection:
    try:
        config = None if content is None else PluginConfig.parse(content)
    except ManifestInvalid:
        config = None  # the findings tell why
    if config is None:
        return Inspection(repository, target, manifest, plugin=None)
    return Inspection(repository, target, manifest, config, privileges.compute(config), settings.settable(config))
