"""What is found out about manifests and layers of plugins, in words.

Measured on engines 1.13 to 28, read in the source of all. Those about configs and root filesystems stand in
:mod:`mirror.plugin.known_config_findings` and :mod:`mirror.plugin.known_rootfs_findings`.
"""

from __future__ import annotations

from mirror.plugin.findings import Finding, Severity, shown
from mirror.plugin.layer_facts import LayerProblem

_EMPTY = "it installs without an error, and its root filesystem is empty"
_AGAIN = "create the plugin again and push that"
_DERIVE = "'plugin-mirror derive REF NAME --fix' makes a copy that"
_LET_IN = "let it in by the setting server.plugin_checks: warn"
_TRAP = (
    "a failed 'docker plugin create' leaves its beginning in plugins/storage/ingest of the engine's data root, and the "
    "next one goes on from it: remove the plugin and that folder, create the plugin again and push that"
)
_MENDED = {
    LayerProblem.ZSTD: "compress it with gzip",
    LayerProblem.ENTRY_TYPE: "write the tar with files, folders, links, devices and pipes only, no sparse files",
}
_LIMITS = {
    LayerProblem.TOO_LARGE: "raise server.limits.unpacked_layer_bytes",
    LayerProblem.TOO_DENSE: "raise server.limits.unpacked_ratio",
    LayerProblem.PLUGIN_TOO_LARGE: "raise server.limits.unpacked_plugin_bytes",
}


def ambiguous(why: str) -> Finding:
    """A manifest that engines may read in another way than it looks. `why` follows "the manifest"."""
    return Finding(
        "manifest-ambiguous",
        Severity.ERROR,
        f"the manifest {why}",
        "all",
        "engines differ in what they install, and it may not be what was looked at: it is never given out",
        "push a manifest that a builder made: each member once, in its own spelling, with one config and its layers",
    )


def layers_missing() -> Finding:
    """No, or null, ``layers``."""
    return Finding(
        "layers-missing",
        Severity.ERROR,
        "the plugin has no layers",
        "since 20.10",
        _EMPTY,
        "engines since 20.10 push this for a plugin that was installed, not created, once any plugin has been removed: "
        "push it from the host where it was created, or copy it from registry to registry ('plugin-mirror sync')",
    )


def files_missing() -> Finding:
    """Layers without a single entry."""
    return Finding("files-missing", Severity.ERROR, "the plugin's layers hold no files", "all", _EMPTY, _AGAIN)


def layer_type(number: int, media_type: str) -> Finding:
    """A type that engines pass over."""
    zstd = "compress it with gzip" if media_type.endswith("zstd") else "engines take tar and tar.gzip"
    return Finding(
        "layer-type",
        Severity.ERROR,
        f"layer {number} is of type {shown(media_type)}, which engines pass over",
        "since 20.10",
        _EMPTY,
        f"{zstd}: use application/vnd.docker.image.rootfs.diff.tar.gzip",
    )


def layer_unreadable(number: int, problem: LayerProblem) -> Finding:
    """A layer that is not one whole tar in gzip."""
    if problem.is_limit:
        return Finding(
            "layer-too-large",
            Severity.ERROR,
            f"layer {number} {problem.value}",
            "all",
            "unknown, since it was not read to its end",
            f"if it is meant to be so, {_LIMITS.get(problem, _LET_IN)}",
        )
    return Finding(
        "layer-unreadable",
        Severity.ERROR,
        f"layer {number} {problem.value}",
        "all",
        "some unpack what stands before, others fail" if problem.is_trailing else "the install fails as it unpacks it",
        _MENDED.get(problem, _TRAP),
    )


def layer_uncompressed(number: int) -> Finding:
    """A plain tar under a type that says gzip."""
    return Finding(
        "layer-uncompressed",
        Severity.ERROR,
        f"layer {number} is not compressed, and its type says that it is",
        "all",
        "engines look at the bytes and take it, other clients do not",
        f"compress it with gzip; or {_DERIVE} says what it is",
    )


def layer_elsewhere(number: int) -> Finding:
    """A layer with URLs, which is not in the repository."""
    return Finding(
        "layer-elsewhere",
        Severity.WARNING,
        f"layer {number} is not here but at the URLs that the manifest gives",
        "all",
        "it installs only where those can be reached",
        "push the layer, and a manifest without URLs",
    )


def withheld(why: str) -> Finding:
    """A plugin that the mirror does not give out, whatever its rules say. `why` is a sentence."""
    return Finding(
        "plugin-withheld",
        Severity.ERROR,
        f"the mirror does not give it out: {why}",
        "all",
        "the install ends with 403 and that message",
        "push the layer that is missing; of a plugin that was rejected, ask who did that",
    )


def size_wrong(what: str, said_bytes: int, size_bytes: int) -> Finding:
    """A descriptor that gives another size than its blob has."""
    return Finding(
        "size-wrong",
        Severity.ERROR,
        f"{what} has {size_bytes} bytes, and the manifest says {said_bytes}",
        "since 20.10",
        "the download fails: 'unexpected EOF', or a size that does not match",
        "push a manifest with the right size; what pushed this one, or a proxy on its way, miscounts",
    )


def config_unreadable(why: str) -> Finding:
    """A config that no engine parses."""
    return Finding(
        "config-unreadable",
        Severity.ERROR,
        f"the plugin's config cannot be read: {shown(why)}",
        "all",
        "the install fails: 'failed to parse config'",
        "mend config.json and create the plugin again",
    )


def several_layers(count: int) -> Finding:
    """More than one layer."""
    return Finding(
        "several-layers",
        Severity.WARNING,
        f"the plugin has {count} layers",
        "since 20.10",
        "they are unpacked all at once: where they hold the same file, chance decides",
        "flatten them into one",
    )


def oci_layer_type(number: int) -> Finding:
    """An OCI layer type in a docker manifest."""
    return Finding(
        "layer-type-mixed",
        Severity.WARNING,
        f"layer {number} is of an OCI type, in a docker manifest",
        "none",
        "engines take it, other clients may not",
        f"{_DERIVE} uses application/vnd.docker.image.rootfs.diff.tar.gzip",
    )


def oci_manifest() -> Finding:
    """A plugin in an OCI manifest."""
    return Finding(
        "manifest-oci",
        Severity.WARNING,
        "the manifest is an OCI one",
        "before 18.06",
        "missing signature key",
        f"{_DERIVE} has a docker manifest (schema 2)",
    )


def media_type_missing() -> Finding:
    """A schema 2 manifest that does not name its type."""
    return Finding(
        "media-type-missing",
        Severity.WARNING,
        "the manifest does not hold its mediaType",
        "19.03",
        "mediaType in manifest should be 'application/vnd.docker.distribution.manifest.v2+json' not ''",
        f"{_DERIVE} has it",
    )


def diff_ids_compressed() -> Finding:
    """The digests of the layers as they are, which every engine since 20.10 writes (moby issue 42191)."""
    return Finding(
        "diff-ids-compressed",
        Severity.WARNING,
        "diff_ids are of the compressed layers",
        "up to 19.03",
        "layers from manifest don't match image configuration",
        f"every engine since 20.10 creates plugins so; {_DERIVE} old ones take",
    )


def diff_ids_wrong() -> Finding:
    """Digests of something else, or none."""
    return Finding(
        "diff-ids-wrong",
        Severity.WARNING,
        "diff_ids are not the digests of the uncompressed layers",
        "up to 19.03",
        "layers from manifest don't match image configuration",
        f"{_DERIVE} has the right ones",
    )


def index() -> Finding:
    """An index of plugins."""
    return Finding(
        "index",
        Severity.WARNING,
        "plugins under an index",
        "since 20.10",
        "did not find plugin config for specified reference",
        "give each platform a tag of its own",
    )
