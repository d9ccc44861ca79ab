"""Floods of framing around an answer's content: those that are ended and those that are tolerated, on every route."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme

from mirror.oci.errors import UpstreamProtocolError
from mirror.upstream.http.http_proxies import Proxies
from mirror.upstream.http.response_guard import (
    MOST_FRAMING_BYTES,
    MOST_HEAD_BYTES,
    MOST_INTERIM_ANSWERS,
    FloodError,
    GuardedProtocol,
)
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.registry import UpstreamRegistry
from tests.harness.forward_proxy import ForwardProxy
from tests.support.scripted_server import Reply, ScriptedServer
from tests.unit.upstream.conftest import QUICK
from tests.unit.upstream.content import DESCRIBED, MANIFEST, REPOSITORY, TAG, TAG_PATH

INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"
FLOOD = INTERIM * 200_000
FOUND = b"HTTP/1.1 200 OK\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in DESCRIBED.items())
WHOLE = FOUND + f"Content-Length: {len(MANIFEST)}\r\n\r\n".encode() + MANIFEST
CHUNKED = FOUND + b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Connection(asyncio.Transport):
    """A transport that records if it was aborted."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def waiting(*, head: bool = False) -> tuple[GuardedProtocol, Connection]:
    """Return a connection on which a request was just sent."""
    protocol, connection = GuardedProtocol(asyncio.get_running_loop()), Connection()
    protocol.connection_made(connection)
    asked(protocol, head=head)
    return protocol, connection


def asked(protocol: GuardedProtocol, *, head: bool = False) -> None:
    protocol.set_response_params(skip_payload=head, read_until_eof=True, auto_decompress=False, read_bufsize=2**18)


def chunks(size: int, count: int) -> bytes:
    return (b"%x\r\n" % size + b"x" * size + b"\r\n") * count


async def test_of_a_flood_no_more_is_taken_than_is_borne() -> None:
    protocol, connection = await waiting()
    protocol.data_received(FLOOD)
    assert len(protocol) == MOST_INTERIM_ANSWERS
    assert connection.aborted
    assert isinstance(protocol.exception(), FloodError)


async def test_some_interim_answers_are_borne() -> None:
    protocol, connection = await waiting()
    protocol.data_received(INTERIM * MOST_INTERIM_ANSWERS + OK)
    assert (len(protocol), connection.aborted) == (MOST_INTERIM_ANSWERS + 1, False)
    for _ in range(MOST_INTERIM_ANSWERS + 1):
        message, content = await protocol.read()
    assert (message.code, await content.read()) == (200, b"ok")


async def test_each_request_has_its_own_interim_answers() -> None:
    protocol, connection = await waiting()
    for _ in range(3):
        protocol.data_received(INTERIM * MOST_INTERIM_ANSWERS + OK)
        for _ in range(MOST_INTERIM_ANSWERS + 1):
            await protocol.read()
        asked(protocol)
    assert not connection.aborted


async def test_heads_together_are_bounded() -> None:
    protocol, connection = await waiting()
    hint = b"HTTP/1.1 103 Early Hints\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 8000) for n in range(8)) + b"\r\n"
    protocol.data_received(hint * (MOST_HEAD_BYTES // len(hint) + 2))
    assert connection.aborted
    assert "its head is longer" in str(protocol.exception())


@pytest.mark.parametrize("size", [1, 8])
async def test_tiny_chunks_end_it_before_they_cost_much(size: int) -> None:
    protocol, connection = await waiting()
    protocol.data_received(CHUNKED + chunks(size, 200_000))
    _, content = await protocol.read()
    assert connection.aborted
    assert content.total_bytes < 5 * MOST_FRAMING_BYTES
    with pytest.raises(FloodError, match="bytes of framing"):
        await content.read()


@pytest.mark.parametrize(
    "flood",
    [pytest.param(b"5;" + b"x" * 10**6, id="extension"), pytest.param(b"0\r\n" + b"X: y\r\n" * 10**5, id="trailers")],
)
async def test_framing_without_content_ends_it(flood: bytes) -> None:
    protocol, connection = await waiting()
    protocol.data_received(CHUNKED + b"1\r\nx\r\n")
    for start in range(0, len(flood), 4096):
        if protocol.exception() is None:
            protocol.data_received(flood[start : start + 4096])
    assert protocol.exception() is not None
    assert connection.aborted


async def test_chunks_of_a_line_are_borne() -> None:
    protocol, connection = await waiting()
    for _ in range(100):
        protocol.data_received((CHUNKED if not protocol else b"") + chunks(32, 1000))
        _, content = protocol._buffer[0][0]
        await content.readany()
    assert not connection.aborted


@pytest.mark.parametrize("head", [True, False])
async def test_what_comes_unasked_is_no_answer_to_the_next_request(head: bool) -> None:
    protocol, connection = await waiting(head=head)
    protocol.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await protocol.read()
    assert not protocol.should_close
    protocol.data_received(OK)
    assert connection.aborted
    assert len(protocol) == 0


async def test_a_second_answer_in_the_same_piece_is_not_taken() -> None:
    protocol, connection = await waiting()
    protocol.data_received(OK + OK)
    assert (len(protocol), connection.aborted) == (1, True)
    _, content = await protocol.read()
    assert await content.read() == b"ok"


@pytest.fixture
async def flooding(server: ScriptedServer) -> ScriptedServer:
    server.raw = FLOOD + WHOLE
    return server


async def refused(upstream: UpstreamRegistry) -> None:
    with pytest.raises(UpstreamProtocolError, match="more than 16 interim answers"):
        await upstream.get_manifest(REPOSITORY, TAG)


@asynccontextmanager
async def way(kind: str, server: ScriptedServer) -> AsyncIterator[UpstreamRegistry]:
    """Open an upstream over plain HTTP, directly or through a proxy."""
    async with AsyncExitStack() as stack:
        proxies = Proxies()
        if kind != "direct":
            proxy = ForwardProxy()
            await stack.enter_async_context(proxy.http() if kind == "http" else proxy.socks())
            proxies = Proxies(f"{kind}://127.0.0.1:{proxy.port}")
        yield await stack.enter_async_context(
            UpstreamRegistry.open(name="hub", url=server.url, plain_http=True, policy=QUICK, proxies=proxies)
        )


@pytest.mark.parametrize("kind", ["direct", "http", "socks5"])
async def test_no_way_lets_a_flood_through(kind: str, flooding: ScriptedServer) -> None:
    async with way(kind, flooding) as upstream:
        await refused(upstream)


@pytest.mark.parametrize("kind", ["direct", "http", "socks5"])
async def test_every_way_lets_some_interim_answers_through(kind: str, server: ScriptedServer) -> None:
    server.raw = INTERIM * 3 + WHOLE
    async with way(kind, server) as upstream:
        assert (await upstream.get_manifest(REPOSITORY, TAG)).content == MANIFEST


@pytest.mark.parametrize("kind", ["direct", "http", "socks5"])
async def test_inside_tls_it_is_the_same(kind: str, tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(FLOOD)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(flood, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with AsyncExitStack() as stack:
            proxies = Proxies()
            if kind != "direct":
                proxy = ForwardProxy()
                await stack.enter_async_context(proxy.http() if kind == "http" else proxy.socks())
                proxies = Proxies(f"{kind}://127.0.0.1:{proxy.port}")
            upstream = await stack.enter_async_context(
                UpstreamRegistry.open(
                    name="hub",
                    url=f"https://127.0.0.1:{port}",
                    tls=Tls(tmp_path / "ca.pem"),
                    policy=QUICK,
                    proxies=proxies,
                )
            )
            await refused(upstream)
    finally:
        listening.close()


async def test_a_token_server_may_not_either(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    async with ScriptedServer().running() as tokens:
        tokens.raw = FLOOD
        challenge = f'Bearer realm="{tokens.url}/token"'
        server.on(f"GET {TAG_PATH}", Reply(401, headers={"WWW-Authenticate": challenge}))
        await refused(upstream)


async def test_nor_may_who_it_redirects_to(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    async with ScriptedServer().running() as elsewhere:
        elsewhere.raw = FLOOD
        server.on(f"GET {TAG_PATH}", Reply(307, headers={"Location": elsewhere.url}))
        await refused(upstream)


async def test_nor_may_a_proxy_itself(server: ScriptedServer) -> None:
    server.raw = FLOOD
    async with UpstreamRegistry.open(
        name="hub", url="https://hub.example", policy=QUICK, proxies=Proxies(server.url)
    ) as upstream:
        await refused(upstream)
