"""Media types of manifests, configs and layers (OCI image-spec, distribution schema 2, Docker plugins)."""

from __future__ import annotations

from typing import Final

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_IMAGE_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_PLUGIN_CONFIG: Final = "application/vnd.docker.plugin.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_FOREIGN: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_IMAGE_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_NONDISTRIBUTABLE_PREFIX: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar"

OCTET_STREAM: Final = "application/octet-stream"

#: Media types of indexes, whose members are manifests, or blobs of any other media type.
INDEXES: Final = frozenset({DOCKER_MANIFEST_LIST, OCI_INDEX})
#: Supported media types of manifests, in the order of the ``Accept`` header that upstreams get.
MANIFESTS: Final = (DOCKER_MANIFEST, OCI_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX)
#: Layer types of a plugin that engines since 20.10 unpack. Engines silently skip layers of any other type.
PLUGIN_LAYERS: Final = frozenset({DOCKER_LAYER_GZIP, DOCKER_LAYER, OCI_LAYER_GZIP, OCI_LAYER})
_KINDS: Final = {DOCKER_PLUGIN_CONFIG: "plugin", DOCKER_IMAGE_CONFIG: "image", OCI_IMAGE_CONFIG: "image"}


def kind_of_content(config: str | None) -> str:
    """Return ``plugin``, ``image``, ``artifact`` or ``index`` for the media type of a config; None for an index."""
    return "index" if config is None else _KINDS.get(config, "artifact")


def essence(content_type: str) -> str:
    """Return a ``Content-Type`` in lower case without parameters: ``"a/b"`` for ``"A/B; charset=x"``."""
    return content_type.partition(";")[0].strip().lower()


def is_manifest(media_type: str) -> bool:
    """Return True if content of this media type is a manifest, and False if it is a blob."""
    return essence(media_type) in MANIFESTS


def is_foreign_layer(media_type: str) -> bool:
    """Return True if blobs of this media type may be stored elsewhere only, and need not be pushed."""
    return media_type == DOCKER_LAYER_FOREIGN or media_type.startswith(OCI_LAYER_NONDISTRIBUTABLE_PREFIX)
