"""Authentication over the wire: hidden content, old tokens, several token servers, redirects to other registries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mirror.oci.errors import DigestInvalid, UpstreamProtocolError, UpstreamRefused
from mirror.upstream.auth.credentials import Credentials
from mirror.upstream.registry import UpstreamRegistry
from tests.support.scripted_server import Reply, ScriptedServer
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
TOKEN = Reply(200, b'{"token": "abc", "expires_in": 300}')
ASK = f"GET /token?scope=repository:{REPOSITORY}:pull"


def challenge(realm: str) -> Reply:
    return Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})


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


def authorizations(server: ScriptedServer, line: str) -> list[str | None]:
    return [request.headers.get("Authorization") for request in server.seen if request.line == line]


async def test_hidden_content_is_found_with_the_challenge_of_the_root(
    server: ScriptedServer, known: UpstreamRegistry
) -> None:
    server.on(GET, Reply(404), FOUND)
    server.on("GET /v2/", challenge(f"{server.url}/token"))
    server.on("POST /token", TOKEN)
    assert (await known.get_manifest(REPOSITORY, TAG)).content == MANIFEST
    assert server.lines == [GET, "GET /v2/", "POST /token", GET]
    assert authorizations(server, GET) == [None, "Bearer abc"]
    assert authorizations(server, "GET /v2/") == [None]


async def test_concurrent_requests_ask_for_the_challenge_once(server: ScriptedServer, known: UpstreamRegistry) -> None:
    paths = [f"GET {ROOT}/manifests/{number}" for number in range(5)]
    for line in paths:
        server.on(line, Reply(404), FOUND)
    server.on("GET /v2/", challenge(f"{server.url}/token"))
    server.on("POST /token", TOKEN)
    await asyncio.gather(*(known.get_manifest(REPOSITORY, type(TAG)(str(number))) for number in range(5)))
    assert (server.lines.count("GET /v2/"), server.lines.count("POST /token")) == (1, 1)


async def test_a_token_that_the_upstream_forgot_is_replaced(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, challenge(f"{server.url}/token"), FOUND, Reply(400), challenge(f"{server.url}/token"), FOUND)
    server.on(ASK, TOKEN, Reply(200, b'{"token": "def"}'))
    for _ in range(2):
        await upstream.get_manifest(REPOSITORY, TAG)
    assert authorizations(server, GET) == [None, "Bearer abc", "Bearer abc", None, "Bearer def"]


async def test_the_end_of_an_upload_is_not_sent_again_for_a_400(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    post, put = f"POST {UPLOADS_PATH}", f"PUT {UPLOADS_PATH}1?digest={DIGEST}"
    server.on(post, challenge(f"{server.url}/token"), Reply(202, headers={"Location": f"{UPLOADS_PATH}1"}))
    server.on(f"GET /token?scope=repository:{REPOSITORY}:pull,push", TOKEN)
    # The registry ends the upload session with the first answer.
    server.on(put, Reply(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"wrong"}]}'), Reply(404))
    server.on(f"DELETE {UPLOADS_PATH}1", Reply(404))
    upload = await upstream.begin_upload(REPOSITORY)
    with pytest.raises(DigestInvalid):
        await upload.commit(DIGEST)
    assert server.lines.count(put) == 1


async def test_a_streamed_body_is_sent_once_and_its_refused_token_forgotten(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    post, patch = f"POST {UPLOADS_PATH}", f"PATCH {UPLOADS_PATH}1"
    ask = f"GET /token?scope=repository:{REPOSITORY}:pull,push"
    begun = Reply(202, headers={"Location": f"{UPLOADS_PATH}1"})
    server.on(post, challenge(f"{server.url}/token"), begun)
    server.on(ask, TOKEN)
    server.on(patch, Reply(401))

    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"

    upload = await upstream.begin_upload(REPOSITORY)
    with pytest.raises(UpstreamRefused):
        await upload.append(chunks())
    await upstream.begin_upload(REPOSITORY)
    assert authorizations(server, patch) == ["Bearer abc"]
    assert authorizations(server, post) == [None, "Bearer abc", None]


async def test_another_registry_gets_an_anonymous_token_of_its_own(
    server: ScriptedServer, other: ScriptedServer, known: UpstreamRegistry
) -> None:
    server.on(f"GET {BLOB_PATH}", challenge(f"{server.url}/token"), Reply(307, headers={"Location": f"{other.url}/b"}))
    server.on("POST /token", TOKEN)
    wanted = f'Bearer realm="{other.url}/token",service="other",scope="repository:c/d:pull"'
    other.on("GET /b", Reply(401, headers={"WWW-Authenticate": wanted}), Reply(200, BLOB))
    ask = "GET /token?service=other&scope=repository:c/d:pull"
    other.on(ask, Reply(200, b'{"token": "theirs"}'))
    for _ in range(2):
        async with known.open_blob(REPOSITORY, DIGEST) as blob:
            assert b"".join([chunk async for chunk in blob]) == BLOB
    assert other.lines == ["GET /b", ask, "GET /b", "GET /b"]
    assert authorizations(other, "GET /b") == [None, "Bearer theirs", "Bearer theirs"]
    assert authorizations(other, ask) == [None]
    assert set(authorizations(server, f"GET {BLOB_PATH}")) == {None, "Bearer abc"}


async def test_a_token_of_another_registry_that_does_not_help_is_the_end(
    server: ScriptedServer, other: ScriptedServer, known: UpstreamRegistry
) -> None:
    server.on(GET, Reply(307, headers={"Location": f"{other.url}/m"}))
    other.on("GET /m", challenge(f"{other.url}/token"))
    other.on(ASK, TOKEN)
    with pytest.raises(UpstreamRefused, match=f"{other.url}/m answered 401"):
        await known.get_manifest(REPOSITORY, TAG)
    assert other.lines == ["GET /m", ASK, "GET /m"]
    assert server.lines == [GET]


async def test_another_registry_cannot_name_a_forbidden_token_server(
    server: ScriptedServer, other: ScriptedServer, known: UpstreamRegistry
) -> None:
    server.on(GET, Reply(307, headers={"Location": f"{other.url}/m"}))
    other.on("GET /m", challenge("http://169.254.169.254/token"))
    with pytest.raises(UpstreamProtocolError, match="a link-local address: not followed"):
        await known.get_manifest(REPOSITORY, TAG)
    assert other.lines == ["GET /m"]


async def test_a_second_token_server_helps_if_the_first_is_down(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    both = f'Bearer realm="http://127.0.0.1:1/token", Bearer realm="{server.url}/token"'
    server.on(GET, Reply(401, headers={"WWW-Authenticate": both}), FOUND)
    server.on(ASK, TOKEN)
    await upstream.get_manifest(REPOSITORY, TAG)
    assert authorizations(server, GET) == [None, "Bearer abc"]
