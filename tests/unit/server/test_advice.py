"""Advice about a plugin beside or instead of a 201, with the real filter and over real HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mirror.filters.plugin_checks import PluginChecker, PluginChecks
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Digest, Manifest, media_types
from mirror.plugin.findings.finding import Finding
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Registry
from mirror.upstream.registry import UpstreamRegistry
from tests.support.layers import LAYER, TAR, entry, tar, zipped
from tests.support.served import REPOSITORY, TAG, Answer, digest, manifest_bytes, put_blob, served

URL = f"/v2/{REPOSITORY}/manifests"
TYPED = [("Content-Type", media_types.DOCKER_MANIFEST)]


def config(diff_id: str) -> bytes:
    return json.dumps({"rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode()


GOOD, COMPRESSED = config(digest(TAR)), config(digest(LAYER))


async def nowhere(_digest: Digest, _findings: tuple[Finding, ...]) -> None:
    """Discard the findings."""


def checked(*, enforce: bool = True) -> Registry:
    return PluginChecks(MemoryRegistry(), PluginChecker(nowhere, SharedLayerReader(DEFAULT_LIMITS), enforce=enforce))


async def pushed(registry: Registry, content: bytes, *layers: bytes, **members: Any) -> Answer:
    for blob in (content, *layers):
        await put_blob(registry, blob)
    manifest = json.dumps(json.loads(manifest_bytes(content, layers)) | members).encode()
    async with served(registry) as server:
        return await server.ask("PUT", f"{URL}/{TAG}", TYPED, manifest)


async def test_of_a_good_plugin_nothing_is_said() -> None:
    answer = await pushed(checked(), GOOD, LAYER)
    assert (answer.status, answer.headers.get_all("Warning")) == (201, None)


async def test_a_warning_stands_beside_the_201() -> None:
    answer = await pushed(checked(), COMPRESSED, LAYER, annotations={"a": "b"})
    assert answer.status == 201
    assert answer.headers.get_all("Warning") == [
        '299 - "diff_ids are the digests of the compressed layers '
        "(engines up to 19.03: layers from manifest don't match image configuration)\""
    ]


async def test_several_warnings_are_several_headers() -> None:
    other = zipped(tar(entry("other")))
    answer = await pushed(checked(), b"{}", LAYER, other, mediaType=None)
    assert answer.status == 201
    assert [text.partition(" (")[0] for text in answer.headers.get_all("Warning") or []] == [
        '299 - "the plugin has 2 layers',
        '299 - "the manifest has no mediaType',
        '299 - "diff_ids are not the digests of the uncompressed layers',
    ]


NO_LAYERS = "engines since 20.10 push such a manifest for an installed plugin"


@pytest.mark.parametrize(
    ("content", "layers", "members", "finding", "told"),
    [
        (GOOD, (), {"layers": None}, "layers-missing", NO_LAYERS),
        (GOOD, (), {}, "layers-missing", NO_LAYERS),
        (GOOD, (LAYER[:200] + LAYER,), {}, "layer-unreadable", "plugins/storage/ingest"),
        (b'{"Env": {}}', (LAYER,), {}, "config-unreadable", "plugin config: Env is not a list"),
    ],
)
async def test_the_400_says_what_to_do(
    content: bytes, layers: tuple[bytes, ...], members: dict[str, Any], finding: str, told: str
) -> None:
    registry = checked()
    answer = await pushed(registry, content, *layers, **members)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    (error,) = answer.json["errors"]
    assert error["message"].startswith("plugin refused: ")
    assert told in error["message"]
    assert error["detail"] == {"findings": finding}
    async with served(registry) as server:
        assert (await server.ask("GET", f"{URL}/{TAG}")).status == 404


async def test_warn_tells_the_same_beside_a_201() -> None:
    answer = await pushed(checked(enforce=False), GOOD, layers=None)
    assert answer.status == 201
    (warning,) = answer.headers.get_all("Warning") or []
    assert NO_LAYERS in warning


async def test_advice_travels_through_a_client_of_ours() -> None:
    content = manifest_bytes(COMPRESSED, (LAYER,))
    async with (
        served(checked()) as server,
        UpstreamRegistry.open(name="ours", url=f"http://127.0.0.1:{server.port}", plain_http=True) as client,
    ):
        for blob in (COMPRESSED, LAYER):
            await put_blob(client, blob)
        manifest = Manifest.parse(content, media_types.DOCKER_MANIFEST)
        (advice,) = await client.put_manifest(REPOSITORY, manifest, [TAG])
        assert advice.startswith("diff_ids are the digests of the compressed layers (engines up to 19.03")
