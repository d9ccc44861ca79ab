"""Floods of framing around a request's content: those that are ended, those that are tolerated, and reads per round."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from mirror.server.http.request_guard import MOST_FRAMING_BYTES, PIECE_BYTES, GuardedHandler, ReadRounds
from tests.support.served import LAYER, REPOSITORY, Served, digest, served

CHUNKED = b"PUT /v2/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
MOST_HEAD_BYTES = 64 * 1024


class Line(asyncio.Transport):
    """A transport that records if it was aborted and if reading is paused."""

    aborted = False
    paused = False

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def chunks(size: int, count: int) -> bytes:
    return (b"%x\r\n" % size + b"x" * size + b"\r\n") * count


class Guarded:
    """Connections whose handler reads and drops the body, or does nothing."""

    def __init__(self) -> None:
        self.rounds = ReadRounds()
        self.received_bytes = 0
        self.begun = 0

    async def read(self, request: web.BaseRequest) -> web.StreamResponse:
        while chunk := await request.content.readany():
            self.received_bytes += len(chunk)
        return web.Response()

    async def stand(self, _request: web.BaseRequest) -> web.StreamResponse:
        self.begun += 1
        await asyncio.get_running_loop().create_future()
        return web.Response()

    def connection(self, *, stands: bool = False) -> tuple[GuardedHandler, Line]:
        server = web.Server(self.stand if stands else self.read)
        handler = GuardedHandler(self.rounds, server, loop=asyncio.get_running_loop(), read_bufsize=64 * 1024)
        line = Line()
        handler.connection_made(line)
        return handler, line


async def rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def sent(handler: GuardedHandler, line: Line, data: bytes) -> None:
    """Send data as asyncio does: in pieces, and only while the connection reads."""
    for start in range(0, len(data), 256 * 1024):
        for _ in range(10_000):
            if not line.paused:
                break
            await asyncio.sleep(0)
        assert not line.paused
        handler.data_received(data[start : start + 256 * 1024])
    await rounds(100)


@pytest.mark.parametrize("size", [1, 8])
async def test_tiny_chunks_end_it_before_they_cost_much(size: int) -> None:
    guarded = Guarded()
    handler, line = guarded.connection()
    handler.data_received(CHUNKED)
    await sent(handler, line, chunks(size, 30_000))
    assert line.aborted
    assert handler.body_bytes <= 5 * MOST_FRAMING_BYTES
    handler.connection_lost(None)


async def test_framing_that_was_not_used_is_not_saved_up() -> None:
    handler, line = Guarded().connection()
    handler.data_received(CHUNKED)
    await sent(handler, line, chunks(1024 * 1024, 4))
    assert not line.aborted
    await sent(handler, line, chunks(1, 20_000))
    assert line.aborted
    handler.connection_lost(None)


@pytest.mark.parametrize("flood", [b"5;" + b"x" * 200_000, b"0\r\n" + b"X: y\r\n" * 20])
async def test_framing_without_content_ends_it(flood: bytes) -> None:
    handler, line = Guarded().connection()
    handler.data_received(CHUNKED + b"1\r\nx\r\n")
    for start in range(0, len(flood), 4096):
        handler.data_received(flood[start : start + 4096])
    await rounds(100)
    assert line.aborted == (len(flood) > MOST_FRAMING_BYTES)
    handler.connection_lost(None)


async def test_of_all_connections_with_small_chunks_one_is_read_in_a_round() -> None:
    guarded = Guarded()
    connections = [guarded.connection() for _ in range(8)]
    for handler, _ in connections:
        handler.data_received(CHUNKED)
    await rounds(10)
    for handler, line in connections:
        handler.data_received(chunks(24, 8 * 1024))
        assert line.paused
    before, steps = 0, list[int]()
    for _ in range(200):
        await asyncio.sleep(0)
        now = sum(handler.body_bytes for handler, _ in connections)
        steps.append(now - before)
        before = now
    assert before == 8 * len(chunks(24, 8 * 1024))
    assert max(steps) == PIECE_BYTES
    assert guarded.received_bytes == 8 * 24 * 8 * 1024
    for handler, line in connections:
        assert not line.paused
        assert not line.aborted
        handler.connection_lost(None)


async def test_of_requests_that_wait_for_another_few_are_read() -> None:
    guarded = Guarded()
    handler, line = guarded.connection(stands=True)
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 8000) for n in range(3)) + b"\r\n"
    for _ in range(32):
        if not line.paused:
            handler.data_received(head)
            await rounds(5)
    assert guarded.begun == 1
    assert line.paused
    assert len(handler._messages) <= 3
    handler.connection_lost(None)


async def test_many_requests_at_once_are_answered_one_after_the_other(empty: Served) -> None:
    async with empty.connect() as connection:
        connection.writer.write(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n" * 3000)
        for _ in range(3000):
            assert (await connection.receive()).status == 200


@pytest.mark.parametrize("size", [24, 4096, 100_000])
async def test_chunks_of_any_size_that_clients_send_are_taken(empty: Served, size: int) -> None:
    content = LAYER * 20
    body = [content[start : start + size] for start in range(0, len(content), size)]
    target = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest(content)}"
    assert (await empty.ask("POST", target, body=body)).status == 201


async def test_one_connection_takes_bodies_and_requests_of_all_kinds(empty: Served) -> None:
    """The counters of one request end where the next request begins."""
    content = LAYER * 10
    target = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest(content)}"
    async with empty.connect() as connection:
        for body in (content, [content[:7], content[7:]], content, [content]):
            await connection.send("POST", target, body=body)
            await connection.send("PUT", "/v2/nothing", body=body)
            await connection.send("GET", "/v2/")
        assert [(await connection.receive()).status for _ in range(12)] == [201, 404, 200] * 4


async def test_a_head_that_does_not_end_is_refused(empty: Served) -> None:
    async with empty.connect() as connection:
        await connection.send("GET", "/v2/")
        fields = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 16_000) for number in range(100))
        connection.writer.write(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n" + fields[: MOST_HEAD_BYTES + PIECE_BYTES])
        assert (await connection.receive()).status == 200
        answer = await connection.receive()
        assert answer.status == 431
        assert str(MOST_HEAD_BYTES) in answer.json["errors"][0]["message"]
        assert await connection.ended()


async def test_what_follows_a_line_that_is_too_long_is_taken_and_dropped() -> None:
    handler, line = Guarded().connection(stands=True)
    handler.data_received(b"GET /" + b"x" * 1024 * 1024)
    assert len(handler._messages) == 1
    assert not line.paused
    handler.connection_lost(None)


async def test_a_head_within_its_bound_is_read(empty: Served) -> None:
    fields = [(f"X-{number}", "y" * 16_000) for number in range(MOST_HEAD_BYTES // 16_100)]
    assert (await empty.ask("GET", "/v2/", fields)).status == 200


async def test_a_body_that_is_not_wanted_is_counted_with_its_framing(monkeypatch: pytest.MonkeyPatch) -> None:
    most_bytes = 200_000
    monkeypatch.setattr("mirror.server.http.client_connection.MOST_DRAINED_BYTES", most_bytes)
    body = chunks(24, most_bytes // 24)  # its content alone is within the bound
    async with served() as server, server.connect() as connection:
        connection.writer.write(CHUNKED)
        assert (await connection.receive()).status == 404
        connection.writer.write(body)
        async with asyncio.timeout(30):
            assert await connection.ended()
