"""Content for tests, and short ways to push it and to read it back."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any
from weakref import WeakKeyDictionary

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.media_types import DOCKER_LAYER_GZIP, DOCKER_MANIFEST, DOCKER_PLUGIN_CONFIG, OCI_INDEX
from mirror.registry.port import Registry
from mirror.registry.streams import single_chunk
from mirror.registry.upload import Upload
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.ranges import RangeRequest
from tests.support.waiting import until

REPOSITORY = Repository("contiv/v2plugin")
OTHER = Repository("other/plugin")
#: Number of uploads that the server of a remote registry is receiving.
RECEIVING: WeakKeyDictionary[Registry, Callable[[], int]] = WeakKeyDictionary()
ABSENT = Digest.of(b"nobody has ever pushed this")


async def in_chunks(content: bytes, size_bytes: int) -> AsyncIterator[bytes]:
    """Yield the content in chunks of a size."""
    for start in range(0, len(content), size_bytes):
        yield content[start : start + size_bytes]


async def push_blob(
    registry: Registry, content: bytes, repository: Repository = REPOSITORY, algorithm: str = "sha256"
) -> Descriptor:
    """Push a blob in one piece."""
    upload = await registry.begin_upload(repository)
    await upload.append(single_chunk(content))
    return await upload.commit(Digest.of(content, algorithm))


async def read_blob(
    registry: Registry, digest: Digest, repository: Repository = REPOSITORY, part: RangeRequest | None = None
) -> bytes:
    """Read a blob to its end."""
    async with registry.open_blob(repository, digest, part) as blob:
        content = b"".join([chunk async for chunk in blob])
        assert len(content) == blob.span.size_bytes
        return content


def is_remote(registry: Registry) -> bool:
    """Return True if bytes travel to the registry over a network. Bytes under way are lost when a connection breaks."""
    return isinstance(registry, UpstreamRegistry)


async def settled(registry: Registry, upload_id: str, repository: Repository = REPOSITORY) -> Upload:
    """Return an upload session that was broken off, as soon as no more bytes can arrive in the session."""
    upload = await registry.resume_upload(repository, upload_id)
    receiving = RECEIVING.get(registry, int)
    while is_remote(registry):
        before = upload.offset
        # The server runs in the same event loop. So the server reads what is in its sockets before it answers the
        # request below.
        await until(lambda: not receiving())
        upload = await registry.resume_upload(repository, upload_id)
        if upload.offset == before and not receiving():
            break
    return upload


def manifest_of(
    body: dict[str, Any], media_type: str = media_types.OCI_MANIFEST, algorithm: str = "sha256"
) -> Manifest:
    """Return a manifest with this body."""
    content = json.dumps({"schemaVersion": 2, "mediaType": media_type, **body}).encode()
    return Manifest.parse(content, media_type, Digest.of(content, algorithm))


async def push_image(
    registry: Registry,
    name: str,
    *tags: str,
    repository: Repository = REPOSITORY,
    algorithm: str = "sha256",
    **body: Any,
) -> Manifest:
    """Push an image whose content depends on ``name``; ``body`` adds to its manifest."""
    config = await push_blob(registry, json.dumps({"name": name}).encode(), repository)
    layer = await push_blob(registry, b"layer of " + name.encode(), repository)
    pushed = manifest_of({"config": config.to_json(), "layers": [layer.to_json()], **body}, algorithm=algorithm)
    await registry.put_manifest(repository, pushed, [Tag(tag) for tag in tags])
    return pushed


async def push_golden(registry: Registry, tag: str) -> Manifest:
    """Push a plugin as a legacy engine does: indented by three spaces, no newline at the end, 519 bytes."""
    config = await push_blob(registry, json.dumps({"Description": "x" * 1200}).encode())
    layer = await push_blob(registry, random.Random(519).randbytes(1_000_003))
    content = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media_types.DOCKER_MANIFEST,
            "config": {
                "mediaType": media_types.DOCKER_PLUGIN_CONFIG,
                "size": config.size_bytes,
                "digest": str(config.digest),
            },
            "layers": [
                {
                    "mediaType": media_types.DOCKER_LAYER_GZIP,
                    "size": layer.size_bytes,
                    "digest": str(layer.digest),
                }
            ],
        },
        indent=3,
    ).encode()
    assert len(content) == 519
    pushed = Manifest.parse(content, media_types.DOCKER_MANIFEST)
    await registry.put_manifest(REPOSITORY, pushed, [Tag(tag)])
    return pushed


def described(media_type: str, content: bytes, size_bytes: int | None = None) -> Descriptor:
    return Descriptor(media_type, Digest.of(content), len(content) if size_bytes is None else size_bytes)


def plugin(config: bytes, *layers: bytes, layer_size_bytes: int | None = None) -> Manifest:
    """Return a plugin's manifest. ``layer_size_bytes`` replaces the true sizes of its layers."""
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
    """Store blobs and manifests. The last manifest gets the tags."""
    for blob in blobs:
        upload = await registry.begin_upload(repository)
        await upload.append(single_chunk(blob))
        await upload.commit(Digest.of(blob))
    for manifest in manifests:
        last = manifest is list(manifests)[-1]
        await registry.put_manifest(repository, manifest, [Tag(tag) for tag in tags] if last else [])
