"""Conduct towards an upstream: headers, redirects, tokens over HTTP, timeouts in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror import __version__
from mirror.oci.errors import (
    ConfigurationFault,
    UpstreamFault,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from mirror.upstream.auth.credentials import Credentials
from mirror.upstream.http.upstream_urls import UpstreamUrls
from mirror.upstream.limits.upstream_policy import Timeouts
from mirror.upstream.registry import UpstreamRegistry
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.waiting import until
from tests.unit.upstream.conftest import QUICK
from tests.unit.upstream.content import (
    BLOB,
    BLOB_PATH,
    DESCRIBED,
    DIGEST,
    MANIFEST,
    REPOSITORY,
    ROOT,
    TAG,
    TAG_PATH,
    UPLOADS_PATH,
)

GET = f"GET {TAG_PATH}"
FOUND = Reply(200, MANIFEST, DESCRIBED)
SECRET = "Basic amltbXk6czNjcmV0"  # jimmy:s3cret
BASIC_WANTED = Reply(401, headers={"WWW-Authenticate": 'Basic realm="x"'})


@pytest.fixture
async def other(no_task_is_left: None) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer().running() as running:
        yield running


@pytest.fixture
async def known(server: ScriptedServer) -> AsyncIterator[UpstreamRegistry]:
    async with UpstreamRegistry.open(
        name="hub", url=server.url, plain_http=True, login=Credentials("jimmy", "s3cret"), policy=QUICK
    ) as opened:
        yield opened


async def read(upstream: UpstreamRegistry) -> bytes:
    async with upstream.open_blob(REPOSITORY, DIGEST) as blob:
        return b"".join([chunk async for chunk in blob])


async def test_headers_of_every_request(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, FOUND)
    await upstream.get_manifest(REPOSITORY, TAG)
    headers = server.seen[0].headers
    assert headers["User-Agent"] == f"docker-plugin-mirror/{__version__}"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert "application/vnd.docker.distribution.manifest.v2+json" in headers["Accept"]
    assert "Authorization" not in headers
    assert "Cookie" not in headers


async def test_cookies_are_not_kept(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(200, MANIFEST, {**DESCRIBED, "Set-Cookie": "a=b; Path=/"}))
    await upstream.get_manifest(REPOSITORY, TAG)
    await upstream.get_manifest(REPOSITORY, TAG)
    assert all("Cookie" not in request.headers for request in server.seen)
    assert server.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_loses_authorization(
    server: ScriptedServer, other: ScriptedServer, known: UpstreamRegistry, status: int
) -> None:
    server.on(GET, BASIC_WANTED, FOUND)
    await known.get_manifest(REPOSITORY, TAG)
    server.on(f"GET {BLOB_PATH}", Reply(status, headers={"Location": f"{other.url}/b?X-Sig=a%2Fb%20c"}))
    other.on("GET /b?X-Sig=a%2Fb%20c", Reply(200, BLOB))
    assert await read(known) == BLOB
    assert server.seen[-1].headers["Authorization"] == SECRET
    assert other.lines == ["GET /b?X-Sig=a%2Fb%20c"]
    assert "Authorization" not in other.seen[0].headers


async def test_a_redirect_within_the_host_keeps_authorization(server: ScriptedServer, known: UpstreamRegistry) -> None:
    server.on(GET, BASIC_WANTED, Reply(307, headers={"Location": "/elsewhere"}))
    server.on("GET /elsewhere", FOUND)
    await known.get_manifest(REPOSITORY, TAG)
    assert server.lines == [GET, GET, "GET /elsewhere"]
    assert server.seen[-1].headers["Authorization"] == SECRET


async def test_another_host_cannot_ask_who_we_are(
    server: ScriptedServer, other: ScriptedServer, known: UpstreamRegistry
) -> None:
    server.on(GET, Reply(307, headers={"Location": f"{other.url}/m"}))
    other.on("GET /m", BASIC_WANTED)
    with pytest.raises(UpstreamRefused, match=f"{other.url}/m answered 401"):
        await known.get_manifest(REPOSITORY, TAG)
    assert other.lines == ["GET /m"]
    assert "Authorization" not in other.seen[0].headers


async def test_users_in_redirects_are_not_used(
    server: ScriptedServer, other: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(GET, Reply(307, headers={"Location": f"http://jimmy:s3cret@127.0.0.1:{other.port}/m"}))
    other.on("GET /m", FOUND)
    await upstream.get_manifest(REPOSITORY, TAG)
    assert "Authorization" not in other.seen[0].headers


async def test_redirects_in_a_circle_end(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(307, headers={"Location": TAG_PATH}))
    with pytest.raises(UpstreamProtocolError, match="redirected too often"):
        await upstream.get_manifest(REPOSITORY, TAG)
    assert server.lines == [GET] * 6


@pytest.mark.parametrize("location", ["ftp://x/", "file:///etc/passwd", "http://[::1", "http://x:99999/"])
async def test_redirects_to_what_is_no_url(server: ScriptedServer, upstream: UpstreamRegistry, location: str) -> None:
    server.on(GET, Reply(307, headers={"Location": location}))
    with pytest.raises(UpstreamProtocolError, match="not a valid URL"):
        await upstream.get_manifest(REPOSITORY, TAG)
    assert server.lines == [GET]


async def test_a_redirect_without_location(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(302))
    with pytest.raises(UpstreamProtocolError, match="302 without Location"):
        await upstream.get_manifest(REPOSITORY, TAG)


async def test_a_write_is_not_redirected(
    server: ScriptedServer, other: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(f"POST {UPLOADS_PATH}", Reply(307, headers={"Location": f"{other.url}/u"}))
    with pytest.raises(UpstreamProtocolError, match="redirects a write"):
        await upstream.begin_upload(REPOSITORY)
    assert other.seen == []


async def test_signed_urls_are_not_shown_in_errors(
    server: ScriptedServer, other: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(f"GET {BLOB_PATH}", Reply(307, headers={"Location": f"{other.url}/b?X-Sig=secret"}))
    other.on("GET /b?X-Sig=secret", Reply(403))
    with pytest.raises(UpstreamRefused) as raised:
        await read(upstream)
    assert f"{other.url}/b answered 403" in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_the_token_flow_over_the_wire(
    server: ScriptedServer, other: ScriptedServer, known: UpstreamRegistry
) -> None:
    scope = f"repository:{REPOSITORY}:pull"
    challenge = f'Bearer realm="{other.url}/token",service="hub",scope="{scope}"'
    ask = "POST /token"
    server.on(GET, Reply(401, headers={"WWW-Authenticate": challenge}), FOUND)
    server.on(f"HEAD {BLOB_PATH}", Reply(200, BLOB))
    other.on(ask, Reply(200, b'{"token": "abc", "expires_in": 300}'))
    await known.get_manifest(REPOSITORY, TAG)
    await known.stat_blob(REPOSITORY, DIGEST)
    assert server.lines == [GET, GET, f"HEAD {BLOB_PATH}"]
    assert [request.headers.get("Authorization") for request in server.seen] == [None, "Bearer abc", "Bearer abc"]
    assert other.lines == [ask]
    assert "Authorization" not in other.seen[0].headers
    assert parse_qs(other.seen[0].body.decode()) == {
        "grant_type": ["password"],
        "service": ["hub"],
        "client_id": ["docker-plugin-mirror"],
        "scope": [scope],
        "username": ["jimmy"],
        "password": ["s3cret"],
    }


async def test_a_token_server_that_knows_no_post(
    server: ScriptedServer, other: ScriptedServer, known: UpstreamRegistry
) -> None:
    server.on(GET, Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{other.url}/token"'}), FOUND)
    ask = f"GET /token?scope=repository:{REPOSITORY}:pull&account=jimmy"
    other.on("POST /token", Reply(405))
    other.on(ask, Reply(200, b'{"token": "abc", "expires_in": 300}'))
    await known.get_manifest(REPOSITORY, TAG)
    assert other.lines == ["POST /token", ask]
    assert other.seen[1].headers["Authorization"] == SECRET


@pytest.mark.parametrize("realm", ["http://x:99999/", "http://exa mple/", "http://\u2100.example/", "http://x:y/"])
async def test_a_token_server_that_cannot_be_asked(server: ScriptedServer, known: UpstreamRegistry, realm: str) -> None:
    server.on(GET, Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'}))
    with pytest.raises(UpstreamFault, match="upstream hub"):
        await known.get_manifest(REPOSITORY, TAG)
    assert server.lines == [GET] or server.lines == [GET] * 3


async def test_a_token_server_is_bounded(
    server: ScriptedServer, other: ScriptedServer, known: UpstreamRegistry
) -> None:
    server.on(GET, Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{other.url}/token"'}))
    line = "POST /token"
    other.on(line, Reply(200, b"{", length=-1, then="endless"))
    with pytest.raises(UpstreamProtocolError, match="longer than 65536 bytes"):
        await known.get_manifest(REPOSITORY, TAG)
    assert other.lines == [line]


async def test_a_token_server_that_redirects_elsewhere_does_not_pass_the_password_on(
    server: ScriptedServer, other: ScriptedServer, known: UpstreamRegistry
) -> None:
    server.on(GET, Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}), FOUND)
    line = f"GET /token?scope=repository:{REPOSITORY}:pull&account=jimmy"
    server.on("POST /token", Reply(404))
    server.on(line, Reply(307, headers={"Location": f"{other.url}/t"}))
    other.on("GET /t", Reply(200, b'{"token": "abc"}'))
    await known.get_manifest(REPOSITORY, TAG)
    assert "Authorization" not in other.seen[0].headers


async def test_an_endless_error_body_is_not_read_to_its_end(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(403, b"<", length=-1, then="endless"))
    with pytest.raises(UpstreamRefused, match="answered 403"):
        await upstream.get_manifest(REPOSITORY, TAG)


async def test_a_dripping_manifest_ends(server: ScriptedServer) -> None:
    clients = 0  # one for each try

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal clients
        clients += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)  # many bytes within the read timeout: slow, and never silent
        except ConnectionError:
            writer.transport.abort()
            clients -= 1

    dripping = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{dripping.sockets[0].getsockname()[1]}"
    async with (
        dripping,
        UpstreamRegistry.open(
            name="slow", url=url, plain_http=True, policy=replace(QUICK, timeouts=Timeouts(read_seconds=0.5))
        ) as slow,
    ):
        with pytest.raises(UpstreamUnreachable, match="almost no data within the read timeout"):
            await slow.get_manifest(REPOSITORY, TAG)
    await until(lambda: not clients)


async def test_a_server_that_stops_reading_is_left(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(f"POST {UPLOADS_PATH}", Reply(202, headers={"Location": f"{UPLOADS_PATH}1"}))
    upload = await upstream.begin_upload(REPOSITORY)
    server.stop_reading = True

    async def much() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield bytes(1024 * 1024)

    with pytest.raises(UpstreamUnreachable, match="no data within the read timeout"):
        await upload.append(much())


async def test_cancellation_is_passed_on(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(200, b"", DESCRIBED, length=10, then="stall"))
    task = asyncio.ensure_future(upstream.get_manifest(REPOSITORY, TAG))
    await until(lambda: server.lines == [GET])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.lines == [GET]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://hub.example", "write https://hub.example, or set upstreams.hub.plain_http: true"),
        ("ftp://hub.example", "write https://HOST"),
        ("hub.example", "write https://HOST"),
        ("https://xn--a.example", "an invalid host"),
        ("", "write https://HOST"),
    ],
)
async def test_urls_that_cannot_be_used(url: str, text: str) -> None:
    with pytest.raises(ConfigurationFault, match=text):
        async with UpstreamRegistry.open(name="hub", url=url):
            pass


async def test_a_slash_at_the_end_of_the_url_is_no_path(server: ScriptedServer) -> None:
    server.on(GET, FOUND)
    async with UpstreamRegistry.open(name="hub", url=f"{server.url}/", plain_http=True) as opened:
        await opened.get_manifest(REPOSITORY, TAG)
    assert server.lines == [f"GET {ROOT}/manifests/{TAG}"]


async def test_https_to_a_server_that_speaks_http() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}"
    async with plain, UpstreamRegistry.open(name="hub", url=url, policy=QUICK) as opened:
        with pytest.raises(UpstreamProtocolError, match="the server may expect plain http"):
            await opened.get_manifest(REPOSITORY, TAG)


async def test_a_server_that_does_not_finish_the_handshake(server: ScriptedServer) -> None:
    async with UpstreamRegistry.open(
        name="hub",
        url=f"https://127.0.0.1:{server.port}",
        policy=replace(QUICK, timeouts=Timeouts(connect_seconds=0.1)),
    ) as opened:
        with pytest.raises(UpstreamUnreachable, match="no connection within the connect timeout"):
            await opened.get_manifest(REPOSITORY, TAG)
    await until(lambda: server.connections)  # on a loaded machine the server may accept after the timeout
    assert server.connections == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000", "http://127.0.0.1:5000/repository/docker"])
def test_any_location_is_a_place_or_a_lie(url: str) -> None:
    piece = st.sampled_from(
        ["http://", "https://", "//", "/", "[", "[::", "]", "@", ":99999", "..", "%zz", "\0", "?", "#"]
    )
    addresses = UpstreamUrls("hub", url, plain_http=True)

    @given(st.lists(piece | st.text(max_size=5), max_size=8).map("".join))
    def check(location: str) -> None:
        with suppress(UpstreamProtocolError):
            place = addresses.relative(UPLOADS_PATH, location)
            assert place.startswith(("/", "http://", "https://"))
            assert not place.startswith("//")
            if place.startswith("/"):
                assert str(addresses.absolute(place)).startswith(f"{url}/")

    check()
