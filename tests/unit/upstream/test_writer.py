"""Pushing and deleting: the exact requests, and the handling of unusual answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mirror.oci import Manifest, Repository, Tag
from mirror.oci.errors import (
    ContentTooLarge,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    MirrorError,
    RangeInvalid,
    ReferenceInUse,
    RepositoryUnknown,
    SizeInvalid,
    Unsupported,
    UploadInvalid,
    UploadUnknown,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamRefused,
)
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.registry.streams import single_chunk
from mirror.upstream.chunked_upload import MAX_CHUNK_BYTES
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.ranges import Span
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.waiting import until
from tests.unit.upstream.content import (
    BLOB,
    BLOB_PATH,
    DIGEST,
    DIGEST_PATH,
    MANIFEST,
    MANIFEST_DIGEST,
    REPOSITORY,
    ROOT,
    TAG,
    TAG_PATH,
    UPLOADS_PATH,
)

POST = f"POST {UPLOADS_PATH}"
AT = f"{UPLOADS_PATH}1?_state=a%2Bb"
BEGUN = Reply(202, headers={"Location": AT, "Range": "0-0"})
TAKEN = Reply(202, headers={"Location": AT, "Range": f"0-{len(BLOB) - 1}"})
PATCH, CLOSE = f"PATCH {AT}", f"PUT {AT}&digest={DIGEST}"
PLUGIN = Manifest.parse(MANIFEST, DOCKER_MANIFEST)


def error_body(code: str) -> bytes:
    return b'{"errors":[{"code":"%s","message":"said so"}]}' % code.encode()


async def test_a_blob_is_streamed_and_closed(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(POST, BEGUN)
    server.on(PATCH, TAKEN)
    server.on(CLOSE, Reply(201, headers={"Docker-Content-Digest": str(DIGEST)}))
    upload = await upstream.begin_upload(REPOSITORY)
    await upload.append(single_chunk(BLOB))
    assert upload.offset == len(BLOB)
    assert (await upload.commit(DIGEST)).size_bytes == len(BLOB)
    post, patch, put = server.seen
    assert server.lines == [POST, PATCH, CLOSE]
    assert (post.headers["Content-Length"], put.headers["Content-Length"]) == ("0", "0")
    assert (patch.headers["Transfer-Encoding"], patch.body) == ("chunked", BLOB)
    assert "Content-Range" not in patch.headers


async def test_a_chunk_says_where_it_belongs(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(POST, BEGUN)
    server.on(PATCH, TAKEN)
    upload = await upstream.begin_upload(REPOSITORY)
    await upload.append(single_chunk(BLOB), Span(0, len(BLOB)))
    assert server.seen[1].headers["Content-Range"] == f"0-{len(BLOB) - 1}"
    assert server.seen[1].headers["Content-Length"] == str(len(BLOB))


@pytest.mark.parametrize(
    ("span", "error"),
    [
        (Span(1, len(BLOB) + 1), RangeInvalid),
        (Span(0, len(BLOB) - 1), RangeInvalid),
        (Span(0, len(BLOB) + 1), RangeInvalid),
        (Span(0, MAX_CHUNK_BYTES + 1), ContentTooLarge),
    ],
)
async def test_a_chunk_of_another_place_or_length_is_not_sent(
    server: ScriptedServer, upstream: UpstreamRegistry, span: Span, error: type[MirrorError]
) -> None:
    server.on(POST, BEGUN)
    upload = await upstream.begin_upload(REPOSITORY)
    with pytest.raises(error):
        await upload.append(single_chunk(BLOB), span)
    assert (server.lines, upload.offset) == ([POST], 0)


async def test_another_algorithm_is_announced(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(f"{POST}?digest-algorithm=sha512", BEGUN)
    assert (await upstream.begin_upload(REPOSITORY, algorithm="sha512")).offset == 0


async def test_what_the_source_raises_arrives_unchanged_and_the_upload_asks_where_it_is(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield BLOB[:100]
        raise UpstreamBusy("the source is busy")

    server.on(POST, BEGUN)
    server.on(f"GET {AT}", Reply(204, headers={"Location": AT, "Range": "0-99"}))
    server.on(PATCH, TAKEN)
    upload = await upstream.begin_upload(REPOSITORY)
    with pytest.raises(UpstreamBusy, match=r"^the source is busy$"):
        await upload.append(broken())
    await upload.append(single_chunk(BLOB[100:]))
    assert server.lines == [POST, f"GET {AT}", PATCH]
    assert upload.offset == len(BLOB)


async def test_an_upload_is_found_again_by_its_id(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(POST, BEGUN)
    server.on(f"GET {AT}", Reply(204, headers={"Range": "0-99"}))
    upload = await upstream.begin_upload(REPOSITORY)
    assert (await upstream.resume_upload(REPOSITORY, upload.id)).offset == 100
    with pytest.raises(UploadUnknown):
        await upstream.resume_upload(Repository("another"), upload.id)
    assert server.lines == [POST, f"GET {AT}"]


@pytest.mark.parametrize("upload_id", ["", "x", "../../etc", "%%", "e" * 5000, "ZXZpbA"])
async def test_what_is_no_upload_id_is_not_asked_for(
    server: ScriptedServer, upstream: UpstreamRegistry, upload_id: str
) -> None:
    with pytest.raises(UploadUnknown):
        await upstream.resume_upload(REPOSITORY, upload_id)
    assert server.seen == []


async def test_an_id_cannot_lead_to_another_host(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(POST, Reply(202, headers={"Location": "http://127.0.0.1:1/upload"}))
    upload = await upstream.begin_upload(REPOSITORY)
    with pytest.raises(UploadUnknown):
        await upstream.resume_upload(REPOSITORY, upload.id)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(202), UpstreamProtocolError),
        (Reply(202, headers={"Location": "ftp://x/"}), UpstreamProtocolError),
        (Reply(201, headers={"Location": AT}), UpstreamProtocolError),
        (Reply(404, error_body("NAME_UNKNOWN")), RepositoryUnknown),
        (Reply(401), UpstreamRefused),
        (Reply(403, error_body("DENIED")), UpstreamRefused),
        (Reply(405, error_body("UNSUPPORTED")), Unsupported),
        (Reply(429), UpstreamBusy),
    ],
)
async def test_uploads_that_do_not_begin(
    server: ScriptedServer, upstream: UpstreamRegistry, reply: Reply, error: type[MirrorError]
) -> None:
    server.on(POST, reply)
    with pytest.raises(MirrorError) as raised:
        await upstream.begin_upload(REPOSITORY)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(202, headers={"Range": "0-99"}), UpstreamProtocolError),
        (Reply(202, headers={"Range": "bytes=0-4095"}), UpstreamProtocolError),
        (Reply(404, error_body("BLOB_UPLOAD_UNKNOWN")), UploadUnknown),
        (Reply(416, error_body("BLOB_UPLOAD_INVALID")), RangeInvalid),
        (Reply(400, error_body("BLOB_UPLOAD_INVALID")), UploadInvalid),
        (Reply(400, error_body("SIZE_INVALID")), SizeInvalid),
        (Reply(413), ContentTooLarge),
        (Reply(500), UpstreamBusy),
    ],
)
async def test_pieces_that_are_not_taken(
    server: ScriptedServer, upstream: UpstreamRegistry, reply: Reply, error: type[MirrorError]
) -> None:
    server.on(POST, BEGUN)
    server.on(PATCH, reply)
    upload = await upstream.begin_upload(REPOSITORY)
    with pytest.raises(MirrorError) as raised:
        await upload.append(single_chunk(BLOB))
    assert type(raised.value) is error
    assert server.lines == [POST, PATCH]


async def test_a_single_byte_and_none_are_the_same_range(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(POST, BEGUN)
    server.on(PATCH, Reply(202, headers={"Range": "0-0"}))
    upload = await upstream.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"x"))
    assert upload.offset == 1


async def test_a_wrong_digest_ends_the_upload(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(POST, BEGUN)
    server.on(CLOSE, Reply(400, error_body("DIGEST_INVALID")))
    server.on(f"DELETE {AT}", Reply(404))
    upload = await upstream.begin_upload(REPOSITORY)
    with pytest.raises(DigestInvalid, match="said so"):
        await upload.commit(DIGEST)
    assert server.lines == [POST, CLOSE, f"DELETE {AT}"]


async def test_a_blob_stored_under_another_digest(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(POST, BEGUN)
    server.on(CLOSE, Reply(201, headers={"Docker-Content-Digest": str(MANIFEST_DIGEST)}))
    upload = await upstream.begin_upload(REPOSITORY)
    with pytest.raises(UpstreamProtocolError, match="it stored digest"):
        await upload.commit(DIGEST)


async def test_a_path_that_reads_as_a_host_stays_a_path(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(POST, Reply(202, headers={"Location": f"{server.url}//evil.example/1"}))
    server.on("PATCH //evil.example/1", TAKEN)
    upload = await upstream.begin_upload(REPOSITORY)
    await upload.append(single_chunk(BLOB))
    assert server.lines == [POST, "PATCH //evil.example/1"]


async def test_an_upload_elsewhere_gets_no_authorization(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    async with ScriptedServer().running() as other:
        place = f"{other.url}/upload?sig=x"
        server.on(POST, Reply(202, headers={"Location": place}))
        other.on("PATCH /upload?sig=x", Reply(202))
        upload = await upstream.begin_upload(REPOSITORY)
        await upload.append(single_chunk(BLOB))
        assert other.seen[0].body == BLOB
        assert "Authorization" not in other.seen[0].headers


@pytest.mark.parametrize(
    ("tags", "replies", "lines"),
    [
        ([], {f"PUT {DIGEST_PATH}": Reply(201)}, [f"PUT {DIGEST_PATH}"]),
        ([TAG], {f"PUT {TAG_PATH}": Reply(201)}, [f"PUT {TAG_PATH}"]),
        (
            [TAG, Tag("b")],
            {f"PUT {DIGEST_PATH}?tag=1.0&tag=b": Reply(201, headers={"OCI-Tag": "1.0, b"})},
            [f"PUT {DIGEST_PATH}?tag=1.0&tag=b"],
        ),
        (
            [TAG, Tag("b")],
            {
                f"PUT {DIGEST_PATH}?tag=1.0&tag=b": Reply(201),
                f"PUT {TAG_PATH}": Reply(201),
                f"PUT {ROOT}/manifests/b": Reply(201),
            },
            [f"PUT {DIGEST_PATH}?tag=1.0&tag=b", f"PUT {TAG_PATH}", f"PUT {ROOT}/manifests/b"],
        ),
    ],
    ids=["digest", "tag", "tags at once", "tags one by one"],
)
async def test_a_manifest_with_its_tags(
    server: ScriptedServer, upstream: UpstreamRegistry, tags: list[Tag], replies: dict[str, Reply], lines: list[str]
) -> None:
    for line, reply in replies.items():
        server.on(line, reply)
    await upstream.put_manifest(REPOSITORY, PLUGIN, tags)
    assert server.lines == lines
    assert all(request.body == MANIFEST for request in server.seen)
    assert all(request.headers["Content-Type"] == DOCKER_MANIFEST for request in server.seen)


async def test_warnings_are_advice(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(f"PUT {DIGEST_PATH}?tag=1.0&tag=b", Reply(201, headers={"Warning": '299 - "first", 299 - "second"'}))
    server.on(f"PUT {TAG_PATH}", Reply(201, headers={"Warning": '299 - "second"'}))
    server.on(f"PUT {ROOT}/manifests/b", Reply(201, headers={"Warning": "nonsense"}))
    assert await upstream.put_manifest(REPOSITORY, PLUGIN, [TAG, Tag("b")]) == ("first", "second")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(201, headers={"Docker-Content-Digest": str(DIGEST)}), UpstreamProtocolError),
        (Reply(400, error_body("MANIFEST_BLOB_UNKNOWN")), ManifestBlobUnknown),
        (Reply(400, error_body("MANIFEST_INVALID")), ManifestInvalid),
        (Reply(413), ContentTooLarge),
        (Reply(409, error_body("DENIED")), ReferenceInUse),
        (Reply(403, error_body("DENIED")), UpstreamRefused),
    ],
)
async def test_manifests_that_are_not_taken(
    server: ScriptedServer, upstream: UpstreamRegistry, reply: Reply, error: type[MirrorError]
) -> None:
    server.on(f"PUT {TAG_PATH}", reply)
    with pytest.raises(MirrorError) as raised:
        await upstream.put_manifest(REPOSITORY, PLUGIN, [TAG])
    assert type(raised.value) is error


MOUNT = f"{POST}?mount={DIGEST}&from=store/other"


@pytest.mark.parametrize(
    ("reply", "size_bytes", "lines"),
    [
        (Reply(201), len(BLOB), [MOUNT, f"HEAD {BLOB_PATH}"]),
        (BEGUN, None, [MOUNT, f"DELETE {AT}"]),
        (Reply(404), None, [MOUNT]),
        (Reply(405), None, [MOUNT]),
        (Reply(403), None, [MOUNT]),
    ],
)
async def test_mounting(
    server: ScriptedServer, upstream: UpstreamRegistry, reply: Reply, size_bytes: int | None, lines: list[str]
) -> None:
    server.on(MOUNT, reply)
    server.on(f"HEAD {BLOB_PATH}", Reply(200, BLOB))
    server.on(f"DELETE {AT}", Reply(204))
    mounted = await upstream.mount_blob(REPOSITORY, DIGEST, Repository("store/other"))
    assert (mounted.size_bytes if mounted else None) == size_bytes
    assert server.lines == lines


async def test_deleting(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    lines = [f"DELETE {TAG_PATH}", f"DELETE {DIGEST_PATH}", f"DELETE {BLOB_PATH}"]
    for line in lines:
        server.on(line, Reply(202))
    await upstream.delete_tag(REPOSITORY, TAG)
    await upstream.delete_manifest(REPOSITORY, MANIFEST_DIGEST)
    await upstream.delete_blob(REPOSITORY, DIGEST)
    assert server.lines == lines


async def test_a_registry_that_deletes_by_digest_only(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(f"DELETE {TAG_PATH}", Reply(400, error_body("DIGEST_INVALID")))
    with pytest.raises(Unsupported, match="the upstream cannot delete tags"):
        await upstream.delete_tag(REPOSITORY, TAG)


async def test_a_cancelled_piece_leaves_an_upload_that_can_be_gone_on_with(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    is_sent = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield BLOB[:100]
        is_sent.set()  # the next piece is asked for
        await asyncio.Event().wait()

    server.on(POST, BEGUN)
    server.on(f"GET {AT}", Reply(204, headers={"Range": "0-99"}))
    upload = await upstream.begin_upload(REPOSITORY)
    task = asyncio.ensure_future(upload.append(slow()))
    await until(is_sent.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await upstream.resume_upload(REPOSITORY, upload.id)).offset == 100
