"""Copies of a plugin with other defaults: the requested changes, and the resulting configuration and manifest. Pure.

The same plugin and the same changes give the same bytes, on any machine and at any time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ConfigurationFault, ManifestInvalid, Unsupported
from mirror.oci.manifest import parse_json_object
from mirror.oci.printable_text import escaped
from mirror.plugin.build.assembly import ConfigDocument, canonical_json, plugin_manifest
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.secret_values import masked, masked_text, masked_values, masked_words, without_secrets
from mirror.plugin.rootfs.layer_facts import LayerFacts

#: ``{word}`` or ``{{word}}``. Values in other braces, such as JSON and Go templates, are no placeholders.
_PLACEHOLDER: Final = re.compile(r"\{\{([A-Za-z_]+)\}\}|\{([A-Za-z_]+)\}")
#: Beginning of a line of differences, and its values in JSON. The end of a long line is cut off.
_DIFFERENCE: Final = re.compile(r"(?:env|mount|device) (.*?): ")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"?')


@dataclass(frozen=True, slots=True)
class DerivationChanges:
    """Changes of a copy compared with the original.

    Attributes:
        env: values of environment variables, by name.
        mounts: sources of mounts, by name. A mount without a name is named by its destination.
        devices: paths of devices, by name. A device without a name is named by its path.
        args: arguments after the entrypoint; None leaves them unchanged.
        fix: True to fix digests and media types, so that every engine from 1.13 on accepts the copy.

    Raises:
        ConfigurationFault: there is no change, or a value is not Unicode text.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] | None = None
    fix: bool = False

    def __post_init__(self) -> None:
        wanted = self.to_json()
        if not wanted:
            raise ConfigurationFault("there is nothing to change; fix: give env, mounts, devices, args or fix")
        try:
            json.dumps(wanted, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ConfigurationFault("a value is not Unicode text; fix: write it in UTF-8") from error

    def to_json(self) -> dict[str, Any]:
        """Return plain values without unchanged members. Equal changes have equal values."""
        given = {"env": dict(self.env), "mounts": dict(self.mounts), "devices": dict(self.devices)}
        value: dict[str, Any] = {key: values for key, values in given.items() if values}
        if self.args is not None:
            value["args"] = list(self.args)
        return value | ({"fix": True} if self.fix else {})

    def shown(self) -> dict[str, Any]:
        """Return :meth:`to_json` without secrets."""
        return {key: masked_values(value) for key, value in self.to_json().items()}

    def filled_in(self, repository: Repository, tag: Tag) -> DerivationChanges:
        """Return the changes with ``{name}`` and ``{tag}`` in values replaced by the name and tag of the copy.

        ``{{word}}`` is replaced by the text ``{word}``. All other braces stay.

        Raises:
            ConfigurationFault: a value has another word in single braces.
        """
        words = {"name": repository.name, "tag": tag.name}

        def fill(text: str) -> str:
            return _PLACEHOLDER.sub(lambda match: _filled(match, words), text)

        def each(values: Mapping[str, str]) -> dict[str, str]:
            return {key: fill(value) for key, value in values.items()}

        args = None if self.args is None else tuple(map(fill, self.args))
        return replace(self, env=each(self.env), mounts=each(self.mounts), devices=each(self.devices), args=args)

    def __str__(self) -> str:
        """Return the changes in one line without secrets: ``env role="worker", fix``."""
        kinds = (("env", self.env), ("mount", self.mounts), ("device", self.devices))
        told = [
            f"{kind} {_legible(key)}={_shown(masked(key, value))}"
            for kind, values in kinds
            for key, value in values.items()
        ]
        told += [f"args {_shown(masked_words(self.args))}"] if self.args is not None else []
        return ", ".join([*told, *(["fix"] if self.fix else [])])


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


def _filled(match: re.Match[str], words: Mapping[str, str]) -> str:
    """Return the text for a placeholder."""
    literal, word = match.groups()
    if literal is not None:
        return f"{{{literal}}}"
    if word not in words:
        known = " or ".join(f"{{{name}}}" for name in words)
        raise ConfigurationFault(
            f"{{{word}}} in a value of derive is unknown; fix: write {known}, or {{{{{word}}}}} for the text {{{word}}}"
        )
    return words[word]


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
            yield f"layer {number}: {_legible(before.media_type)} -> {after.media_type}"


def _differences(before: PluginConfig, after: PluginConfig) -> Iterator[str]:
    """Yield the differences of two configurations without secrets, one line each."""
    old, new = without_secrets(before), without_secrets(after)
    for number, (env, now) in enumerate(zip(before.env, after.env, strict=True)):
        if env != now:
            yield f"env {_legible(env.name)}: {_shown(old.env[number].value)} -> {_shown(new.env[number].value)}"
    for number, (mount, bound) in enumerate(zip(before.mounts, after.mounts, strict=True)):
        if mount != bound:
            sources = f"{_shown(old.mounts[number].source)} -> {_shown(new.mounts[number].source)}"
            yield f"mount {_legible(mount.name or mount.destination)}: {sources}"
    for device, opened in zip(before.devices, after.devices, strict=True):
        if device != opened:
            yield f"device {_legible(device.name or device.path or '')}: {_shown(device.path)} -> {_shown(opened.path)}"
    if before.args != after.args:
        yield f"args: {_shown(old.args.value)} -> {_shown(new.args.value)}"
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


def _shown(value: object) -> str:
    """Return a value as JSON for a message."""
    return "unset" if value is None else _legible(json.dumps(value, ensure_ascii=False))


def _legible(text: str) -> str:
    """Return a text of bounded length without control characters."""
    return escaped(text, 200)
