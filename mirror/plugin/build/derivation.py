"""A copy of a plugin with other defaults: what is wanted of it, and its configuration and manifest. Pure.

The same plugin and the same changes give the same bytes, wherever and whenever they are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ConfigurationFault, ManifestInvalid, Unsupported
from mirror.oci.manifest import parse_json_object
from mirror.oci.printable_text import escaped
from mirror.plugin.build.assembly import ConfigDocument, canonical_json, plugin_manifest
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.layer_facts import LayerFacts


@dataclass(frozen=True, slots=True)
class DerivationChanges:
    """The changes that a copy is to have over the original.

    Attributes:
        env: values of environment variables, by name.
        mounts: sources of mounts, by name; a mount without one goes by its destination.
        devices: paths of devices, by name; a device without one goes by its path.
        args: what follows the entrypoint; None: as it is.
        fix: whether digests and types are mended so that every engine from 1.13 on takes it.

    Raises:
        ConfigurationFault: nothing is to be changed, or to something that is no text.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] | None = None
    fix: bool = False

    def __post_init__(self) -> None:
        wanted = self.to_json()
        if not wanted:
            raise ConfigurationFault("nothing is to be changed: give env, mounts, devices, args or fix")
        try:
            json.dumps(wanted, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ConfigurationFault("a value is not Unicode text: write it in UTF-8") from error

    def to_json(self) -> dict[str, Any]:
        """Plain values: equal where the changes are; what is not changed is left out."""
        given = {"env": dict(self.env), "mounts": dict(self.mounts), "devices": dict(self.devices)}
        value: dict[str, Any] = {key: values for key, values in given.items() if values}
        if self.args is not None:
            value["args"] = list(self.args)
        return value | ({"fix": True} if self.fix else {})

    def filled_in(self, repository: Repository, tag: Tag) -> DerivationChanges:
        """With ``{name}`` and ``{tag}`` in values standing for a copy's own; everything else is left as it is."""

        def fill(text: str) -> str:
            return text.replace("{name}", repository.name).replace("{tag}", tag.name)

        def each(values: Mapping[str, str]) -> dict[str, str]:
            return {key: fill(value) for key, value in values.items()}

        args = None if self.args is None else tuple(map(fill, self.args))
        return replace(self, env=each(self.env), mounts=each(self.mounts), devices=each(self.devices), args=args)

    def __str__(self) -> str:
        """In one line: ``env role="worker", fix``."""
        kinds = (("env", self.env), ("mount", self.mounts), ("device", self.devices))
        told = [f"{kind} {_legible(key)}={_shown(value)}" for kind, values in kinds for key, value in values.items()]
        told += [f"args {_shown(self.args)}"] if self.args is not None else []
        return ", ".join([*told, *(["fix"] if self.fix else [])])


@dataclass(frozen=True, slots=True)
class DerivedPlugin:
    """A plugin's copy without the bytes of its layers.

    Attributes:
        config: the configuration's bytes.
        manifest: names it, and the original's layers.
        changed: what is different from the original, one line each; none: config and manifest are the original's.
    """

    config: bytes
    manifest: Manifest
    changed: tuple[str, ...]


def derive(
    manifest: Manifest, config: bytes, changes: DerivationChanges, layers: Mapping[Digest, LayerFacts] | None = None
) -> DerivedPlugin:
    """Make a plugin's copy. What is not changed stays as it is, members that nobody knows as well.

    Args:
        manifest, config: the original's.
        changes: what is to be different.
        layers: facts of all layers by digest, needed to mend; None: nothing is mended yet, whatever ``changes`` says.

    Raises:
        Unsupported: it is no plugin.
        ConfigurationFault: the plugin has nothing of a name that is to be changed; the error tells which it has.
        ManifestInvalid: engines could not read the configuration; or a layer is beyond mending.
    """
    if not manifest.is_plugin:
        what = "an index: give the digest of one of its members" if manifest.manifests else "no plugin"
        raise Unsupported(f"{manifest.digest} has no defaults that could be changed: it is {what}")
    before, document = PluginConfig.parse(config), ConfigDocument.parse(config)
    edited = _edited(document, before, changes)
    descriptors, mended = manifest.layers, list[str]()
    if changes.fix and layers is not None:
        diff_ids, descriptors = _mended(manifest, layers)
        if before.diff_ids != tuple(map(str, diff_ids)):
            edited = edited.with_diff_ids(diff_ids)
        mended = list(_mends(manifest, descriptors))
    new_config = config if edited.encode() == document.encode() else edited.encode()
    changed = (*_differences(before, PluginConfig.parse(new_config)), *mended)
    if mended:
        return DerivedPlugin(new_config, plugin_manifest(new_config, descriptors), changed)
    if new_config == config:
        return DerivedPlugin(config, manifest, changed)
    return DerivedPlugin(new_config, _with_config(manifest, new_config), changed)


def _edited(document: ConfigDocument, config: PluginConfig, changes: DerivationChanges) -> ConfigDocument:
    for name, value in changes.env.items():
        document = document.with_env(name, value)
    for name, source in changes.mounts.items():
        document = document.with_mount_source(name, source)
    for name, path in changes.devices.items():
        document = document.with_device_path(name, path)
    if changes.args is None:
        return document
    if not config.args.name and not config.args.value:
        raise ConfigurationFault("the plugin has no args: only its entrypoint is run")
    return document.with_args(changes.args)


def _mended(manifest: Manifest, layers: Mapping[Digest, LayerFacts]) -> tuple[list[Digest], tuple[Descriptor, ...]]:
    """The digests of the uncompressed layers, and the layers under docker's types, with their sizes."""
    diff_ids, descriptors = [], []
    for number, layer in enumerate(manifest.layers, 1):
        facts = layers.get(layer.digest)
        if facts is None or facts.diff_id is None:
            why = "is not here" if facts is None or facts.problem is None else facts.problem.value
            raise ManifestInvalid(f"layer {number} {why}, and cannot be mended: create the plugin again and push that")
        kind = media_types.DOCKER_LAYER_GZIP if facts.compressed else media_types.DOCKER_LAYER
        diff_ids.append(facts.diff_id)
        descriptors.append(Descriptor(kind, layer.digest, facts.size_bytes))
    return diff_ids, tuple(descriptors)


def _mends(manifest: Manifest, descriptors: tuple[Descriptor, ...]) -> Iterator[str]:
    """Yield what must be different in the manifest, one line each."""
    if manifest.media_type != media_types.DOCKER_MANIFEST:
        yield f"manifest: {manifest.media_type} -> {media_types.DOCKER_MANIFEST}"
    elif parse_json_object(manifest.content).get("mediaType") is None:
        yield "manifest: says its mediaType"
    for number, (before, after) in enumerate(zip(manifest.layers, descriptors, strict=True), 1):
        if before.media_type != after.media_type:
            yield f"layer {number}: {_legible(before.media_type)} -> {after.media_type}"


def _differences(before: PluginConfig, after: PluginConfig) -> Iterator[str]:
    for env, now in zip(before.env, after.env, strict=True):
        if env != now:
            yield f"env {_legible(env.name)}: {_shown(env.value)} -> {_shown(now.value)}"
    for mount, bound in zip(before.mounts, after.mounts, strict=True):
        if mount != bound:
            yield f"mount {_legible(mount.name or mount.destination)}: {_shown(mount.source)} -> {_shown(bound.source)}"
    for device, opened in zip(before.devices, after.devices, strict=True):
        if device != opened:
            yield f"device {_legible(device.name or device.path or '')}: {_shown(device.path)} -> {_shown(opened.path)}"
    if before.args != after.args:
        yield f"args: {_shown(before.args.value)} -> {_shown(after.args.value)}"
    if before.diff_ids != after.diff_ids:
        yield "diff_ids: those of the uncompressed layers"


def _with_config(manifest: Manifest, config: bytes) -> Manifest:
    """The same manifest around another configuration."""
    body = parse_json_object(manifest.content)
    body["config"] = {**body["config"], "digest": str(Digest.of(config)), "size": len(config)}
    return Manifest.parse(canonical_json(body, "manifest"), manifest.media_type)


def _shown(value: object) -> str:
    return "unset" if value is None else _legible(json.dumps(value, ensure_ascii=False))


def _legible(text: str) -> str:
    return escaped(text, 200)
