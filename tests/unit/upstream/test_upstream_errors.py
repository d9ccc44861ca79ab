"""Errors of an upstream, their names, and the exact requests that were sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mirror.app.upstream_registries import open_anonymously
from mirror.oci import Digest, errors
from mirror.oci.errors import MirrorError
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.runtime.error_advice import advised
from mirror.runtime.retry_policy import RetryPolicy
from mirror.upstream.limits.upstream_policy import UpstreamPolicy
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.pagination import PageRequest
from tests.support.scripted_server import Reply, ScriptedServer
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
    TYPED,
)

Action = Callable[[UpstreamRegistry], Awaitable[Any]]


async def get(upstream: UpstreamRegistry) -> Any:
    return await upstream.get_manifest(REPOSITORY, TAG)


async def get_by_digest(upstream: UpstreamRegistry) -> Any:
    return await upstream.get_manifest(REPOSITORY, MANIFEST_DIGEST)


async def resolve(upstream: UpstreamRegistry) -> Any:
    return await upstream.resolve(REPOSITORY, TAG)


async def resolve_digest(upstream: UpstreamRegistry) -> Any:
    return await upstream.resolve(REPOSITORY, MANIFEST_DIGEST)


async def read(upstream: UpstreamRegistry) -> Any:
    async with upstream.open_blob(REPOSITORY, DIGEST) as blob:
        return b"".join([chunk async for chunk in blob])


async def tags(upstream: UpstreamRegistry) -> Any:
    return await upstream.list_tags(REPOSITORY, PageRequest())


async def repositories(upstream: UpstreamRegistry) -> Any:
    return await upstream.list_repositories(PageRequest())


async def delete(upstream: UpstreamRegistry) -> Any:
    return await upstream.delete_manifest(REPOSITORY, MANIFEST_DIGEST)


GET, HEAD = f"GET {TAG_PATH}", f"HEAD {TAG_PATH}"
GET_BLOB = f"GET {BLOB_PATH}"
LIST = f"GET {ROOT}/tags/list?n=1000"
CATALOG = "GET /v2/_catalog?n=1000"
DELETE = f"DELETE {DIGEST_PATH}"
DENIED = b'{"errors":[{"code":"DENIED","message":"requested access is denied","detail":{}}]}'
NAMELESS = b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such name"}]}'
PAGE = b"<html><body>It works!</body></html>"
OTHER = str(Digest.of(b"other"))
BIG = b"{" + b" " * (5 * 1024 * 1024) + b"}"
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("action", "line", "reply", "error", "asked", "text"),
    [
        # not there
        (get, GET, Reply(404), errors.ManifestUnknown, [GET], "answered 404"),
        (get, GET, Reply(404, NAMELESS), errors.RepositoryUnknown, [GET], "NAME_UNKNOWN: no such name"),
        (get, GET, Reply(404, PAGE), errors.ManifestUnknown, [GET], "check that the URL is that of a registry"),
        (read, GET_BLOB, Reply(404), errors.BlobUnknown, [GET_BLOB], "answered 404"),
        (tags, LIST, Reply(404, NAMELESS), errors.RepositoryUnknown, [LIST], "NAME_UNKNOWN"),
        # not for us
        (get, GET, Reply(401), errors.UpstreamRefused, [GET], "set upstreams.hub.credentials"),
        (get, GET, Reply(403, DENIED), errors.UpstreamRefused, [GET], "DENIED: requested access is denied"),
        (read, GET_BLOB, Reply(403, PAGE), errors.UpstreamRefused, [GET_BLOB], "a web page"),
        # not now
        (get, GET, Reply(429), errors.UpstreamBusy, [GET] * 3, "answered 429"),
        (get, GET, Reply(500, PAGE), errors.UpstreamBusy, [GET] * 3, "answered 500"),
        (resolve, HEAD, Reply(503), errors.UpstreamBusy, [HEAD] * 3, "answered 503"),
        (read, GET_BLOB, Reply(502), errors.UpstreamBusy, [GET_BLOB] * 3, "answered 502"),
        (get, GET, Reply(429, headers={"Retry-After": "3600"}), errors.UpstreamBusy, [GET], "answered 429"),
        (delete, DELETE, Reply(500), errors.UpstreamBusy, [DELETE], "answered 500"),
        # switched off
        (delete, DELETE, Reply(405), errors.Unsupported, [DELETE], "answered 405"),
        # not true
        (get, GET, Reply(200, PAGE, {"Content-Type": "text/html"}), errors.UpstreamProtocolError, [GET], "text/html"),
        (get, GET, Reply(200, MANIFEST), errors.UpstreamProtocolError, [GET], "(none) is not the type of a manifest"),
        (get, GET, Reply(200, b"{}", TYPED), errors.UpstreamProtocolError, [GET], "schemaVersion"),
        (get, GET, Reply(200, b"\xff\x00", TYPED), errors.UpstreamProtocolError, [GET], "not JSON"),
        (get, GET, Reply(200, DEEP, TYPED), errors.UpstreamProtocolError, [GET], "not JSON"),
        (
            get,
            GET,
            Reply(200, BIG, TYPED),
            errors.UpstreamProtocolError,
            [GET],
            f"longer than {MAX_MANIFEST_BYTES} bytes",
        ),
        (
            get,
            GET,
            Reply(200, b"{", TYPED, length=-1, then="endless"),
            errors.UpstreamProtocolError,
            [GET],
            "longer than",
        ),
        (
            get,
            GET,
            Reply(200, MANIFEST, {**TYPED, "Docker-Content-Digest": OTHER}),
            errors.UpstreamProtocolError,
            [GET],
            "has digest",
        ),
        (
            get,
            GET,
            Reply(200, MANIFEST, {**TYPED, "Docker-Content-Digest": "../../x"}),
            errors.UpstreamProtocolError,
            [GET],
            "not a digest",
        ),
        (
            get,
            GET,
            Reply(200, MANIFEST, {**TYPED, "Content-Encoding": "gzip"}),
            errors.UpstreamProtocolError,
            [GET],
            "Content-Encoding",
        ),
        (
            get_by_digest,
            f"GET {DIGEST_PATH}",
            Reply(200, MANIFEST.replace(b"   ", b" "), TYPED),
            errors.UpstreamProtocolError,
            [f"GET {DIGEST_PATH}"],
            "has digest",
        ),
        (
            resolve_digest,
            f"HEAD {DIGEST_PATH}",
            Reply(200, b"", {**TYPED, "Docker-Content-Digest": OTHER}, length=9),
            errors.UpstreamProtocolError,
            [f"HEAD {DIGEST_PATH}"],
            OTHER,
        ),
        (get, GET, Reply(204), errors.UpstreamProtocolError, [GET], "not a valid answer to this request"),
        (get, GET, Reply(304), errors.UpstreamProtocolError, [GET], "not a valid answer to this request"),
        (
            read,
            GET_BLOB,
            Reply(206, BLOB),
            errors.UpstreamProtocolError,
            [GET_BLOB],
            "not a valid answer to this request",
        ),
        (read, GET_BLOB, Reply(200, BLOB[:-1] + b"!"), errors.UpstreamProtocolError, [GET_BLOB], "has digest"),
        (tags, LIST, Reply(200, PAGE), errors.UpstreamProtocolError, [LIST], "not JSON"),
        (tags, LIST, Reply(200, b'{"tags": "1.0"}'), errors.UpstreamProtocolError, [LIST], "tags is not a list"),
        (tags, LIST, Reply(200, b'{"tags": [1]}'), errors.UpstreamProtocolError, [LIST], "not a list of names"),
        (tags, LIST, Reply(200, b"[", length=-1, then="endless"), errors.UpstreamProtocolError, [LIST], "longer than"),
        (repositories, CATALOG, Reply(200, b"[]"), errors.UpstreamProtocolError, [CATALOG], "not a JSON object"),
        # no answer
        (get, GET, Reply(200, MANIFEST[:9], TYPED, 99, then="cut"), errors.UpstreamUnreachable, [GET] * 3, "broke off"),
        (get, GET, Reply(200, MANIFEST[:9], TYPED, 99, "stall"), errors.UpstreamUnreachable, [GET] * 3, "read timeout"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
async def test_what_an_upstream_does_wrong_has_a_name(
    server: ScriptedServer,
    upstream: UpstreamRegistry,
    action: Action,
    line: str,
    reply: Reply,
    error: type[MirrorError],
    asked: list[str],
    text: str,
) -> None:
    server.on(line, reply)
    with pytest.raises(MirrorError) as raised:
        await action(upstream)
    assert type(raised.value) is error, raised.value
    assert server.lines == asked
    assert text in str(raised.value)
    assert "upstream hub" in str(raised.value)
    assert len(str(raised.value)) < 800
    assert str(raised.value).count("fix:") <= 1


REGISTRY_FIX = (
    b'{"errors":[{"code":"DENIED","message":"it is held; fix: approve it"},{"code":"X","message":"x; fix: y"}]}'
)


@pytest.mark.parametrize(
    ("reply", "fix"),
    [
        (Reply(401, PAGE), "set upstreams.hub.credentials, or correct the name"),
        (Reply(401, headers={"WWW-Authenticate": "Negotiate"}), "let it accept a password or a token there"),
        (
            Reply(401, headers={"WWW-Authenticate": "Negotiate, Basic"}),
            "set upstreams.hub.credentials, or correct the name",
        ),
        (Reply(403, REGISTRY_FIX), "approve it"),
        (Reply(429, PAGE), "try again later"),
        (Reply(503, PAGE), "try again later"),
        (Reply(206, PAGE), "check that the URL is that of a registry"),
        (Reply(404, PAGE), "check that the URL is that of a registry"),
        (Reply(418, REGISTRY_FIX), "approve it"),
        (Reply(200, PAGE, TYPED), "check that the address is that of a registry"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else "",
)
async def test_a_message_has_one_fix(
    server: ScriptedServer, upstream: UpstreamRegistry, reply: Reply, fix: str
) -> None:
    server.on(GET, reply)
    with pytest.raises(MirrorError) as raised:
        await get(upstream)
    line = advised(raised.value)
    assert line.count("fix:") == 1
    assert line.partition("; fix: ")[2] == fix


async def test_a_host_of_the_command_line_has_no_settings(server: ScriptedServer) -> None:
    server.on(GET, Reply(401))
    async with open_anonymously(server.url.removeprefix("http://")) as upstream:
        with pytest.raises(
            errors.UpstreamRefused, match=f"; fix: configure an upstream with the url {server.url} and "
        ):
            await get(upstream)


async def test_a_reset_may_come_from_a_server_with_tls() -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1") as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        policy = UpstreamPolicy(retry=RetryPolicy(attempts=1))
        async with UpstreamRegistry.open(name="hub", url=url, plain_http=True, policy=policy) as upstream:
            with pytest.raises(errors.UpstreamUnreachable) as raised:
                await get(upstream)
    told = str(raised.value)
    assert "the server may expect TLS; fix: check the address and the port" in told
    assert "Errno" not in told


@pytest.mark.parametrize(
    "raw", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"\x00" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n"]
)
async def test_what_is_not_http_is_an_error_of_the_tree(
    server: ScriptedServer, upstream: UpstreamRegistry, raw: bytes
) -> None:
    server.raw = raw
    with pytest.raises(errors.UpstreamFault, match="upstream hub: GET"):
        await get(upstream)


async def test_what_may_pass_passes(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(503), Reply(429, headers={"Retry-After": "0"}), Reply(200, MANIFEST, TYPED))
    assert (await upstream.get_manifest(REPOSITORY, TAG)).content == MANIFEST
    assert server.lines == [GET] * 3


async def test_a_manifest_that_breaks_off_is_asked_for_again(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(GET, Reply(200, MANIFEST[:50], TYPED, len(MANIFEST), "cut"), Reply(200, MANIFEST, TYPED))
    assert (await upstream.get_manifest(REPOSITORY, TAG)).content == MANIFEST
    assert server.lines == [GET] * 2


async def test_retry_after_is_told(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(GET, Reply(429, headers={"Retry-After": "3600"}))
    with pytest.raises(errors.UpstreamBusy) as raised:
        await get(upstream)
    assert raised.value.detail["retry_after_seconds"] == "3600.0"


async def test_nobody_there(server: ScriptedServer) -> None:
    async with UpstreamRegistry.open(name="gone", url="http://127.0.0.1:1", plain_http=True) as gone:
        with pytest.raises(errors.UpstreamUnreachable, match=r"upstream gone: GET .*no connection"):
            await get(gone)
    assert server.seen == []
