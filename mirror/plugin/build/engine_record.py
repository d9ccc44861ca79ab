"""Record that an engine keeps of an installed plugin: ``plugins/ID/config.json`` in its data root.

From 1.13 to 29 (moby: plugin/v2/plugin.go) the record wraps the plugin's configuration with name, id, settings of
users, and the digests of the blobs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mirror.oci import Digest, media_types
from mirror.oci.errors import DigestInvalid, ManifestInvalid
from mirror.oci.manifest import parse_json_object
from mirror.plugin.build.assembly import ConfigDocument
from mirror.plugin.config.plugin_config import PluginConfig

#: Id of an installed plugin, which is the name of its folder.
PLUGIN_ID: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ValuesInUse:
    """The values with which an engine starts a plugin, defaults included (moby: InitSpec of plugin/v2).

    Attributes:
        env: value of each environment variable, by name.
        args: arguments after the entrypoint.
        sources: source of each mount with a name, as far as it has one.
        paths: path of each device, by its name or, without a name, by its path.
    """

    env: Mapping[str, str]
    args: tuple[str, ...]
    sources: Mapping[str, str]
    paths: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """An installed plugin, as its engine records it.

    Attributes:
        plugin_id: 64 hexadecimal digits that the engine made up.
        name: name on the host, with tag.
        enabled: True if the plugin is started with the engine.
        document: configuration, without the members that the engine wrote. Sources of mounts and paths of devices that
            were set on the host have replaced the defaults.
        values: values with which the engine starts the plugin.
        manifest: digest of the manifest; None for engines up to 19.03, which keep none.
        config: digest of the configuration's blob. After an upgrade, it is the digest of the old version until the
            engine writes the record again (moby: upgradePlugin saves the record before it changes the digests).
        layers: digests of the layers; None if the engine keeps no list, as since 20.10 for installed plugins.
    """

    plugin_id: str
    name: str
    enabled: bool
    document: ConfigDocument
    values: ValuesInUse
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
            values=_values(PluginConfig.parse(document.encode()), plugin.get("Settings")),
            manifest=_digest(body.get("Manifest")),
            config=_digest(body.get("Config")),
            layers=tuple(_layers(blobs)) if isinstance(blobs, list) and blobs else None,
        )


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


def _values(config: PluginConfig, settings: object) -> ValuesInUse:
    """Return the values in use: devices, variables and arguments of the settings, and mounts of the config."""
    members = settings if isinstance(settings, dict) else {}
    # The settings also list mounts, which no engine reads: it mounts the sources in the config.
    devices = PluginConfig.parse(ConfigDocument({"Linux": {"Devices": members.get("Devices")}}).encode()).devices
    variables = (text.partition("=") for text in _strings(members.get("Env")))
    return ValuesInUse(
        env={name: value for name, _, value in variables},
        args=tuple(_strings(members.get("Args"))),
        sources={mount.name: mount.source for mount in config.mounts if mount.name and mount.source is not None},
        paths={device.name or device.path: device.path for device in devices if device.path is not None},
    )
