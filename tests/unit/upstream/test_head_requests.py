"""Registries whose HEAD fails or lies where GET works."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mirror.oci import Descriptor, Digest, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, UpstreamRefused
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.upstream.registry import UpstreamRegistry
from tests.support.clocks import HandClock
from tests.support.scripted_server import Reply, ScriptedServer
from tests.unit.upstream.conftest import QUICK
from tests.unit.upstream.content import (
    BLOB,
    BLOB_PATH,
    DESCRIBED,
    DIGEST,
    MANIFEST,
    MANIFEST_DIGEST,
    REPOSITORY,
    ROOT,
    TAG,
    TAG_PATH,
)

HEAD, GET = f"HEAD {TAG_PATH}", f"GET {TAG_PATH}"
HEAD_BLOB, GET_BLOB = f"HEAD {BLOB_PATH}", f"GET {BLOB_PATH}"
FOUND = Reply(200, MANIFEST, DESCRIBED)
DESCRIPTOR = Descriptor(DOCKER_MANIFEST, MANIFEST_DIGEST, len(MANIFEST))
QUOTA = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "90;w=21600"}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def upstream(server: ScriptedServer, clock: HandClock) -> AsyncIterator[UpstreamRegistry]:
    async with UpstreamRegistry.open(name="hub", url=server.url, plain_http=True, policy=QUICK, clock=clock) as opened:
        yield opened


def fallbacks(upstream: UpstreamRegistry) -> dict[str, int]:
    return dict(upstream.stats().head_fallbacks)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 501])
async def test_a_head_that_fails_is_replaced_by_get_for_an_hour(
    server: ScriptedServer, upstream: UpstreamRegistry, clock: HandClock, status: int
) -> None:
    server.on(HEAD, Reply(status))
    server.on(GET, FOUND)
    for _ in range(3):
        assert await upstream.resolve(REPOSITORY, TAG) == DESCRIPTOR
    assert server.lines == [HEAD, GET, GET, GET]
    assert fallbacks(upstream) == {"manifest": 3}
    clock.advance(seconds=3601)
    server.on(HEAD, FOUND)
    assert await upstream.resolve(REPOSITORY, TAG) == DESCRIPTOR
    assert server.lines[4:] == [HEAD]


async def test_a_compressed_page_of_an_error_is_an_error(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(HEAD, Reply(404, headers={"Content-Encoding": "gzip"}))
    server.on(GET, FOUND)
    assert await upstream.resolve(REPOSITORY, TAG) == DESCRIPTOR


@pytest.mark.parametrize("length", [0, MAX_MANIFEST_BYTES + 1])
async def test_a_length_that_no_manifest_has(server: ScriptedServer, upstream: UpstreamRegistry, length: int) -> None:
    server.on(HEAD, Reply(200, b"", DESCRIBED, length=length))
    server.on(GET, FOUND)
    assert await upstream.resolve(REPOSITORY, TAG) == DESCRIPTOR


@pytest.mark.parametrize(
    "head", [Reply(404), Reply(403), Reply(405), Reply(200, b"", length=0)], ids=["404", "403", "405", "length 0"]
)
async def test_a_blob_that_head_does_not_show(server: ScriptedServer, upstream: UpstreamRegistry, head: Reply) -> None:
    server.on(HEAD_BLOB, head)
    server.on(GET_BLOB, Reply(200, BLOB))
    for _ in range(2):
        assert (await upstream.stat_blob(REPOSITORY, DIGEST)).size_bytes == len(BLOB)
    assert server.lines == [HEAD_BLOB, GET_BLOB, GET_BLOB]
    assert fallbacks(upstream) == {"blob": 2}


async def test_the_empty_blob_has_length_0(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    empty = Digest.of(b"")
    server.on(f"HEAD {ROOT}/blobs/{empty}", Reply(200))
    assert (await upstream.stat_blob(REPOSITORY, empty)).size_bytes == 0
    assert len(server.lines) == 1


async def test_what_is_missing_costs_one_get_a_minute(
    server: ScriptedServer, upstream: UpstreamRegistry, clock: HandClock
) -> None:
    server.on(HEAD, FOUND, Reply(404))
    server.on(HEAD_BLOB, Reply(200, BLOB), Reply(404))
    for line in (GET, GET_BLOB):
        server.on(line, Reply(404))
    await upstream.resolve(REPOSITORY, TAG)
    await upstream.stat_blob(REPOSITORY, DIGEST)
    server.seen.clear()
    for _ in range(3):
        with pytest.raises(ManifestUnknown):
            await upstream.resolve(REPOSITORY, TAG)
        with pytest.raises(BlobUnknown):
            await upstream.stat_blob(REPOSITORY, DIGEST)
    assert server.lines == [HEAD, GET, HEAD_BLOB, GET_BLOB, HEAD, HEAD_BLOB, HEAD, HEAD_BLOB]
    assert fallbacks(upstream) == {}
    clock.advance(seconds=61)
    server.on(GET, FOUND)
    assert await upstream.resolve(REPOSITORY, TAG) == DESCRIPTOR


async def test_what_arrives_is_found_at_once_although_no_head_has_ever_worked(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(HEAD, Reply(404))
    server.on(GET, Reply(404), FOUND)
    with pytest.raises(ManifestUnknown):
        await upstream.resolve(REPOSITORY, TAG)
    assert await upstream.resolve(REPOSITORY, TAG) == DESCRIPTOR


async def test_a_refused_login_is_not_sent_by_get_again_at_once(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(HEAD, Reply(401))
    server.on(GET, Reply(401))
    for _ in range(3):
        with pytest.raises(UpstreamRefused):
            await upstream.resolve(REPOSITORY, TAG)
    assert server.lines == [HEAD, GET, HEAD, HEAD]


async def test_a_refusal_has_the_reason_of_the_get(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(HEAD, Reply(403))
    server.on(GET, Reply(403, b'{"errors": [{"code": "DENIED", "message": "not for you"}]}'))
    with pytest.raises(UpstreamRefused, match="not for you"):
        await upstream.resolve(REPOSITORY, TAG)


async def test_one_odd_manifest_does_not_end_the_use_of_head(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    odd = [f"{ROOT}/manifests/odd{number}" for number in range(4)]
    server.on(HEAD, FOUND)
    for path in odd:
        server.on(f"HEAD {path}", Reply(404))
        server.on(f"GET {path}", FOUND)
    await upstream.resolve(REPOSITORY, TAG)
    await upstream.resolve(REPOSITORY, Tag("odd0"))
    await upstream.resolve(REPOSITORY, TAG)
    for number in range(4):
        await upstream.resolve(REPOSITORY, Tag(f"odd{number}"))
    methods = [line.partition(" ")[0] for line in server.lines]
    assert methods == ["HEAD", "HEAD", "GET", "HEAD", *["HEAD", "GET"] * 3, "GET"]


async def test_an_upstream_with_a_quota_is_not_asked_by_get_for_what_is_missing(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(HEAD, Reply(200, MANIFEST, {**DESCRIBED, **QUOTA}))
    await upstream.resolve(REPOSITORY, TAG)
    gone = f"HEAD {ROOT}/manifests/gone"
    server.on(gone, Reply(404))
    with pytest.raises(ManifestUnknown):
        await upstream.resolve(REPOSITORY, Tag("gone"))
    assert server.lines == [HEAD, gone]


async def test_an_upstream_with_a_quota_is_always_asked_by_head_first(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(HEAD, Reply(200, MANIFEST, QUOTA))
    server.on(GET, FOUND)
    for _ in range(4):
        await upstream.resolve(REPOSITORY, TAG)
    assert server.lines == [HEAD, GET] * 4


async def test_an_unchanged_manifest_is_not_sent_again_in_place_of_head(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    later = MANIFEST + b"\n"
    moved = {**DESCRIBED, "Docker-Content-Digest": str(Digest.of(later)), "ETag": '"two"'}
    server.on(HEAD, Reply(405))
    server.on(GET, Reply(200, MANIFEST, {**DESCRIBED, "ETag": 'W/"one"'}), Reply(304), Reply(200, later, moved))
    found = [await upstream.resolve(REPOSITORY, TAG) for _ in range(3)]
    assert found == [DESCRIPTOR, DESCRIPTOR, Descriptor(DOCKER_MANIFEST, Digest.of(later), len(later))]
    server.on(GET, Reply(304))
    assert await upstream.resolve(REPOSITORY, TAG) == found[2]
    asked = [request.headers.get("If-None-Match") for request in server.seen if request.line == GET]
    assert asked == [None, 'W/"one"', 'W/"one"', '"two"']
