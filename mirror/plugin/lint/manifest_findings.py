"""The table of findings about manifests and layers. Measured on engines 1.13 to 28, read in the source of all."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.lint.finding_kind import error, warning
from mirror.plugin.lint.findings import Finding
from mirror.plugin.rootfs.layer_facts import LayerProblem

_EMPTY: Final = "it installs without an error, and its root filesystem is empty"
_DERIVE: Final = "'plugin-mirror derive REF NAME --fix' makes a copy that"
_LET_IN: Final = "let it in by the setting server.plugin_checks: warn"
_TRAP: Final = (
    "a failed 'docker plugin create' leaves its beginning in plugins/storage/ingest of the engine's data root, and the "
    "next one goes on from it: remove the plugin and that folder, create the plugin again and push that"
)
_REMEDIES: Final = {
    LayerProblem.ZSTD: "compress it with gzip",
    LayerProblem.ENTRY_TYPE: "write the tar with files, folders, links, devices and pipes only, no sparse files",
    LayerProblem.TOO_LARGE: "raise server.limits.unpacked_layer_bytes",
    LayerProblem.TOO_DENSE: "raise server.limits.unpacked_ratio",
    LayerProblem.PLUGIN_TOO_LARGE: "raise server.limits.unpacked_plugin_bytes",
}

MANIFEST_AMBIGUOUS: Final = error(
    code="manifest-ambiguous",
    text="the manifest {ambiguity}",
    seen="engines differ in what they install, and it may not be what was looked at: it is never given out",
    fix="push a manifest that a builder made: each member once, in its own spelling, with one config and its layers",
    own_words=frozenset({"ambiguity"}),
)
LAYERS_MISSING: Final = error(
    code="layers-missing",
    text="the plugin has no layers",
    engines="since 20.10",
    seen=_EMPTY,
    fix="engines since 20.10 push this for a plugin that was installed, not created, once any plugin has been removed: "
    "push it from the host where it was created, or copy it from registry to registry ('plugin-mirror sync')",
)
FILES_MISSING: Final = error(
    code="files-missing",
    text="the plugin's layers hold no files",
    seen=_EMPTY,
    fix="create the plugin again and push that",
)
LAYER_TYPE: Final = error(
    code="layer-type",
    text="layer {number} is of type {media_type}, which engines pass over",
    engines="since 20.10",
    seen=_EMPTY,
    fix="engines take tar and tar.gzip: use application/vnd.docker.image.rootfs.diff.tar.gzip",
)
LAYER_TYPE_ZSTD: Final = replace(
    LAYER_TYPE, fix="compress it with gzip: use application/vnd.docker.image.rootfs.diff.tar.gzip"
)
LAYER_TOO_LARGE: Final = error(
    code="layer-too-large",
    text="layer {number} {problem}",
    seen="unknown, since it was not read to its end",
    fix="if it is meant to be so, {remedy}",
    own_words=frozenset({"remedy"}),
)
LAYER_UNREADABLE: Final = error(
    code="layer-unreadable",
    text="layer {number} {problem}",
    seen="the install fails as it unpacks it",
    fix="{remedy}",
    own_words=frozenset({"remedy"}),
)
LAYER_TRAILING: Final = replace(LAYER_UNREADABLE, seen="some unpack what stands before, others fail")
LAYER_UNCOMPRESSED: Final = error(
    code="layer-uncompressed",
    text="layer {number} is not compressed, and its type says that it is",
    seen="engines look at the bytes and take it, other clients do not",
    fix=f"compress it with gzip; or {_DERIVE} says what it is",
)
LAYER_ELSEWHERE: Final = warning(
    code="layer-elsewhere",
    text="layer {number} is not here but at the URLs that the manifest gives",
    seen="it installs only where those can be reached",
    fix="push the layer, and a manifest without URLs",
)
PLUGIN_WITHHELD: Final = error(
    code="plugin-withheld",
    text="the mirror does not give it out: {reason}",
    seen="the install ends with 403 and that message",
    fix="push the layer that is missing; of a plugin that was rejected, ask who did that",
    own_words=frozenset({"reason"}),
)
SIZE_WRONG: Final = error(
    code="size-wrong",
    text="{blob} has {size_bytes} bytes, and the manifest says {said_bytes}",
    engines="since 20.10",
    seen="the download fails: 'unexpected EOF', or a size that does not match",
    fix="push a manifest with the right size; what pushed this one, or a proxy on its way, miscounts",
)
CONFIG_UNREADABLE: Final = error(
    code="config-unreadable",
    text="the plugin's config cannot be read: {reason}",
    seen="the install fails: 'failed to parse config'",
    fix="mend config.json and create the plugin again",
)
SEVERAL_LAYERS: Final = warning(
    code="several-layers",
    text="the plugin has {count} layers",
    engines="since 20.10",
    seen="they are unpacked all at once: where they hold the same file, chance decides",
    fix="flatten them into one",
)
LAYER_TYPE_MIXED: Final = warning(
    code="layer-type-mixed",
    text="layer {number} is of an OCI type, in a docker manifest",
    engines="none",
    seen="engines take it, other clients may not",
    fix=f"{_DERIVE} uses application/vnd.docker.image.rootfs.diff.tar.gzip",
)
MANIFEST_OCI: Final = warning(
    code="manifest-oci",
    text="the manifest is an OCI one",
    engines="before 18.06",
    seen="missing signature key",
    fix=f"{_DERIVE} has a docker manifest (schema 2)",
    keeps_out=True,
)
MEDIA_TYPE_MISSING: Final = warning(
    code="media-type-missing",
    text="the manifest does not hold its mediaType",
    engines="19.03",
    seen="mediaType in manifest should be 'application/vnd.docker.distribution.manifest.v2+json' not ''",
    fix=f"{_DERIVE} has it",
    keeps_out=True,
)
# Every engine since 20.10 writes the digests of the compressed layers (moby issue 42191).
DIFF_IDS_COMPRESSED: Final = warning(
    code="diff-ids-compressed",
    text="diff_ids are of the compressed layers",
    engines="up to 19.03",
    seen="layers from manifest don't match image configuration",
    fix=f"every engine since 20.10 creates plugins so; {_DERIVE} old ones take",
    keeps_out=True,
)
DIFF_IDS_WRONG: Final = warning(
    code="diff-ids-wrong",
    text="diff_ids are not the digests of the uncompressed layers",
    engines="up to 19.03",
    seen="layers from manifest don't match image configuration",
    fix=f"{_DERIVE} has the right ones",
    keeps_out=True,
)
INDEX: Final = warning(
    code="index",
    text="plugins under an index",
    engines="since 20.10",
    seen="did not find plugin config for specified reference",
    fix="give each platform a tag of its own",
    keeps_out=True,
)


def layer_problem(number: int, problem: LayerProblem) -> Finding:
    """Make the finding about a layer that is not one whole tar in gzip, or too large to tell.

    Args:
        number: of the layer, from 1.
        problem: why the layer cannot be unpacked, or was not read to its end.
    """
    if problem.is_limit:
        return LAYER_TOO_LARGE(number=number, problem=problem.value, remedy=_REMEDIES.get(problem, _LET_IN))
    kind = LAYER_TRAILING if problem.is_trailing else LAYER_UNREADABLE
    return kind(number=number, problem=problem.value, remedy=_REMEDIES.get(problem, _TRAP))
