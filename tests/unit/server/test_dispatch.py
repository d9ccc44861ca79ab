"""Requests outside the registry API: other paths and methods, hostile bytes, and bugs of the server."""

from __future__ import annotations

import asyncio
import json

import pytest

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import Denied, MirrorError, StorageFull, UpstreamBusy, UpstreamUnreachable
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from tests.support.served import LAYER, MANIFEST, REPOSITORY, TAG, Served, digest, served


@pytest.mark.parametrize("target", ["/v2/", "/v2", "/v2/?ns=docker.io", "http://mirror/v2/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_ping(empty: Served, method: str, target: str) -> None:
    answer = await empty.ask(method, target)
    assert (answer.status, answer.headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")
    assert answer.body == (b"{}" if method == "GET" else b"")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/_ping", 404),
        ("GET", "/v1/repositories/foo/images", 404),
        ("GET", "/", 404),
        ("GET", "/favicon.ico", 404),
        ("GET", "/v2/contiv/v2plugin/_trust/tuf/root.json", 404),
        ("GET", "/v2//manifests/1.0", 404),
        ("GET", "//v2/", 404),
        ("GET", "/v2/../../etc/passwd", 404),
        ("GET", "/v2/../../etc/manifests/1.0", 400),
        ("GET", "/v2/%2e%2e/%2e%2e/etc/manifests/1.0", 400),
        ("GET", "/v2/..%2f..%2fetc/blobs/" + digest(b""), 400),
        ("POST", "/v2/..%2f..%2fetc/blobs/uploads/", 400),
        ("GET", "/v2/a%00b/manifests/1.0", 400),
        ("GET", "/v2/%ff/manifests/1.0", 400),
        ("GET", "/v2/a/manifests/%2e%2e%2fx", 404),
        ("GET", "/v2/" + "a" * 256 + "/manifests/1.0", 400),
        ("PUT", "/v2/", 405),
        ("OPTIONS", "/v2/_catalog", 405),
        ("TRACE", "/v2/", 405),
        ("PROPFIND", "/v2/", 405),
        ("CONNECT", "mirror:80", 404),
    ],
)
async def test_what_is_not_there_is_refused_in_json(filled: Served, method: str, target: str, status: int) -> None:
    answer = await filled.ask(method, target, [("Accept", "text/html")])
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    error = answer.json["errors"][0]
    assert error["code"].isupper()
    assert error["message"]
    assert error["detail"] is not None


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PUT", "/v2/", "GET, HEAD"),
        ("POST", f"/v2/{REPOSITORY}/manifests/1.0", "DELETE, GET, HEAD, PUT"),
        ("GET", f"/v2/{REPOSITORY}/blobs/uploads/", "POST"),
        ("POST", f"/v2/{REPOSITORY}/blobs/uploads/x", "DELETE, GET, HEAD, PATCH, PUT"),
    ],
)
async def test_a_405_says_what_is_allowed(empty: Served, method: str, target: str, allowed: str) -> None:
    answer = await empty.ask(method, target)
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)


class Failing(DelegatingRegistry):
    """A registry that raises ``error`` for every manifest."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(MemoryRegistry())
        self.error = error

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Denied("not you"), 403, "DENIED"),
        (StorageFull("no space"), 507, "UNKNOWN"),
        (UpstreamUnreachable("no answer"), 504, "UNKNOWN"),
        (UpstreamBusy("try later"), 502, "UNKNOWN"),
        (MirrorError("something"), 500, "UNKNOWN"),
        (ZeroDivisionError("at /secret/place"), 500, "UNKNOWN"),
        (TimeoutError(), 500, "UNKNOWN"),
        (OSError(5, "I/O"), 500, "UNKNOWN"),
        (asyncio.InvalidStateError(), 500, "UNKNOWN"),
    ],
)
async def test_a_fault_becomes_an_error_body(error: BaseException, status: int, code: str) -> None:
    async with served(Failing(error)) as server, server.connect() as connection:
        # An answer to HEAD has no body. A GET follows to see the body of the same error.
        await connection.send("HEAD", f"/v2/{REPOSITORY}/manifests/{TAG}")
        answer = await connection.receive(head=True)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
        await connection.send("GET", "/v2/")
        assert (await connection.receive()).status == 200


class FailingListing(DelegatingRegistry):
    async def list_repositories(self, page: object) -> object:  # type: ignore[override]
        raise ZeroDivisionError("at /secret/place")


async def test_a_fault_of_ours_gives_the_client_a_number_and_nothing_else() -> None:
    async with served(FailingListing(MemoryRegistry())) as server:  # type: ignore[arg-type]
        answer = await server.ask("GET", "/v2/_catalog", [("Accept", "text/html")])
    assert (answer.status, answer.code) == (500, "UNKNOWN")
    error = answer.json["errors"][0]
    assert error["detail"]["request_id"] in error["message"]
    assert b"secret" not in answer.body
    assert b"ZeroDivision" not in answer.body


async def test_pipelined_requests_are_answered_in_order(filled: Served) -> None:
    targets = [f"/v2/{REPOSITORY}/manifests/{TAG}", f"/v2/{REPOSITORY}/blobs/{digest(LAYER)}", "/v2/", "/nothing"] * 5
    async with filled.connect() as connection:
        connection.writer.write(
            b"".join(f"GET {target} HTTP/1.1\r\nHost: mirror\r\n\r\n".encode() for target in targets)
        )
        answers = [await connection.receive() for _ in targets]
    assert [answer.status for answer in answers] == [200, 200, 200, 404] * 5
    assert [answer.body for answer in answers[:3]] == [MANIFEST, LAYER, b"{}"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello in TLS\r\n\r\n", 400),
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /v2/\xff\xfe HTTP/1.1\r\nHost: mirror\r\n\r\n", 400),
        (b"GET /v2/ HTTP/1.1\r\nHost: mirror\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: mirror\r\n\r\n", 431),
        (b"GET /v2/ HTTP/1.1\r\nHost: mirror\r\n" + b"".join(b"X%d: x\r\n" % n for n in range(200)) + b"\r\n", 400),
        (b"PATCH /v2/ HTTP/1.1\r\nHost: m\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"PATCH /v2/ HTTP/1.1\r\nHost: m\r\nContent-Length: x\r\n\r\n", 400),
    ],
)
async def test_what_is_not_http_is_refused_in_json_and_the_connection_ends(
    empty: Served, sent: bytes, status: int
) -> None:
    async with empty.connect() as connection:
        connection.writer.write(sent)
        answer = await connection.receive()
        assert await connection.ended()
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    assert json.loads(answer.body)["errors"][0]["message"]
    assert b"xxx" not in answer.body
