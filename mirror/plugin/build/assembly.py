"""A plugin put together: a configuration that is edited, and the manifest around it and its layers.

What engines from 1.13 to 29 all take: docker's types, ``mediaType`` in the manifest, the digests of the uncompressed
layers in the configuration (moby v1.13.1: distribution/pull_v2.go, v28.5.2: plugin/fetch_linux.go). Nothing depends on
the time or the machine: the same input gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mirror.oci import Descriptor, Digest, Manifest, media_types
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.manifest import parse_json_object
from mirror.oci.printable_text import escaped
from mirror.plugin.config.plugin_config import PluginConfig

_MOST_LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer's blob: a tar in gzip.

    Attributes:
        digest: of the blob.
        size_bytes: of the blob.
        diff_id: digest of the tar, uncompressed.
    """

    digest: Digest
    size_bytes: int
    diff_id: Digest

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor by which a manifest names the layer."""
        return Descriptor(media_types.DOCKER_LAYER_GZIP, self.digest, self.size_bytes)


@dataclass(frozen=True, slots=True)
class AssembledPlugin:
    """A plugin without the bytes of its layers.

    Attributes:
        config: the configuration's bytes.
        manifest: names the configuration and the layers.
    """

    config: bytes
    manifest: Manifest


class ConfigDocument:
    """A plugin's configuration as JSON, to be edited: what is not edited stays, keys that nobody knows as well.

    Keys match whatever their case. Every edit gives a new document.

    Args:
        value: the parsed JSON object; it is not copied, and not changed.
    """

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    @classmethod
    def parse(cls, content: bytes) -> ConfigDocument:
        """Read a configuration that engines can read.

        Raises:
            ContentTooLarge: over :data:`mirror.plugin.config.plugin_config.MAX_CONFIG_BYTES`.
            ManifestInvalid: engines could not read it.
        """
        PluginConfig.parse(content)
        return cls(parse_json_object(content.decode("utf-8", "replace").encode(), "plugin config"))

    def encode(self) -> bytes:
        """The document's bytes: ASCII, without spaces, keys in the order they have.

        Raises:
            ManifestInvalid: it holds a number that JSON cannot write.
        """
        return canonical_json(self._value, "plugin config")

    def with_env(self, name: str, value: str) -> ConfigDocument:
        """With another default of an environment variable. Raises ConfigurationFault: there is none of that name."""
        return ConfigDocument(_with_item(self._value, "Env", "environment variable", name, ("Value", value)))

    def with_mount_source(self, name: str, source: str) -> ConfigDocument:
        """With another source of a mount; one without a name goes by its destination. Raises as :meth:`with_env`."""
        return ConfigDocument(
            _with_item(self._value, "Mounts", "mount", name, ("Source", source), instead="Destination")
        )

    def with_device_path(self, name: str, path: str) -> ConfigDocument:
        """With another path of a device; one without a name goes by the path it has. Raises as :meth:`with_env`."""
        linux = _member(self._value, "Linux") or {}
        return self.with_member("Linux", _with_item(linux, "Devices", "device", name, ("Path", path), instead="Path"))

    def with_args(self, value: Sequence[str]) -> ConfigDocument:
        """With other default arguments."""
        return self.with_member("Args", _with_member(_member(self._value, "Args") or {}, "Value", list(value)))

    def with_diff_ids(self, diff_ids: Sequence[Digest]) -> ConfigDocument:
        """With the digests of other layers, as they are uncompressed."""
        return self.with_member("rootfs", {"type": "layers", "diff_ids": [str(one) for one in diff_ids]})

    def with_member(self, key: str, value: object) -> ConfigDocument:
        """With another value of one of its members, in place where there is one."""
        return ConfigDocument(_with_member(self._value, key, value))

    def without_member(self, key: str) -> ConfigDocument:
        """Without a member, whatever the case of its key."""
        return ConfigDocument(
            {existing_key: value for existing_key, value in self._value.items() if existing_key.lower() != key.lower()}
        )


def assemble(document: ConfigDocument, layers: Sequence[PackedLayer]) -> AssembledPlugin:
    """Put a plugin together.

    Args:
        document: its configuration; the digests of the layers in it are replaced by the right ones.
        layers: its layers, the lowest first; every engine unpacks one, and some unpack several in any order.

    Raises:
        ManifestInvalid: the configuration cannot be written as JSON, or engines could not read what was.
    """
    config = document.with_diff_ids([layer.diff_id for layer in layers]).encode()
    PluginConfig.parse(config)
    return AssembledPlugin(config, plugin_manifest(config, [layer.descriptor for layer in layers]))


def plugin_manifest(config: bytes, layers: Sequence[Descriptor]) -> Manifest:
    """Make the manifest of a plugin.

    Args:
        config: bytes of the configuration.
        layers: descriptors as they will stand in it.
    """
    named = Descriptor(media_types.DOCKER_PLUGIN_CONFIG, Digest.of(config), len(config))
    body = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": named.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return Manifest.parse(canonical_json(body, "manifest"), media_types.DOCKER_MANIFEST)


def canonical_json(value: dict[str, Any], what: str) -> bytes:
    """Write JSON in ASCII without spaces, keys in the order they have.

    Raises:
        ManifestInvalid: there is no JSON for it.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"{what} cannot be written as JSON: {error}") from error


def _member(value: dict[str, Any], key: str) -> Any:
    """Look a key up, whatever its case."""
    return next((value[existing_key] for existing_key in value if existing_key.lower() == key.lower()), None)


def _with_member(value: dict[str, Any], key: str, new: object) -> dict[str, Any]:
    existing_key = next((existing_key for existing_key in value if existing_key.lower() == key.lower()), key)
    return {**value, existing_key: new}


def _with_item(
    value: dict[str, Any], key: str, what: str, name: str, change: tuple[str, str], *, instead: str = "Name"
) -> dict[str, Any]:
    """With another member in the items of that name in a list; ``instead`` names those that have none."""
    items = [item or {} for item in _member(value, key) or []]
    names = [_member(item, "Name") or _member(item, instead) or "" for item in items]
    if name not in names:
        known = ", ".join(sorted({escaped(name, 200) for name in names if name})[:_MOST_LISTED]) or "none"
        raise ConfigurationFault(f"the plugin has no {what} named {name!r} (it has: {known})")
    changed = [_with_member(item, *change) if named == name else item for item, named in zip(items, names, strict=True)]
    return _with_member(value, key, changed)
