"""Small plugins and indexes, and registries that hold them."""

from __future__ import annotations

import json
from collections.abc import Collection

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.media_types import DOCKER_LAYER_GZIP, DOCKER_MANIFEST, DOCKER_PLUGIN_CONFIG, OCI_INDEX
from mirror.registry.port import Registry
from mirror.registry.streams import single_chunk


def described(media_type: str, content: bytes, size_bytes: int | None = None) -> Descriptor:
    return Descriptor(media_type, Digest.of(content), len(content) if size_bytes is None else size_bytes)


def plugin(config: bytes, *layers: bytes, layer_size_bytes: int | None = None) -> Manifest:
    """Its manifest; `layer_size_bytes` is what it says of each layer, where that is not the truth."""
    value = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": described(DOCKER_PLUGIN_CONFIG, config).to_json(),
        "layers": [described(DOCKER_LAYER_GZIP, layer, layer_size_bytes).to_json() for layer in layers],
    }
    return Manifest.parse(json.dumps(value, indent=3).encode(), DOCKER_MANIFEST)


def index(*members: Descriptor) -> Manifest:
    value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [member.to_json() for member in members]}
    return Manifest.parse(json.dumps(value).encode(), OCI_INDEX)


async def hold(
    registry: Registry,
    repository: Repository,
    blobs: Collection[bytes],
    manifests: Collection[Manifest],
    *tags: str,
) -> None:
    """Put blobs and manifests, the last of which gets the tags."""
    for blob in blobs:
        upload = await registry.begin_upload(repository)
        await upload.append(single_chunk(blob))
        await upload.commit(Digest.of(blob))
    for manifest in manifests:
        last = manifest is list(manifests)[-1]
        await registry.put_manifest(repository, manifest, [Tag(tag) for tag in tags] if last else [])
