"""Table of findings about manifests and layers. Measured on engines 1.13 to 28, and read in the source of all."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.findings.finding import Finding
from mirror.plugin.findings.finding_kind import error, refusal, warning
from mirror.plugin.rootfs.layer_facts import LayerProblem

_EMPTY: Final = "the install succeeds, but the root filesystem is empty"
_DERIVE: Final = "'plugin-mirror derive REF NAME --fix' makes a copy that"
_LET_IN: Final = "accept the plugin with the setting server.plugin_checks: warn"
# Engines since 20.10 resume an upload to their content store by its name, even after a failure.
_TRAP: Final = (
    "remove the plugin and the folder plugins/storage/ingest of the engine's data root, create the plugin again and "
    "push it: a failed 'docker plugin create' leaves partial data in that folder, and the next create continues it"
)
_REMEDIES: Final = {
    LayerProblem.ZSTD: "compress it with gzip",
    LayerProblem.ENTRY_TYPE: "make a tar of only files, folders, links, devices and pipes, without sparse files",
    LayerProblem.TOO_LARGE: "raise server.limits.unpacked_layer_bytes",
    LayerProblem.TOO_DENSE: "raise server.limits.unpacked_ratio",
    LayerProblem.PLUGIN_TOO_LARGE: "raise server.limits.unpacked_plugin_bytes",
}

MANIFEST_AMBIGUOUS: Final = refusal(
    code="manifest-ambiguous",
    text="the manifest {ambiguity}",
    seen="engines differ in the content that they install, so the mirror never serves this manifest",
    fix="push a manifest from a builder: each member once, in its standard spelling, with one config and its layers",
    own_words=frozenset({"ambiguity"}),
)
LAYERS_MISSING: Final = refusal(
    code="layers-missing",
    text="the plugin has no layers",
    engines="since 20.10",
    seen=_EMPTY,
    fix="push the plugin from the host that created it, or copy it from registry to registry ('plugin-mirror sync'): "
    "engines since 20.10 push such a manifest for an installed plugin after any plugin was removed",
)
FILES_MISSING: Final = refusal(
    code="files-missing",
    text="the plugin's layers hold no files",
    seen=_EMPTY,
    fix="create the plugin again and push it",
)
LAYER_TYPE: Final = refusal(
    code="layer-type",
    text="layer {number} has the type {media_type}, which engines ignore",
    engines="since 20.10",
    seen=_EMPTY,
    fix="use a type that engines unpack, such as application/vnd.docker.image.rootfs.diff.tar.gzip",
)
LAYER_TYPE_ZSTD: Final = replace(
    LAYER_TYPE, fix="compress the layer with gzip, with the type application/vnd.docker.image.rootfs.diff.tar.gzip"
)
LAYER_TOO_LARGE: Final = refusal(
    code="layer-too-large",
    text="layer {number} {problem}",
    seen="unknown, because the layer was not read to its end",
    fix="if this is intended, {remedy}",
    own_words=frozenset({"remedy"}),
)
LAYER_UNREADABLE: Final = refusal(
    code="layer-unreadable",
    text="layer {number} {problem}",
    seen="the install fails while unpacking the layer",
    fix="{remedy}",
    own_words=frozenset({"remedy"}),
)
LAYER_TRAILING: Final = replace(LAYER_UNREADABLE, seen="some unpack the part before the other data, others fail")
LAYER_UNCOMPRESSED: Final = refusal(
    code="layer-uncompressed",
    text="layer {number} is not compressed, but its type is for compressed layers",
    seen="engines look at the bytes and accept the layer, other clients do not",
    fix=f"compress the layer with gzip; or {_DERIVE} has the right type",
)
LAYER_ELSEWHERE: Final = warning(
    code="layer-elsewhere",
    text="layer {number} is not stored here, only at the URLs in the manifest",
    seen="the plugin installs only on hosts that can reach these URLs",
    fix="push the layer, and a manifest without URLs",
)
PLUGIN_WITHHELD: Final = error(
    code="plugin-withheld",
    text="the mirror does not serve the plugin: {reason}",
    seen="the install fails with 403 and this message",
    fix="push the missing layer; for a rejected plugin, ask the person who rejected it",
    own_words=frozenset({"reason"}),
)
SIZE_WRONG: Final = refusal(
    code="size-wrong",
    text="{blob} has {size_bytes} bytes, and the manifest says {said_bytes}",
    engines="since 20.10",
    seen="the download fails with 'unexpected EOF' or a size mismatch",
    fix="push a manifest with the right size; the client that pushed this one, or a proxy in between, counts wrongly",
)
CONFIG_UNREADABLE: Final = refusal(
    code="config-unreadable",
    text="the plugin's config cannot be read: {reason}",
    seen="the install fails: 'failed to parse config'",
    fix="fix config.json and create the plugin again",
)
SEVERAL_LAYERS: Final = warning(
    code="several-layers",
    text="the plugin has {count} layers",
    engines="since 20.10",
    seen="the layers are unpacked in parallel: if two hold the same file, either may win",
    fix="merge the layers into one",
)
LAYER_TYPE_MIXED: Final = warning(
    code="layer-type-mixed",
    text="layer {number} has an OCI type in a docker manifest",
    engines="none",
    seen="engines accept the layer, other clients may not",
    fix=f"{_DERIVE} uses application/vnd.docker.image.rootfs.diff.tar.gzip",
)
MANIFEST_OCI: Final = warning(
    code="manifest-oci",
    text="the manifest is an OCI manifest",
    engines="before 18.06",
    seen="missing signature key",
    fix=f"{_DERIVE} has a docker manifest (schema 2)",
    keeps_out=True,
)
MEDIA_TYPE_MISSING: Final = warning(
    code="media-type-missing",
    text="the manifest has no mediaType",
    engines="19.03",
    seen="mediaType in manifest should be 'application/vnd.docker.distribution.manifest.v2+json' not ''",
    fix=f"{_DERIVE} has it",
    keeps_out=True,
)
# Every engine since 20.10 writes the digests of the compressed layers (moby issue 42191).
DIFF_IDS_COMPRESSED: Final = warning(
    code="diff-ids-compressed",
    text="diff_ids are the digests of the compressed layers",
    engines="up to 19.03",
    seen="layers from manifest don't match image configuration",
    fix=f"every engine since 20.10 creates such plugins; {_DERIVE} older engines accept",
    keeps_out=True,
)
DIFF_IDS_WRONG: Final = warning(
    code="diff-ids-wrong",
    text="diff_ids are not the digests of the uncompressed layers",
    engines="up to 19.03",
    seen="layers from manifest don't match image configuration",
    fix=f"{_DERIVE} has the right digests",
    keeps_out=True,
)
INDEX: Final = warning(
    code="index",
    text="the manifest is an index of plugins",
    engines="since 20.10",
    seen="did not find plugin config for specified reference",
    fix="give each platform a tag of its own",
    keeps_out=True,
)


def layer_problem(number: int, problem: LayerProblem) -> Finding:
    """Return the finding about a layer that engines cannot unpack, or that was not read to its end.

    Args:
        number: number of the layer, from 1.
        problem: reason why the layer cannot be unpacked, or was not read to its end.
    """
    if problem.is_limit:
        return LAYER_TOO_LARGE(number=number, problem=problem.value, remedy=_REMEDIES.get(problem, _LET_IN))
    kind = LAYER_TRAILING if problem.is_trailing else LAYER_UNREADABLE
    return kind(number=number, problem=problem.value, remedy=_REMEDIES.get(problem, _TRAP))
