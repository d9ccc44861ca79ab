"""Blobs over connections that break."""

from __future__ import annotations

import pytest

from mirror.oci import Digest
from mirror.oci.errors import RangeInvalid, UpstreamBusy, UpstreamFault, UpstreamProtocolError, UpstreamUnreachable
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.ranges import RangeRequest, Span
from tests.support.scripted_server import Reply, ScriptedServer
from tests.unit.upstream.content import BLOB, BLOB_PATH, DIGEST, REPOSITORY, ROOT

GET = f"GET {BLOB_PATH}"
SIZE = len(BLOB)
BROKEN = Reply(200, BLOB[:1000], length=SIZE, then="cut")
STALLED = Reply(200, BLOB[:1000], length=SIZE, then="stall")


def part(start: int, stop: int, *, said: str = "", sent: int | None = None, then: str = "keep") -> Reply:
    """Return a reply with bytes ``start`` to ``stop``, or to ``sent``. ``said`` replaces the true Content-Range."""
    place = said or f"bytes {start}-{stop - 1}/{SIZE}"
    return Reply(206, BLOB[start : sent or stop], {"Content-Range": place}, length=stop - start, then=then)


async def read(upstream: UpstreamRegistry, wanted: RangeRequest | None = None, size_bytes: int | None = None) -> bytes:
    async with upstream.open_blob(REPOSITORY, DIGEST, wanted, size_bytes) as blob:
        return b"".join([chunk async for chunk in blob])


def ranges(server: ScriptedServer) -> list[str | None]:
    return [request.headers.get("Range") for request in server.seen if request.method == "GET"]


async def test_a_whole_blob_in_one_request(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(200, BLOB))
    async with upstream.open_blob(REPOSITORY, DIGEST) as blob:
        assert (blob.size_bytes, blob.span, blob.file) == (SIZE, Span(0, SIZE), None)
        assert b"".join([chunk async for chunk in blob]) == BLOB
    assert server.lines == [GET]


async def test_a_connection_is_used_again(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(200, BLOB))
    for _ in range(3):
        await read(upstream)
    assert server.connections == 1


async def test_an_unread_blob_does_not_spoil_the_next_request(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(GET, STALLED, Reply(200, BLOB))
    async with upstream.open_blob(REPOSITORY, DIGEST) as blob:
        assert blob.size_bytes == SIZE
    assert await read(upstream) == BLOB


@pytest.mark.parametrize("first", [BROKEN, STALLED])
@pytest.mark.parametrize("second", [part(1000, SIZE), Reply(200, BLOB)], ids=["206", "200"])
async def test_what_breaks_off_is_gone_on_with(
    server: ScriptedServer, upstream: UpstreamRegistry, first: Reply, second: Reply
) -> None:
    server.on(GET, first, second)
    assert await read(upstream) == BLOB
    assert ranges(server) == [None, "bytes=1000-"]


async def test_several_breaks_in_a_row(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, BROKEN, part(1000, SIZE, sent=2000, then="cut"), part(2000, SIZE))
    assert await read(upstream) == BLOB
    assert ranges(server) == [None, "bytes=1000-", "bytes=2000-"]


async def test_a_line_that_always_breaks_is_given_up(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, BROKEN)
    with pytest.raises(UpstreamUnreachable, match="broke off"):
        await read(upstream)
    assert ranges(server) == [None, "bytes=1000-", "bytes=1000-"]


async def test_an_upstream_that_dies_is_not_asked_for_ever(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, BROKEN, Reply(503))
    with pytest.raises(UpstreamBusy):
        await read(upstream)
    assert ranges(server) == [None] + ["bytes=1000-"] * 3


async def test_progress_keeps_a_bad_line_going(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    blob = bytes(6 * 1024 * 1024)
    digest = Digest.of(blob)
    step = 1024 * 1024
    replies = [
        Reply(
            206 if start else 200,
            blob[start : start + step],
            {"Content-Range": f"bytes {start}-{len(blob) - 1}/{len(blob)}"} if start else {},
            length=len(blob) - start,
            then="cut",
        )
        for start in range(0, len(blob), step)
    ]
    server.on(f"GET {ROOT}/blobs/{digest}", *replies)
    async with upstream.open_blob(REPOSITORY, digest) as opened:
        assert sum([len(chunk) async for chunk in opened]) == len(blob)
    assert len(server.seen) == 6


@pytest.mark.parametrize(
    "second",
    [
        part(1000, SIZE, said=f"bytes 999-{SIZE - 2}/{SIZE}"),
        part(1000, SIZE, said=f"bytes 1000-{SIZE - 1}/{SIZE + 1}"),
        Reply(206, BLOB[1000:]),
        Reply(206, BLOB[1000:], {"Content-Range": "bytes 1000-999/4096"}),
        Reply(200, BLOB + b"!"),
        Reply(200, BLOB[:-1]),
        Reply(416),
    ],
    ids=["another place", "another size", "no place", "an empty place", "longer", "shorter", "nothing"],
)
async def test_lies_about_the_rest(server: ScriptedServer, upstream: UpstreamRegistry, second: Reply) -> None:
    server.on(GET, BROKEN, second)
    with pytest.raises(UpstreamProtocolError):
        await read(upstream)


async def test_another_rest_is_found_out_before_the_last_byte(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    rest = Reply(206, bytes(SIZE - 1000), {"Content-Range": f"bytes 1000-{SIZE - 1}/{SIZE}"})
    server.on(GET, BROKEN, rest)
    received: list[bytes] = []

    async def receive() -> None:
        async with upstream.open_blob(REPOSITORY, DIGEST) as blob:
            async for chunk in blob:
                received.append(chunk)  # noqa: PERF401 - what came before the error is looked at

    with pytest.raises(UpstreamProtocolError, match="has digest"):
        await receive()
    assert 0 < len(b"".join(received)) < SIZE


async def test_an_endless_blob_is_cut(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(200, BLOB, length=-1, then="endless"))
    server.on(f"HEAD {BLOB_PATH}", Reply(200, BLOB))
    with pytest.raises(UpstreamProtocolError, match=f"longer than its {SIZE} bytes"):
        await read(upstream)


async def test_no_length_on_get_is_asked_for_by_head(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(200, BLOB, length=-1))
    server.on(f"HEAD {BLOB_PATH}", Reply(200, BLOB))
    assert await read(upstream) == BLOB
    assert server.lines == [GET, f"HEAD {BLOB_PATH}"]


async def test_a_blob_of_unknown_length(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(200, BLOB, length=-1))
    server.on(f"HEAD {BLOB_PATH}", Reply(200, length=-1))
    with pytest.raises(UpstreamProtocolError, match="size of the blob is missing"):
        await read(upstream)


async def test_the_size_in_the_manifest_is_the_size(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(200, BLOB, length=-1))
    assert await read(upstream, size_bytes=SIZE) == BLOB
    assert server.lines == [GET]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (BLOB + b"!", f"longer than its {SIZE} bytes"),
        (BLOB[:-1] + b"!", "has digest"),
        (BLOB[:-1], f"broke off after {SIZE - 1} of {SIZE} bytes"),
    ],
    ids=["too long", "other bytes", "too short"],
)
async def test_the_digest_decides_about_content_without_length(
    server: ScriptedServer, upstream: UpstreamRegistry, sent: bytes, told: str
) -> None:
    server.on(GET, Reply(200, sent, length=-1))
    with pytest.raises(UpstreamFault, match=told):
        await read(upstream, size_bytes=SIZE)


async def test_content_without_length_that_breaks_off_is_continued(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    rest = {"Content-Range": f"bytes 1000-{SIZE - 1}/*"}
    server.on(GET, Reply(200, BLOB[:1000], length=-1), Reply(206, BLOB[1000:], rest, length=-1))
    assert await read(upstream, size_bytes=SIZE) == BLOB
    assert [request.headers.get("Range") for request in server.seen] == [None, "bytes=1000-"]


async def test_the_answer_to_a_range_tells_the_size(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    first = Reply(206, BLOB[:1], {"Content-Range": f"bytes 0-0/{SIZE}"}, length=-1)
    server.on(f"HEAD {BLOB_PATH}", Reply(200, length=-1))
    server.on(GET, Reply(200, BLOB, length=-1), first)
    assert (await upstream.stat_blob(REPOSITORY, DIGEST)).size_bytes == SIZE


async def test_no_length_on_head_is_asked_for_by_get(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(f"HEAD {BLOB_PATH}", Reply(405))
    server.on(GET, Reply(200, BLOB))
    assert (await upstream.stat_blob(REPOSITORY, DIGEST)).size_bytes == SIZE


@pytest.mark.parametrize(
    ("wanted", "header", "span"),
    [
        (RangeRequest(500, 1499), "bytes=500-1499", Span(500, 1500)),
        (RangeRequest(500, None), "bytes=500-", Span(500, SIZE)),
        (RangeRequest(None, 500), "bytes=-500", Span(SIZE - 500, SIZE)),
        (RangeRequest(4000, 99999), "bytes=4000-99999", Span(4000, SIZE)),
    ],
)
@pytest.mark.parametrize("whole", [False, True], ids=["206", "200"])
async def test_parts(
    server: ScriptedServer, upstream: UpstreamRegistry, wanted: RangeRequest, header: str, span: Span, whole: bool
) -> None:
    server.on(GET, Reply(200, BLOB) if whole else part(span.start, span.stop))
    async with upstream.open_blob(REPOSITORY, DIGEST, wanted) as blob:
        assert (blob.size_bytes, blob.span) == (SIZE, span)
        assert b"".join([chunk async for chunk in blob]) == BLOB[span.start : span.stop]
    assert ranges(server) == [header]


async def test_a_part_that_breaks_off_is_gone_on_with(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, part(500, 1500, sent=700, then="cut"), part(700, 1500))
    assert await read(upstream, RangeRequest(500, 1499)) == BLOB[500:1500]
    assert ranges(server) == ["bytes=500-1499", "bytes=700-1499"]


async def test_a_part_given_in_smaller_parts(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, part(500, 700), part(700, 1500))
    assert await read(upstream, RangeRequest(500, 1499)) == BLOB[500:1500]
    assert ranges(server) == ["bytes=500-1499", "bytes=700-1499"]


@pytest.mark.parametrize("reply", [part(501, 1500), part(500, 1501), Reply(206, BLOB)])
async def test_another_part_than_was_asked_for(
    server: ScriptedServer, upstream: UpstreamRegistry, reply: Reply
) -> None:
    server.on(GET, reply)
    with pytest.raises(UpstreamProtocolError):
        await read(upstream, RangeRequest(500, 1499))
    assert len(server.seen) == 1


@pytest.mark.parametrize("reply", [Reply(416), Reply(200, BLOB)])
async def test_a_part_that_is_not_there(server: ScriptedServer, upstream: UpstreamRegistry, reply: Reply) -> None:
    server.on(GET, reply)
    with pytest.raises(RangeInvalid):
        await read(upstream, RangeRequest(SIZE, None))


async def test_the_empty_blob(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    digest = Digest.of(b"")
    server.on(f"GET {ROOT}/blobs/{digest}", Reply(200, b""))
    async with upstream.open_blob(REPOSITORY, digest) as blob:
        assert blob.size_bytes == 0
        assert [chunk async for chunk in blob] == []
