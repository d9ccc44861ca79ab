"""Resolving tags with as few headers as an upstream sends."""

from __future__ import annotations

import pytest

from mirror.oci import Descriptor, Digest
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.upstream.registry import UpstreamRegistry
from tests.support.scripted_server import Reply, ScriptedServer
from tests.unit.upstream.content import (
    DESCRIBED,
    DIGEST_PATH,
    MANIFEST,
    MANIFEST_DIGEST,
    REPOSITORY,
    ROOT,
    TAG,
    TAG_PATH,
    TYPED,
)

HEAD, GET = f"HEAD {TAG_PATH}", f"GET {TAG_PATH}"
DESCRIPTOR = Descriptor(DOCKER_MANIFEST, MANIFEST_DIGEST, len(MANIFEST))


async def test_a_full_answer_to_head_is_enough(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(HEAD, Reply(200, MANIFEST, DESCRIBED))
    assert await upstream.resolve(REPOSITORY, TAG) == DESCRIPTOR
    assert server.lines == [HEAD]


@pytest.mark.parametrize(
    "head",
    [
        Reply(200, MANIFEST, TYPED),
        Reply(200, MANIFEST, {"Docker-Content-Digest": str(MANIFEST_DIGEST)}),
        Reply(200, MANIFEST, {**DESCRIBED, "Content-Type": "application/json"}),
        Reply(200, MANIFEST, DESCRIBED, length=-1),
        Reply(405),
    ],
    ids=["no digest", "no type", "another type", "no length", "no HEAD"],
)
async def test_whatever_head_leaves_out_get_gives(
    server: ScriptedServer, upstream: UpstreamRegistry, head: Reply
) -> None:
    server.on(HEAD, head)
    server.on(GET, Reply(200, MANIFEST, TYPED))
    assert await upstream.resolve(REPOSITORY, TAG) == DESCRIPTOR
    assert server.lines == [HEAD, GET]


async def test_parameters_of_the_type_are_left_out(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(200, MANIFEST, {"Content-Type": f"{DOCKER_MANIFEST}; charset=utf-8"}))
    assert (await upstream.get_manifest(REPOSITORY, TAG)).media_type == DOCKER_MANIFEST


async def test_bytes_are_the_upstreams(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(f"GET {DIGEST_PATH}", Reply(200, MANIFEST, DESCRIBED))
    manifest = await upstream.get_manifest(REPOSITORY, MANIFEST_DIGEST)
    assert (manifest.content, manifest.digest) == (MANIFEST, MANIFEST_DIGEST)


async def test_another_algorithm_is_worked_out(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    digest = Digest.of(MANIFEST, "sha512")
    path = f"{ROOT}/manifests/{digest}"
    server.on(f"HEAD {path}", Reply(200, MANIFEST, DESCRIBED))
    server.on(f"GET {path}", Reply(200, MANIFEST, DESCRIBED))
    assert (await upstream.resolve(REPOSITORY, digest)).digest == digest
