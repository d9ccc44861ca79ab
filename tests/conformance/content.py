"""Content to push: blobs, images, indexes, artifacts."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"

ALGORITHMS = ("sha256", "sha512")
_numbers = itertools.count()


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def fresh(size_bytes: int = 1000) -> bytes:
    """Return bytes that no other call returns."""
    seed = next(_numbers).to_bytes(8, "big")
    return hashlib.shake_256(seed).digest(size_bytes)


def encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def descriptor(media_type: str, content: bytes, algorithm: str = "sha256", **members: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content, algorithm), "size": len(content), **members}


def image(config: bytes, /, *layers: bytes, algorithm: str = "sha256", **members: Any) -> bytes:
    """Return an OCI image manifest. ``members`` are added to it, or replace its members."""
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": descriptor(CONFIG, config, algorithm),
            "layers": [descriptor(LAYER, layer, algorithm) for layer in layers],
            **members,
        }
    )


def index(*manifests: bytes, algorithm: str = "sha256", **members: Any) -> bytes:
    """Return an OCI index of images. ``members`` are added to it, or replace its members."""
    listed = [descriptor(IMAGE, manifest, algorithm) for manifest in manifests]
    return encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed, **members})


def artifact(artifact_type: str | None = None, **members: Any) -> bytes:
    """Return an image manifest with the empty config, as artifacts have. Its config is ``b"{}"``."""
    typed = {} if artifact_type is None else {"artifactType": artifact_type}
    return image(b"{}", config=descriptor(EMPTY, b"{}"), **typed, **members)
