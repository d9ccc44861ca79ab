"""Copies of a plugin with other defaults: the requested changes, and the resulting configuration and manifest. Pure.

The same plugin and the same changes give the same bytes, on any machine and at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mirror.oci import Descriptor, Digest, Manifest, media_types
from mirror.oci.errors import ConfigurationFault, ManifestInvalid, Unsupported
from mirror.oci.manifest import parse_json_object
from mirror.plugin.build.assembly import ConfigDocument, canonical_json, plugin_manifest
from mirror.plugin.build.derivation_changes import DerivationChanges, as_json, legible
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.secret_values import masked, masked_text, without_secrets
from mirror.plugin.rootfs.layer_facts import LayerFacts

#: Beginning of a line of differences, and its values in JSON. The end of a long line is cut off.
_DIFFERENCE: Final = re.compile(r"(?:env|mount|device) (.*?): ")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"?')


@dataclass(frozen=True, slots=True)
class DerivedPlugin:
    """A copy of a plugin without the bytes of its layers.

    Attributes:
        config: bytes of the configuration.
        manifest: manifest of the configuration and the layers of the original.
        changed: differences from the original, one line each. If empty, config and manifest are the original's.
    """

    config: bytes
    manifest: Manifest
    changed: tuple[str, ...]


def derive(
    manifest: Manifest, config: bytes, changes: DerivationChanges, layers: Mapping[Digest, LayerFacts] | None = None
) -> DerivedPlugin:
    """Return a copy of a plugin. Everything that is not changed stays, including unknown members.

    Args:
        manifest: manifest of the original.
        config: configuration of the original.
        changes: requested changes.
        layers: facts of all layers by digest, needed to fix the plugin. If None, nothing is fixed, whatever ``changes``
            says.

    Raises:
        Unsupported: the original is not a plugin.
        ConfigurationFault: the plugin has no item of a name in ``changes``; the error lists the existing names.
        ManifestInvalid: engines could not read the configuration, or a layer cannot be fixed.
    """
    if not manifest.is_plugin:
        what = "is an index; fix: give the digest of one of its members" if manifest.manifests else "is not a plugin"
        raise Unsupported(f"{manifest.digest} has no defaults to change: it {what}")
    before, document = PluginConfig.parse(config), ConfigDocument.parse(config)
    edited = _edited(document, before, changes)
    descriptors, fixed = manifest.layers, list[str]()
    # Only digests and types are fixed: layers are never rewritten, so the copy shares their blobs (ADR 12).
    if changes.fix and layers is not None:
        diff_ids, descriptors = _fixed(manifest, layers)
        if before.diff_ids != tuple(map(str, diff_ids)):
            edited = edited.with_diff_ids(diff_ids)
        fixed = list(_fixes(manifest, descriptors))
    new_config = config if edited.encode() == document.encode() else edited.encode()
    changed = (*_differences(before, PluginConfig.parse(new_config)), *fixed)
    if fixed:
        return DerivedPlugin(new_config, plugin_manifest(new_config, descriptors), changed)
    if new_config == config:
        return DerivedPlugin(config, manifest, changed)
    return DerivedPlugin(new_config, _with_config(manifest, new_config), changed)


def _edited(document: ConfigDocument, config: PluginConfig, changes: DerivationChanges) -> ConfigDocument:
    """Return the configuration with the requested defaults."""
    for name, value in changes.env.items():
        document = document.with_env(name, value)
    for name, source in changes.mounts.items():
        document = document.with_mount_source(name, source)
    for name, path in changes.devices.items():
        document = document.with_device_path(name, path)
    if changes.args is None:
        return document
    if not config.args.name and not config.args.value:
        raise ConfigurationFault("the plugin has no args, only an entrypoint; fix: omit args")
    return document.with_args(changes.args)


def _fixed(manifest: Manifest, layers: Mapping[Digest, LayerFacts]) -> tuple[list[Digest], tuple[Descriptor, ...]]:
    """Return the digests of the uncompressed layers, and descriptors with docker media types and real sizes."""
    diff_ids, descriptors = [], []
    for number, layer in enumerate(manifest.layers, 1):
        facts = layers.get(layer.digest)
        if facts is None or facts.diff_id is None:
            why = "is not stored here" if facts is None or facts.problem is None else facts.problem.value
            raise ManifestInvalid(
                f"layer {number} {why}, and cannot be fixed in a copy; fix: create the plugin again and push it"
            )
        kind = media_types.DOCKER_LAYER_GZIP if facts.compressed else media_types.DOCKER_LAYER
        diff_ids.append(facts.diff_id)
        descriptors.append(Descriptor(kind, layer.digest, facts.size_bytes))
    return diff_ids, tuple(descriptors)


def _fixes(manifest: Manifest, descriptors: tuple[Descriptor, ...]) -> Iterator[str]:
    """Yield the fixes of the manifest, one line each."""
    if manifest.media_type != media_types.DOCKER_MANIFEST:
        yield f"manifest: {manifest.media_type} -> {media_types.DOCKER_MANIFEST}"
    elif parse_json_object(manifest.content).get("mediaType") is None:
        yield "manifest: mediaType added"
    for number, (before, after) in enumerate(zip(manifest.layers, descriptors, strict=True), 1):
        if before.media_type != after.media_type:
            yield f"layer {number}: {legible(before.media_type)} -> {after.media_type}"


def _differences(before: PluginConfig, after: PluginConfig) -> Iterator[str]:
    """Yield the differences of two configurations without secrets, one line each."""
    old, new = without_secrets(before), without_secrets(after)
    for number, (env, now) in enumerate(zip(before.env, after.env, strict=True)):
        if env != now:
            yield f"env {legible(env.name)}: {as_json(old.env[number].value)} -> {as_json(new.env[number].value)}"
    for number, (mount, bound) in enumerate(zip(before.mounts, after.mounts, strict=True)):
        if mount != bound:
            sources = f"{as_json(old.mounts[number].source)} -> {as_json(new.mounts[number].source)}"
            yield f"mount {legible(mount.name or mount.destination)}: {sources}"
    for device, opened in zip(before.devices, after.devices, strict=True):
        if device != opened:
            name = legible(device.name or device.path or "")
            yield f"device {name}: {as_json(device.path)} -> {as_json(opened.path)}"
    if before.args != after.args:
        yield f"args: {as_json(old.args.value)} -> {as_json(new.args.value)}"
    if before.diff_ids != after.diff_ids:
        yield "diff_ids: those of the uncompressed layers"


def _with_config(manifest: Manifest, config: bytes) -> Manifest:
    """Return the manifest with another configuration. All other members stay."""
    # Unknown members and their order stay, so that only the requested changes differ (ADR 12).
    body = parse_json_object(manifest.content)
    body["config"] = {**body["config"], "digest": str(Digest.of(config)), "size": len(config)}
    return Manifest.parse(canonical_json(body, "manifest"), manifest.media_type)


def masked_difference(line: str) -> str:
    """Return a line of differences without secrets. Earlier versions recorded the lines with them."""
    match = _DIFFERENCE.match(line)
    if match is None:
        return masked_text(line)
    return match[0] + _QUOTED.sub(lambda text: f'"{masked(match[1], text[1])}"', line[match.end() :])
