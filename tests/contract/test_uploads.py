"""Uploads: in one piece and in many, interrupted, taken up again, refused, cancelled."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import pytest

from mirror.oci import Digest
from mirror.oci.errors import BlobUnknown, DigestInvalid, RangeInvalid, UploadInvalid, UploadUnknown
from mirror.registry.port import Registry
from mirror.registry.streams import single_chunk
from mirror.registry.upload import UploadBody
from mirror.wire.ranges import Span
from tests.support.builders import OTHER, REPOSITORY, in_chunks, is_remote, push_blob, read_blob, settled

CONTENT = random.Random(11).randbytes(2 * 1024 * 1024 + 333)
DIGEST = Digest.of(CONTENT)


async def stream(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("chunk_bytes", [7_001, 64 * 1024, 3 * 1024 * 1024])
async def test_a_stream_in_chunks_of_any_size(registry: Registry, chunk_bytes: int) -> None:
    upload = await registry.begin_upload(REPOSITORY)
    assert upload.offset == 0

    await upload.append(in_chunks(CONTENT, chunk_bytes))

    assert upload.offset == len(CONTENT)
    assert (await upload.commit(DIGEST)).size_bytes == len(CONTENT)
    assert await read_blob(registry, DIGEST) == CONTENT


async def test_small_and_large_chunks_keep_their_order(registry: Registry) -> None:
    content = [b"a", b"b" * 20_000, b"c", b"d", b"e" * 1024 * 1024, b"f"]
    upload = await registry.begin_upload(REPOSITORY)

    await upload.append(stream(content))
    await upload.commit(Digest.of(b"".join(content)))

    assert await read_blob(registry, Digest.of(b"".join(content))) == b"".join(content)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_several_requests_make_one_blob(registry: Registry, algorithm: str) -> None:
    digest = Digest.of(CONTENT, algorithm)
    upload_id = (await registry.begin_upload(REPOSITORY)).id
    for start in range(0, len(CONTENT), 700_000):
        upload = await registry.resume_upload(REPOSITORY, upload_id)
        assert upload.offset == start
        part = CONTENT[start : start + 700_000]
        await upload.append(single_chunk(part), Span(start, start + len(part)))

    await (await registry.resume_upload(REPOSITORY, upload_id)).commit(digest)

    assert await read_blob(registry, digest) == CONTENT


async def test_an_upload_without_bytes_is_the_empty_blob(registry: Registry) -> None:
    upload = await registry.begin_upload(REPOSITORY)

    committed = await upload.commit(Digest.of(b""))

    assert committed.size_bytes == 0
    assert await read_blob(registry, committed.digest) == b""


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_an_expected_algorithm_changes_nothing_else(registry: Registry, algorithm: str) -> None:
    digest = Digest.of(CONTENT, algorithm)
    upload = await registry.begin_upload(REPOSITORY, algorithm=algorithm)

    await upload.append(in_chunks(CONTENT, 100_000))
    await upload.commit(digest)

    assert await read_blob(registry, digest) == CONTENT


async def test_uploads_of_the_same_content_at_once(registry: Registry) -> None:
    async def push() -> None:
        upload = await registry.begin_upload(REPOSITORY)
        await upload.append(in_chunks(CONTENT, 100_000))
        await upload.commit(DIGEST)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(push())

    assert await read_blob(registry, DIGEST) == CONTENT


async def test_the_wrong_digest_ends_the_upload(registry: Registry) -> None:
    upload = await registry.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"these bytes"))

    with pytest.raises(DigestInvalid):
        await upload.commit(Digest.of(b"other bytes"))

    with pytest.raises(UploadUnknown):
        await registry.resume_upload(REPOSITORY, upload.id)
    for content in (b"these bytes", b"other bytes"):
        with pytest.raises(BlobUnknown):
            await registry.stat_blob(REPOSITORY, Digest.of(content))


@pytest.mark.parametrize(
    ("span", "content"),
    [
        (Span(0, 5), b"again"),
        (Span(4, 9), b"early"),
        (Span(6, 10), b"late"),
        (Span(4, 10), b"wrong"),
        (Span(5, 9), b"longer"),
        (Span(5, 12), b"short"),
        (Span(5, 6), b""),
    ],
)
async def test_a_chunk_out_of_order_leaves_the_upload_as_it_was(registry: Registry, span: Span, content: bytes) -> None:
    upload = await registry.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"first"), Span(0, 5))

    with pytest.raises(RangeInvalid):
        await upload.append(single_chunk(content), span)

    assert upload.offset == 5
    again = await registry.resume_upload(REPOSITORY, upload.id)
    assert again.offset == 5
    await again.append(single_chunk(b" last"), Span(5, 10))
    await again.commit(Digest.of(b"first last"))
    assert await read_blob(registry, Digest.of(b"first last")) == b"first last"


async def test_a_long_chunk_of_the_wrong_length_leaves_the_upload_as_it_was(registry: Registry) -> None:
    upload = await registry.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"first"))

    with pytest.raises(RangeInvalid):
        await upload.append(in_chunks(CONTENT, 100_000), Span(5, 5 + len(CONTENT) + 1))

    assert upload.offset == 5
    assert (await upload.commit(Digest.of(b"first"))).size_bytes == 5


async def test_what_came_before_the_client_vanished_is_kept(registry: Registry) -> None:
    async def vanishing() -> AsyncIterator[bytes]:
        async for chunk in in_chunks(CONTENT[:1_500_000], 100_000):
            yield chunk
        raise ConnectionResetError("the client is gone")

    upload = await registry.begin_upload(REPOSITORY)
    with suppress(ConnectionResetError):
        await upload.append(vanishing())

    again = await settled(registry, upload.id)
    assert again.offset == 1_500_000 or (is_remote(registry) and 0 < again.offset < 1_500_000)
    await again.append(single_chunk(CONTENT[again.offset :]))
    await again.commit(DIGEST)
    assert await read_blob(registry, DIGEST) == CONTENT


async def test_what_came_before_the_caller_was_cancelled_is_kept(registry: Registry) -> None:
    waiting = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield CONTENT[:1_200_000]
        yield CONTENT[1_200_000:1_300_000]
        waiting.set()
        await asyncio.Event().wait()

    upload = await registry.begin_upload(REPOSITORY)
    task = asyncio.create_task(upload.append(stalling()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    again = await settled(registry, upload.id)
    assert again.offset == 1_300_000 or (is_remote(registry) and 0 < again.offset < 1_300_000)
    await again.append(single_chunk(CONTENT[again.offset :]))
    await again.commit(DIGEST)
    assert await read_blob(registry, DIGEST) == CONTENT


async def test_one_request_writes_at_a_time(registry: Registry) -> None:
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        writing.set()
        await go_on.wait()
        yield b" last"

    upload = await registry.begin_upload(REPOSITORY)
    task = asyncio.create_task(upload.append(slow()))
    await writing.wait()
    other = await registry.resume_upload(REPOSITORY, upload.id)
    with pytest.raises(UploadInvalid):
        await other.append(single_chunk(b"intruder"))
    with pytest.raises(UploadInvalid):
        await other.commit(Digest.of(b"first"))
    with pytest.raises(UploadInvalid):
        await other.cancel()
    go_on.set()
    await task

    await other.commit(Digest.of(b"first last"))
    assert await read_blob(registry, Digest.of(b"first last")) == b"first last"


@pytest.mark.parametrize("span", [None, Span(6, 11)])
async def test_the_last_bytes_come_with_the_commit(registry: Registry, span: Span | None) -> None:
    upload = await registry.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"first "))
    committed = await upload.commit(Digest.of(b"first bytes"), UploadBody(single_chunk(b"bytes"), span))
    assert committed.size_bytes == 11
    assert await read_blob(registry, committed.digest) == b"first bytes"


async def test_last_bytes_out_of_order_leave_the_upload_as_it_was(registry: Registry) -> None:
    upload = await registry.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"first "))
    with pytest.raises(RangeInvalid):
        await upload.commit(Digest.of(b"first bytes"), UploadBody(single_chunk(b"bytes"), Span(5, 10)))
    again = await registry.resume_upload(REPOSITORY, upload.id)
    assert (await again.commit(Digest.of(b"first bytes"), UploadBody(single_chunk(b"bytes")))).size_bytes == 11


async def test_one_of_two_who_send_the_last_bytes_ends_the_upload(registry: Registry) -> None:
    if is_remote(registry):
        return  # the client of another registry sends two requests, and that registry decides
    for _ in range(20):
        upload = await registry.begin_upload(REPOSITORY)
        same = [await registry.resume_upload(REPOSITORY, upload.id) for _ in range(2)]
        ends = [each.commit(DIGEST, UploadBody(in_chunks(CONTENT, 100_000))) for each in same]
        outcomes = await asyncio.gather(*ends, return_exceptions=True)
        refused = [each for each in outcomes if isinstance(each, UploadInvalid | UploadUnknown)]
        assert len(refused) == 1, outcomes


async def test_many_appends_at_once_are_kept_whole(registry: Registry) -> None:
    upload = await registry.begin_upload(REPOSITORY)
    parts = [bytes([number]) * 50_000 for number in range(20)]
    ends: dict[int, int] = {}

    async def append(number: int) -> None:
        async def part() -> AsyncIterator[bytes]:
            async for chunk in in_chunks(parts[number], 9_000):
                await asyncio.sleep(0)
                yield chunk

        while number not in ends.values():
            same = await registry.resume_upload(REPOSITORY, upload.id)
            with suppress(UploadInvalid):
                await same.append(part())
                ends[same.offset] = number
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(append(number))

    upload = await registry.resume_upload(REPOSITORY, upload.id)
    assert upload.offset == 20 * 50_000
    # Which came first is nobody's business; that none is mixed with another shows in the digest of some order.
    content = b"".join(parts[ends[end]] for end in sorted(ends))
    await upload.commit(Digest.of(content))
    assert await read_blob(registry, Digest.of(content)) == content


async def test_a_cancelled_upload_is_gone(registry: Registry) -> None:
    upload = await registry.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"unwanted"))

    await upload.cancel()

    with pytest.raises(UploadUnknown):
        await registry.resume_upload(REPOSITORY, upload.id)
    with pytest.raises(UploadUnknown):
        await upload.append(single_chunk(b"more"))
    with pytest.raises(UploadUnknown):
        await upload.commit(Digest.of(b"unwanted"))


async def test_a_committed_upload_is_gone(registry: Registry) -> None:
    upload = await registry.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"wanted"))
    other = await registry.resume_upload(REPOSITORY, upload.id)
    await upload.commit(Digest.of(b"wanted"))

    with pytest.raises(UploadUnknown):
        await registry.resume_upload(REPOSITORY, upload.id)
    with pytest.raises(UploadUnknown):
        await other.append(single_chunk(b"spoilt"))
    with pytest.raises(UploadUnknown):
        await other.commit(Digest.of(b"wanted"))
    await other.cancel()
    assert await read_blob(registry, Digest.of(b"wanted")) == b"wanted"


@pytest.mark.parametrize("upload_id", ["0" * 32, "..", "x", "a" * 128, "-", "_"])
async def test_an_unknown_upload(registry: Registry, upload_id: str) -> None:
    await push_blob(registry, b"something")

    with pytest.raises(UploadUnknown):
        await registry.resume_upload(REPOSITORY, upload_id)


async def test_an_upload_belongs_to_its_repository(registry: Registry) -> None:
    await push_blob(registry, b"something", OTHER)
    upload = await registry.begin_upload(REPOSITORY)

    with pytest.raises(UploadUnknown):
        await registry.resume_upload(OTHER, upload.id)
    await upload.cancel()


@pytest.mark.parametrize("start", [0, 7])
async def test_a_stream_that_is_not_read_to_its_end_is_closed(registry: Registry, start: int) -> None:
    closed = []

    async def long() -> AsyncIterator[bytes]:
        try:
            for _ in range(20):
                yield bytes(1_000)
        finally:
            closed.append(True)

    upload = await registry.begin_upload(REPOSITORY)
    sent = long()
    await anext(aiter(sent))  # a generator that was never begun has nothing to close
    with pytest.raises(RangeInvalid):
        await upload.append(sent, Span(start, start + 5_000))
    assert closed == [True]
