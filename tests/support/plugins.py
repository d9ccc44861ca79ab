"""Plugins in a registry, for tests."""

from __future__ import annotations

import json
from typing import Any

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.registry.port import Registry
from mirror.registry.streams import single_chunk
from tests.support.layers import entry, tar, zipped
from tests.support.rootfs import SOCKET, elf

NAME, TAG = Repository("acme/driver"), Tag("1.0")

CONFIG: dict[str, Any] = {
    "Description": "volumes",
    "Entrypoint": ["/bin/driver"],
    "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": SOCKET},
    "Env": [{"Name": "DEBUG", "Value": "0", "Settable": ["value"]}],
}
DRIVER = elf() + SOCKET.encode()
LAYER = zipped(tar(entry("bin/driver", DRIVER, mode=0o755)))


async def put_blob(registry: Registry, content: bytes, media_type: str) -> Descriptor:
    """Store a blob. Returns its descriptor."""
    upload = await registry.begin_upload(NAME)
    await upload.append(single_chunk(content))
    held = await upload.commit(Digest.of(content))
    return Descriptor(media_type, held.digest, held.size_bytes)


async def put_plugin(
    registry: Registry, config: dict[str, Any] | None = None, *layers: bytes, tag: Tag = TAG, **more: Any
) -> Manifest:
    """Store a plugin. Its diff_ids are correct for the default layer. ``more`` adds members to the manifest."""
    whole = {**CONFIG, **(config or {})}
    described = await put_blob(registry, json.dumps(whole).encode(), media_types.DOCKER_PLUGIN_CONFIG)
    held = [await put_blob(registry, layer, media_types.DOCKER_LAYER_GZIP) for layer in layers or (LAYER,)]
    body = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": described.to_json(),
        "layers": [layer.to_json() for layer in held],
        **more,
    }
    manifest = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    await registry.put_manifest(NAME, manifest, [tag])
    return manifest
