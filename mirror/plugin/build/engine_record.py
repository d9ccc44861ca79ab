"""The record that an engine keeps of an installed plugin: ``plugins/ID/config.json`` of its data root.

From 1.13 to 29 (moby: plugin/v2/plugin.go) it is a wrapper around the plugin's configuration: name and id, what users
have set, and the digests of the blobs the plugin came in. Also here: what enabling adds to a root filesystem (moby:
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

#: What every engine puts into a root filesystem before it starts the plugin, where it is not there: empty things.
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
    """An installed plugin, as its engine has it.

    Attributes:
        plugin_id: 64 hexadecimal digits, which the engine made up.
        name: its name on the host, with its tag.
        enabled: whether it is started with the engine.
        document: its configuration, without what the engine wrote into it.
        changes: what users have set, as ``KEY=VALUE`` for ``docker plugin set``.
        manifest: digest of its manifest; engines up to 19.03 keep none.
        config: digest of its configuration's blob.
        layers: digests of its layers; None where the engine keeps no list, as for what engines since 20.10 install.
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
        """Read the wrapper.

        Raises:
            ManifestInvalid: it is none.
        """
        body = parse_json_object(content, "the engine's record")
        plugin = body.get("plugin")
        config = plugin.get("Config") if isinstance(plugin, dict) else None
        if not isinstance(plugin, dict) or not isinstance(config, dict):
            raise ManifestInvalid("the engine's record holds no plugin")
        document = ConfigDocument(config).without_member("rootfs").without_member("DockerVersion")
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
    node = entry.node
    if (entry.path, node.target) == _MOUNTS_LINK:
        return True
    is_empty = node.size_bytes == 0 if node.kind is EntryKind.FILE else node.kind is EntryKind.FOLDER
    return entry.path in added and is_empty and entry.path not in holding


def manifest_as_pushed(config: tuple[Digest, int], layers: Iterable[tuple[Digest, int]]) -> bytes:
    """Make the manifest of a plugin as an engine since 20.10 pushes it, byte for byte (moby: plugin/backend_linux.go).

    Args:
        config: digest and size in bytes of its configuration.
        layers: the same of its layers.
    """

    def described(media_type: str, blob: tuple[Digest, int]) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": str(blob[0]), "size": blob[1]}

    body = {
        "schemaVersion": 2,
        "config": described(media_types.DOCKER_PLUGIN_CONFIG, config),
        "layers": [described(media_types.DOCKER_LAYER_GZIP, layer) for layer in layers],
        "mediaType": media_types.DOCKER_MANIFEST,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _digest(value: object) -> Digest | None:
    try:
        return Digest.parse(value) if isinstance(value, str) and value else None
    except DigestInvalid as error:
        raise ManifestInvalid(f"the engine's record holds a wrong digest: {error}") from error


def _layers(values: list[Any]) -> Iterable[Digest]:
    for value in values:
        digest = _digest(value)
        if digest is None:
            raise ManifestInvalid("the engine's record holds a layer without a digest")
        yield digest


def _changes(config: PluginConfig, settings: object) -> Iterable[str]:
    """Yield the settings that differ from the defaults, as :command:`docker plugin set` takes it."""
    if not isinstance(settings, dict):
        return
    # The settings have the shape of the configuration, but for Env and Args, which are plain lists.
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
    # Each stands where it does in the configuration; those without a name cannot be set.
    for mount, default in zip(rest.mounts, config.mounts, strict=False):
        if mount.name and mount.source is not None and mount.source != default.source:
            yield f"{mount.name}.source={mount.source}"
    for device, known in zip(rest.devices, config.devices, strict=False):
        if device.name and device.path is not None and device.path != known.path:
            yield f"{device.name}.path={device.path}"
