"""Record that an engine keeps of an installed plugin: ``plugins/ID/config.json`` in its data root.

From 1.13 to 29 (moby: plugin/v2/plugin.go) the record wraps the plugin's configuration with name, id, settings of
users, and the digests of the blobs. This module also knows the files that enabling adds to a root filesystem (moby:
daemon/initlayer).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from mirror.oci import Digest, media_types
from mirror.oci.errors import DigestInvalid, ManifestInvalid
from mirror.oci.manifest import parse_json_object
from mirror.plugin.build.assembly import ConfigDocument
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.entry import EntryKind
from mirror.plugin.rootfs.tree import TreeEntry

#: Empty files and folders that every engine adds to a root filesystem before the start, if they are missing.
_ALWAYS_ADDED: Final = frozenset(
    {
        ".dockerenv",
        *("dev/console", "dev/pts", "dev/shm", "dev/mqueue", "proc", "sys"),
        *("etc/hosts", "etc/hostname", "etc/resolv.conf", "run/docker/plugins"),
    }
)
_MOUNTS_LINK: Final = ("etc/mtab", "/proc/mounts")


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """An installed plugin, as its engine records it.

    Attributes:
        plugin_id: 64 hexadecimal digits that the engine made up.
        name: name on the host, with tag.
        enabled: True if the plugin is started with the engine.
        document: configuration, without the members that the engine wrote.
        changes: settings of users, as ``KEY=VALUE`` for ``docker plugin set``.
        manifest: digest of the manifest; None for engines up to 19.03, which keep none.
        config: digest of the configuration's blob.
        layers: digests of the layers; None if the engine keeps no list, as since 20.10 for installed plugins.
    """

    plugin_id: str
    name: str
    enabled: bool
    document: ConfigDocument
    changes: tuple[str, ...]
    manifest: Digest | None
    config: Digest | None
    layers: tuple[Digest, ...] | None

    @classmethod
    def parse(cls, content: bytes) -> EngineRecord:
        """Read a record.

        Raises:
            ManifestInvalid: the content is not a record of a plugin.
        """
        body = parse_json_object(content, "the engine's record")
        plugin = body.get("plugin")
        config = plugin.get("Config") if isinstance(plugin, dict) else None
        if not isinstance(plugin, dict) or not isinstance(config, dict):
            raise ManifestInvalid("the engine's record holds no plugin")
        # The engine that created the plugin added both members. A new plugin gets its own.
        document = ConfigDocument(config).without_member("rootfs").without_member("DockerVersion")
        # Engines since 20.10 write null for a plugin that they installed from a registry.
        blobs = body.get("Blobsums")
        return cls(
            plugin_id=_text(plugin.get("Id")),
            name=_text(plugin.get("Name")),
            enabled=plugin.get("Enabled") is True,
            document=document,
            changes=tuple(_changes(PluginConfig.parse(document.encode()), plugin.get("Settings"))),
            manifest=_digest(body.get("Manifest")),
            config=_digest(body.get("Config")),
            layers=tuple(_layers(blobs)) if isinstance(blobs, list) and blobs else None,
        )


def without_additions(entries: Iterable[TreeEntry], config: PluginConfig) -> list[TreeEntry]:
    """List the entries of a root filesystem without the empty files and folders that enabling adds again."""
    listed = list(entries)
    added = _ALWAYS_ADDED.union(
        mount.destination.strip("/") for mount in config.mounts if mount.destination.strip("/")
    ).union({config.propagated_mount.strip("/")} - {""})
    holding = {entry.path.rpartition("/")[0] for entry in listed if entry.path}
    return [entry for entry in listed if not _is_added(entry, added, holding)]


def _is_added(entry: TreeEntry, added: Collection[str], holding: Collection[str]) -> bool:
    """Return True for an entry that enabling adds, if the plugin itself put nothing there."""
    node = entry.node
    if (entry.path, node.target) == _MOUNTS_LINK:
        return True
    is_empty = node.size_bytes == 0 if node.kind is EntryKind.FILE else node.kind is EntryKind.FOLDER
    return entry.path in added and is_empty and entry.path not in holding


def manifest_as_pushed(config: tuple[Digest, int], layers: Iterable[tuple[Digest, int]]) -> bytes:
    """Return the manifest of a plugin byte for byte as an engine since 20.10 pushes it (moby: plugin/backend_linux.go).

    Args:
        config: digest and size in bytes of the configuration.
        layers: digest and size in bytes of each layer.
    """

    def described(media_type: str, blob: tuple[Digest, int]) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": str(blob[0]), "size": blob[1]}

    # The order of the keys is the engine's: another order would give another digest.
    body = {
        "schemaVersion": 2,
        "config": described(media_types.DOCKER_PLUGIN_CONFIG, config),
        "layers": [described(media_types.DOCKER_LAYER_GZIP, layer) for layer in layers],
        "mediaType": media_types.DOCKER_MANIFEST,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _text(value: object) -> str:
    """Return the value if it is a string, otherwise an empty string."""
    return value if isinstance(value, str) else ""


def _strings(value: object) -> list[str]:
    """Return the strings of a list; empty for any other value."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _digest(value: object) -> Digest | None:
    """Return a digest of the record; None if absent."""
    try:
        return Digest.parse(value) if isinstance(value, str) and value else None
    except DigestInvalid as error:
        raise ManifestInvalid(f"the engine's record holds an invalid digest: {error}") from error


def _layers(values: list[Any]) -> Iterable[Digest]:
    """Yield the digests of the layers in the record."""
    for value in values:
        digest = _digest(value)
        if digest is None:
            raise ManifestInvalid("the engine's record holds a layer without a digest")
        yield digest


def _changes(config: PluginConfig, settings: object) -> Iterable[str]:
    """Yield the settings that differ from the defaults, as :command:`docker plugin set` takes them."""
    if not isinstance(settings, dict):
        return
    # Settings have the structure of the configuration, except for Env and Args, which are plain lists.
    env = _strings(settings.get("Env"))
    defaults = {item.name: item.value for item in config.env}
    for item in env:
        name, _, value = item.partition("=")
        if defaults.get(name) != value:
            yield f"{name}={value}"
    arguments = _strings(settings.get("Args"))
    if tuple(arguments) != config.args.value:
        yield f"{config.args.name}={' '.join(arguments)}"
    rest = PluginConfig.parse(
        ConfigDocument({"Mounts": settings.get("Mounts"), "Linux": {"Devices": settings.get("Devices")}}).encode()
    )
    # Mounts and devices have the order of the configuration. Those without a name cannot be set.
    for mount, default in zip(rest.mounts, config.mounts, strict=False):
        if mount.name and mount.source is not None and mount.source != default.source:
            yield f"{mount.name}.source={mount.source}"
    for device, known in zip(rest.devices, config.devices, strict=False):
        if device.name and device.path is not None and device.path != known.path:
            yield f"{device.name}.path={device.path}"
