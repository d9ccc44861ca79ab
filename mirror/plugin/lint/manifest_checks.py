"""Checks of a plugin's manifest, config blob and layers for engines from 1.13 to 29. Pure decisions.

Engines since 20.10 refuse manifests of more than 4 393 216 bytes. No check is needed here, because
:mod:`mirror.oci.manifest` accepts at most 4 194 304 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from mirror.oci import Descriptor, Digest, Manifest, media_types
from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import parse_json_object
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.findings import manifest_findings as table
from mirror.plugin.findings.finding import Finding
from mirror.plugin.rootfs.layer_facts import LayerFacts

_OCI_LAYER_TYPES: Final = frozenset({media_types.OCI_LAYER_GZIP, media_types.OCI_LAYER})
_GZIP_LAYER_TYPES: Final = frozenset({media_types.DOCKER_LAYER_GZIP, media_types.OCI_LAYER_GZIP})


def check_plugin(
    manifest: Manifest, config_bytes: int, config: bytes | None, layers: Mapping[Digest, LayerFacts] | None
) -> tuple[Finding, ...]:
    """List the findings about the packing of a plugin, one of each kind.

    Args:
        manifest: manifest of the plugin.
        config_bytes: size of the config blob.
        config: content of the config; None if larger than the limit for reading.
        layers: facts by digest, of the layers that are stored here; None if no layer was read, which skips all checks
            of layers.
    """
    found = [*_check_manifest(manifest)]
    if manifest.config is not None and manifest.config.size_bytes != config_bytes:
        found.append(_size_wrong("the config", manifest.config, config_bytes))
    parsed = _parsed(config)
    if isinstance(parsed, str):
        found.append(table.CONFIG_UNREADABLE(reason=parsed))
    if layers is not None:
        found += _check_layers(manifest, parsed, layers)
    # One finding of each kind: a manifest may name ten thousand layers.
    first: dict[str, Finding] = {}
    for finding in found:
        first.setdefault(finding.code, finding)
    return tuple(first.values())


def check_index(members: Iterable[Manifest]) -> tuple[Finding, ...]:
    """List the findings about an index of these manifests."""
    return (table.INDEX(),) if any(member.is_plugin for member in members) else ()


def _parsed(config: bytes | None) -> PluginConfig | str:
    """Return the configuration, or the reason why there is none."""
    if config is None:
        return f"it has more than {MAX_CONFIG_BYTES} bytes"
    try:
        return PluginConfig.parse(config)
    except ManifestInvalid as error:
        return error.message


def _check_manifest(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings about the manifest alone."""
    if manifest.ambiguity is not None:
        yield table.MANIFEST_AMBIGUOUS(ambiguity=manifest.ambiguity)
    if not manifest.layers:
        yield table.LAYERS_MISSING()
    for number, layer in enumerate(manifest.layers, 1):
        if layer.media_type not in media_types.PLUGIN_LAYERS:
            kind = table.LAYER_TYPE_ZSTD if layer.media_type.endswith("zstd") else table.LAYER_TYPE
            yield kind(number=number, media_type=layer.media_type)
        elif layer.media_type in _OCI_LAYER_TYPES and manifest.media_type == media_types.DOCKER_MANIFEST:
            yield table.LAYER_TYPE_MIXED(number=number)
    if len(manifest.layers) > 1:
        yield table.SEVERAL_LAYERS(count=len(manifest.layers))
    if manifest.media_type == media_types.OCI_MANIFEST:
        yield table.MANIFEST_OCI()
    elif parse_json_object(manifest.content).get("mediaType") is None:
        yield table.MEDIA_TYPE_MISSING()


def _check_layers(
    manifest: Manifest, config: PluginConfig | str, layers: Mapping[Digest, LayerFacts]
) -> Iterator[Finding]:
    """Yield findings about the layers. Their digests are compared only if all layers were read to their end."""
    for number, layer in enumerate(manifest.layers, 1):
        facts = layers.get(layer.digest)
        if facts is None:
            yield table.LAYER_ELSEWHERE(number=number)
        else:
            yield from _check_layer(number, layer, facts)
    read = [layers.get(layer.digest) for layer in manifest.layers]
    # With one layer unread, nobody knows whether the plugin holds files, or its digests.
    if not read or any(facts is None or facts.problem for facts in read):
        return
    whole = [facts for facts in read if facts is not None]
    if not any(facts.entries for facts in whole):
        yield table.FILES_MISSING()
    if isinstance(config, PluginConfig):
        yield from _check_diff_ids(config, manifest.layers, whole)


def _check_layer(number: int, layer: Descriptor, facts: LayerFacts) -> Iterator[Finding]:
    """Yield findings about one layer."""
    if layer.size_bytes != facts.size_bytes:
        yield _size_wrong(f"layer {number}", layer, facts.size_bytes)
    if facts.problem is not None:
        yield table.layer_problem(number, facts.problem)
    elif layer.media_type in _GZIP_LAYER_TYPES and not facts.compressed:
        yield table.LAYER_UNCOMPRESSED(number=number)


def _size_wrong(blob: str, said: Descriptor, size_bytes: int) -> Finding:
    """Return the finding about a blob whose size differs from its descriptor."""
    return table.SIZE_WRONG(blob=blob, size_bytes=size_bytes, said_bytes=said.size_bytes)


def _check_diff_ids(
    config: PluginConfig, layers: Sequence[Descriptor], facts: Sequence[LayerFacts]
) -> Iterator[Finding]:
    """Yield a finding if ``diff_ids`` of the config differ from the digests of the uncompressed layers."""
    if config.diff_ids == tuple(str(one.diff_id) for one in facts):
        return
    if config.diff_ids == tuple(str(layer.digest) for layer in layers):
        yield table.DIFF_IDS_COMPRESSED()
    else:
        yield table.DIFF_IDS_WRONG()
