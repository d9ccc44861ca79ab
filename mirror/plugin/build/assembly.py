"""Assembling a plugin: an editable configuration, and the manifest for the configuration and its layers.

The result suits all engines from 1.13 to 29: docker media types, ``mediaType`` in the manifest, and the digests of the
uncompressed layers in the configuration (moby v1.13.1: distribution/pull_v2.go, v28.5.2: plugin/fetch_linux.go). The
result does not depend on the time or the machine: the same input gives the same bytes.
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

#: Most existing names that an error message lists.
_MOST_LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """The blob of a layer: a tar in gzip.

    Attributes:
        digest: digest of the blob.
        size_bytes: size of the blob.
        diff_id: digest of the uncompressed tar.
    """

    digest: Digest
    size_bytes: int
    diff_id: Digest

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the layer in a manifest."""
        return Descriptor(media_types.DOCKER_LAYER_GZIP, self.digest, self.size_bytes)


@dataclass(frozen=True, slots=True)
class AssembledPlugin:
    """A plugin without the bytes of its layers.

    Attributes:
        config: bytes of the configuration.
        manifest: manifest of the configuration and the layers.
    """

    config: bytes
    manifest: Manifest


class ConfigDocument:
    """Configuration of a plugin as editable JSON. Everything that is not edited stays, including unknown keys.

    Keys match in any case. Every edit returns a new document.

    Args:
        value: the parsed JSON object, which is neither copied nor changed.
    """

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    @classmethod
    def parse(cls, content: bytes) -> ConfigDocument:
        """Read a configuration that engines can read.

        Raises:
            ContentTooLarge: the content exceeds :data:`mirror.plugin.config.plugin_config.MAX_CONFIG_BYTES`.
            ManifestInvalid: engines could not read the content.
        """
        PluginConfig.parse(content)
        # The edits rely on the types of members, which the line above has checked as engines do.
        return cls(parse_json_object(content.decode("utf-8", "replace").encode(), "plugin config"))

    def encode(self) -> bytes:
        """Return the document as JSON in ASCII without spaces, keys in their existing order.

        Raises:
            ManifestInvalid: the document holds a number that JSON cannot express.
        """
        return canonical_json(self._value, "plugin config")

    def with_env(self, name: str, value: str) -> ConfigDocument:
        """Return a copy with another default of an environment variable.

        Raises:
            ConfigurationFault: there is no variable of this name.
        """
        return ConfigDocument(_with_item(self._value, "Env", "environment variable", name, ("Value", value)))

    def with_mount_source(self, name: str, source: str) -> ConfigDocument:
        """Return a copy with another source of a mount. A mount without a name is named by its destination.

        Raises:
            ConfigurationFault: there is no mount of this name.
        """
        return ConfigDocument(
            _with_item(self._value, "Mounts", "mount", name, ("Source", source), instead="Destination")
        )

    def with_device_path(self, name: str, path: str) -> ConfigDocument:
        """Return a copy with another path of a device. A device without a name is named by its path.

        Raises:
            ConfigurationFault: there is no device of this name.
        """
        linux = _member(self._value, "Linux") or {}
        return self.with_member("Linux", _with_item(linux, "Devices", "device", name, ("Path", path), instead="Path"))

    def with_args(self, value: Sequence[str]) -> ConfigDocument:
        """Return a copy with other default arguments."""
        return self.with_member("Args", _with_member(_member(self._value, "Args") or {}, "Value", list(value)))

    def with_diff_ids(self, diff_ids: Sequence[Digest]) -> ConfigDocument:
        """Return a copy with the digests of other uncompressed layers."""
        # Engines write this key in lower case, unlike all others.
        return self.with_member("rootfs", {"type": "layers", "diff_ids": [str(one) for one in diff_ids]})

    def with_member(self, key: str, value: object) -> ConfigDocument:
        """Return a copy with another value of a member. An existing member keeps its place and its spelling."""
        return ConfigDocument(_with_member(self._value, key, value))

    def without_member(self, key: str) -> ConfigDocument:
        """Return a copy without a member, in any case of its key."""
        return ConfigDocument(
            {existing_key: value for existing_key, value in self._value.items() if existing_key.lower() != key.lower()}
        )


def assemble(document: ConfigDocument, layers: Sequence[PackedLayer]) -> AssembledPlugin:
    """Assemble a plugin.

    Args:
        document: configuration; its digests of layers are replaced by the right ones.
        layers: layers, the lowest first. All engines unpack a single layer correctly; some unpack several in any order.

    Raises:
        ManifestInvalid: the configuration cannot be written as JSON, or engines could not read the result.
    """
    config = document.with_diff_ids([layer.diff_id for layer in layers]).encode()
    # The document may hold any JSON, so the result is read once as an engine reads it.
    PluginConfig.parse(config)
    return AssembledPlugin(config, plugin_manifest(config, [layer.descriptor for layer in layers]))


def plugin_manifest(config: bytes, layers: Sequence[Descriptor]) -> Manifest:
    """Return the manifest of a plugin.

    Args:
        config: bytes of the configuration.
        layers: descriptors of the layers.
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
    """Return JSON in ASCII without spaces, keys in their existing order.

    Args:
        value: the object to write.
        what: name of the document in the error message.

    Raises:
        ManifestInvalid: JSON cannot express the value.
    """
    try:
        # The same value must give the same bytes, and so the same digest, everywhere (ADR 12).
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(
            f"{what} cannot be written as JSON: it is nested too deeply, or has a number without an end"
        ) from error


def _member(value: dict[str, Any], key: str) -> Any:
    """Return the value of a key, in any case; None if absent."""
    return next((value[existing_key] for existing_key in value if existing_key.lower() == key.lower()), None)


def _with_member(value: dict[str, Any], key: str, new: object) -> dict[str, Any]:
    """Return a copy with another value of a key, in any case of an existing key."""
    existing_key = next((existing_key for existing_key in value if existing_key.lower() == key.lower()), key)
    return {**value, existing_key: new}


def _with_item(
    value: dict[str, Any], key: str, what: str, name: str, change: tuple[str, str], *, instead: str = "Name"
) -> dict[str, Any]:
    """Return a copy with a changed member in the items of one name.

    Args:
        value: object that holds the list.
        key: key of the list.
        what: kind of the items in the error message.
        name: name of the items.
        change: key and new value.
        instead: member that names the items without a name.

    Raises:
        ConfigurationFault: no item has the name.
    """
    items = [item or {} for item in _member(value, key) or []]
    names = [_member(item, "Name") or _member(item, instead) or "" for item in items]
    if name not in names:
        known = ", ".join(sorted({escaped(name, 200) for name in names if name})[:_MOST_LISTED]) or "none"
        raise ConfigurationFault(f"the plugin has no {what} named {name!r} (it has: {known})")
    changed = [_with_member(item, *change) if named == name else item for item, named in zip(items, names, strict=True)]
    return _with_member(value, key, changed)
