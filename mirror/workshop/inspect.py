"""What a reference stands for, read through the port: a plugin, an image, an artifact or an index."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.oci import media_types
from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.plugin import privileges, settings
from mirror.plugin.config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.privileges import Privilege
from mirror.plugin.settings import Setting
from mirror.registry.port import Reader

_KINDS = {
    media_types.DOCKER_PLUGIN_CONFIG: "plugin",
    media_types.DOCKER_IMAGE_CONFIG: "image",
    media_types.OCI_IMAGE_CONFIG: "image",
}


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Attributes:
        repository: where it was read.
        target: what was asked for.
        manifest: the manifest.
        plugin: the plugin's configuration; None for anything else.
        privileges: what an engine will ask for before it installs the plugin.
        settings: what a host may set on it.
    """

    repository: Repository
    target: Tag | Digest
    manifest: Manifest
    plugin: PluginConfig | None
    privileges: tuple[Privilege, ...] = ()
    settings: tuple[Setting, ...] = ()

    @property
    def kind(self) -> str:
        """``plugin``, ``image``, ``artifact`` or ``index``."""
        return kind_of(self.manifest)


def kind_of(manifest: Manifest) -> str:
    """``plugin``, ``image``, ``artifact`` or ``index``, by the type of its config."""
    return "index" if manifest.config is None else _KINDS.get(manifest.config.media_type, "artifact")


async def inspect(reader: Reader, repository: Repository, target: Tag | Digest) -> Inspection:
    """Read a manifest and, of a plugin, its configuration.

    Raises:
        ManifestUnknown, BlobUnknown: it is not there.
        ManifestInvalid: the plugin's configuration cannot be read by any engine.
    """
    manifest = await reader.get_manifest(repository, target)
    if not manifest.is_plugin:
        return Inspection(repository, target, manifest, plugin=None)
    config = PluginConfig.parse(await _read_config(reader, repository, manifest))
    return Inspection(repository, target, manifest, config, privileges.compute(config), settings.settable(config))


async def _read_config(reader: Reader, repository: Repository, manifest: Manifest) -> bytes:
    config = manifest.config
    if config is None or config.size_bytes > MAX_CONFIG_BYTES:
        raise ManifestInvalid(f"plugin config is said to be larger than {MAX_CONFIG_BYTES} bytes")
    async with reader.open_blob(repository, config.digest) as blob:
        return b"".join([chunk async for chunk in blob])
