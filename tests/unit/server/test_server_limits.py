"""Limits on a client's requests, and the answers to clients above the limits."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from itertools import chain, repeat

import pytest
from structlog.testing import capture_logs

from mirror.oci.errors import TooManyRequests
from mirror.server.http.client_limits import ClientLimits
from mirror.server.http.refusal_log import RefusalLog
from mirror.server.http.server_limits import ServerLimits
from tests.support.served import LAYER, Connection, Served, digest, served
from tests.support.waiting import until


async def sending(server: Served, connection: Connection) -> None:
    """Begin an upload, and wait until its first byte is received."""
    before = server.activity.uploading.count
    await connection.send("PATCH", await server.begin_upload(), [("Content-Length", str(len(LAYER)))])
    connection.writer.write(LAYER[:1])
    await until(lambda: server.activity.uploading.count != before)


async def test_a_client_that_sends_too_much_at_a_time_is_told_when_to_come_back() -> None:
    async with served(limits=ServerLimits(uploads_per_client=2)) as server, AsyncExitStack() as clients:
        connections = [await clients.enter_async_context(server.connect()) for _ in range(2)]
        for connection in connections:
            await sending(server, connection)
        target = f"/v2/a/blobs/uploads/?digest={digest(LAYER)}"
        refused = await server.ask("POST", target, body=LAYER)
        assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, "TOOMANYREQUESTS", "5")
        assert "server.limits.uploads_per_client" in refused.json["errors"][0]["message"]
        assert server.activity.uploading.refused == 1
        assert (await server.ask("GET", "/v2/")).status == 200

        connections[0].writer.write(LAYER[1:])
        assert (await connections[0].receive()).status == 202
        assert (await server.ask("POST", target, body=LAYER)).status == 201


async def test_an_upload_that_breaks_off_makes_room() -> None:
    async with served(limits=ServerLimits(uploads_per_client=1)) as server:
        async with server.connect() as connection:
            await sending(server, connection)
        await until(lambda: not server.activity.uploading.count)
        answer = await server.ask("POST", f"/v2/a/blobs/uploads/?digest={digest(LAYER)}", body=LAYER)
    assert answer.status == 201


def test_each_address_has_its_own_share() -> None:
    uploading = ClientLimits("uploads", 1, RefusalLog("server.limits.uploads_per_client"))
    with uploading.one_of("192.0.2.1"):
        with uploading.one_of("192.0.2.2"):
            assert uploading.count == 2
        with pytest.raises(TooManyRequests), uploading.one_of("192.0.2.1"):
            pass
    assert (uploading.count, uploading.refused) == (0, 1)


async def test_a_connection_too_many_is_told_so_and_ended() -> None:
    with capture_logs() as lines:
        async with (
            served(limits=ServerLimits(connections=2)) as server,
            server.connect() as first,
            server.connect() as second,
        ):
            for connection in (first, second):
                await connection.send("GET", "/v2/")
                assert (await connection.receive()).status == 200
            async with server.connect() as third:
                await third.send("GET", "/readyz")
                refused = await third.receive()
                assert await third.ended()
            assert (refused.status, refused.headers["Connection"], refused.headers["Retry-After"]) == (
                503,
                "close",
                "1",
            )
            assert "2 connections" in refused.json["errors"][0]["message"]
            assert server.activity.connections.refused == 1
            await first.send("GET", "/v2/")
            assert (await first.receive()).status == 200

            second.writer.transport.abort()
            await until(lambda: server.activity.connections.count <= 1)
            assert (await server.ask("GET", "/v2/")).status == 200
    assert [line["status"] for line in lines if line["event"] == "request"] == [200, 200, 503, 200, 200]


async def test_a_connection_too_many_that_asks_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.server.http_server._SURPLUS_SECONDS", 0.1)
    async with served(limits=ServerLimits(connections=1)) as server, server.connect() as first:
        await first.send("GET", "/v2/")
        await first.receive()
        async with server.connect() as second, asyncio.timeout(30):
            assert await second.ended()


async def test_beyond_those_that_are_told_connections_just_end() -> None:
    async with served(limits=ServerLimits(connections=1, surplus_connections=0)) as server, server.connect() as first:
        await first.send("GET", "/v2/")
        await first.receive()
        async with server.connect() as second:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await second.receive()


async def test_headers_that_trickle_are_not_waited_for_longer_than_silence() -> None:
    async with served(limits=ServerLimits(keep_alive_seconds=0.3)) as server, server.connect() as connection:

        async def trickle() -> None:
            for byte in chain(b"GET /v2/ HTTP/1.1\r\nHost: mirror\r\nX-Slow: ", repeat(ord("z"))):
                connection.writer.write(bytes([byte]))
                await asyncio.sleep(0.02)

        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            trickling = tasks.create_task(trickle())
            # The system resets the connection instead if the server closes it before it has read the last byte.
            with suppress(ConnectionResetError):
                assert await connection.ended()
            trickling.cancel()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_what_is_watched_is_only_read(empty: Served, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = await empty.ask(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert (await empty.ask("HEAD", path)).status == 200


async def test_a_refused_expectation_has_a_name_in_the_log(empty: Served) -> None:
    with capture_logs() as lines:
        answer = await empty.ask("GET", "/v2/", [("Expect", "a miracle")])
        await empty.ask("GET", "/v2/")
    assert answer.status == 417
    ids = [line["request_id"] for line in lines if line["event"] == "request"]
    assert len(set(ids)) == 2
