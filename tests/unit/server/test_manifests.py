"""``/v2/NAME/manifests/TARGET``: status, headers and body for each request."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import AsyncExitStack
from typing import Any

import pytest

from mirror.oci import Manifest, Tag
from mirror.oci.incoming_manifest import MAX_VALUES, parse_incoming
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.oci.media_types import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from mirror.registry.memory import MemoryRegistry
from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES
from mirror.server.handlers.manifests import _received
from mirror.server.http.activity import LARGE_MANIFESTS_PER_CLIENT
from mirror.server.http.server_limits import ServerLimits
from mirror.server.request_context import RequestContext
from tests.support.served import (
    MANIFEST,
    REPOSITORY,
    TAG,
    Connection,
    Served,
    digest,
    manifest_bytes,
    put_blob,
    put_plugin,
    served,
)
from tests.support.waiting import until

URL = f"/v2/{REPOSITORY}/manifests"


@pytest.mark.parametrize("target", [TAG.name, digest(MANIFEST), digest(MANIFEST).replace(":", "%3A")])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_manifest_comes_back_as_it_was_pushed(filled: Served, method: str, target: str) -> None:
    answer = await filled.ask(method, f"{URL}/{target}")
    assert answer.status == 200
    assert answer.headers.get_all("Content-Type") == [DOCKER_MANIFEST]
    assert answer.headers.get_all("Content-Length") == [str(len(MANIFEST))]
    assert answer.headers.get_all("Docker-Content-Digest") == [digest(MANIFEST)]
    assert answer.headers.get_all("Docker-Distribution-Api-Version") == ["registry/2.0"]
    assert answer.headers["Content-Encoding"] is None
    assert answer.body == (MANIFEST if method == "GET" else b"")


async def test_head_has_the_headers_of_get(filled: Served) -> None:
    head, get = [await filled.ask(method, f"{URL}/{TAG}") for method in ("HEAD", "GET")]
    unlike = {"Date"}
    assert {*head.headers.items()} - {("Date", head.headers["Date"])} == {
        item for item in get.headers.items() if item[0] not in unlike
    }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_old_client_and_a_new_one_get_the_same(filled: Served, method: str) -> None:
    """The server reuses prepared headers for HTTP/1.1 only. Either way the connection ends if it has to."""
    answers = []
    for version, connection in (("1.0", "close"), ("1.1", "close"), ("1.1", "keep-alive")):
        async with filled.connect() as client:
            head = f"{method} {URL}/{TAG} HTTP/{version}\r\nHost: mirror\r\nConnection: {connection}\r\n\r\n"
            for _ in range(2):
                client.writer.write(head.encode())
                answer = await client.receive(head=method == "HEAD")
                assert answer.headers["Date"].endswith(" GMT")
                answers.append(sorted((name, value) for name, value in answer.headers.items() if name != "Date"))
                if connection == "close":
                    assert await client.ended()
                    break
    old, new, kept, again = ([item for item in fields if item[0] != "Connection"] for fields in answers)
    assert old == new == kept == again
    assert [dict(fields).get("Connection") for fields in answers[1:]] == ["close", None, None]


@pytest.mark.parametrize(
    "headers",
    [
        [("Accept", DOCKER_MANIFEST), ("Accept", "application/json"), ("Accept", OCI_INDEX)],
        [("Accept", f"{DOCKER_MANIFEST}, */*"), ("Accept-Encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5")],
        [("Accept", OCI_MANIFEST)],
        [("Baggage", "trigger=api"), ("X-Meta-Site", "a")],
    ],
)
async def test_what_is_stored_is_served_whatever_is_accepted(filled: Served, headers: list[tuple[str, str]]) -> None:
    answer = await filled.ask("GET", f"{URL}/{TAG}?ns=docker.io", headers)
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, DOCKER_MANIFEST, MANIFEST)
    assert answer.headers["Content-Encoding"] is None


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", f"{URL}/2.0", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"{URL}/{digest(b'other')}", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/no/such/manifests/1.0", 404, "NAME_UNKNOWN"),
        ("GET", f"{URL}/.dot", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"{URL}/{'t' * 129}", 404, "MANIFEST_UNKNOWN"),
        ("PUT", f"{URL}/{'t' * 129}", 400, "NAME_INVALID"),
        ("DELETE", f"{URL}/{'t' * 129}", 400, "NAME_INVALID"),
        ("GET", f"{URL}/sha256:abc", 400, "DIGEST_INVALID"),
        ("PUT", f"{URL}/sha256:abc", 400, "DIGEST_INVALID"),
        ("PUT", f"{URL}/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
        ("PUT", f"{URL}/{digest(b'other')}", 400, "DIGEST_INVALID"),
        ("PUT", f"{URL}/{digest(MANIFEST)}?tag=.dot", 400, "NAME_INVALID"),
        ("DELETE", f"{URL}/2.0", 404, "MANIFEST_UNKNOWN"),
        ("POST", f"{URL}/1.0", 405, "UNSUPPORTED"),
        ("GET", "/v2/Upper/manifests/1.0", 400, "NAME_INVALID"),
    ],
)
async def test_refusals(filled: Served, method: str, target: str, status: int, code: str) -> None:
    headers = [("Content-Type", DOCKER_MANIFEST)] if method == "PUT" else []
    answer = await filled.ask(method, target, headers, MANIFEST if method == "PUT" else b"")
    error = answer.json["errors"][0]
    assert (answer.status, error["code"]) == (status, code)
    assert error["message"]
    assert error["detail"] is not None
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("target", ["2.0", digest(MANIFEST), digest(MANIFEST, "sha512")])
async def test_a_put_is_answered_with_where_the_manifest_is(filled: Served, target: str, chunked: bool) -> None:
    body = [MANIFEST[:100], MANIFEST[100:]] if chunked else MANIFEST
    answer = await filled.ask("PUT", f"{URL}/{target}", [("Content-Type", f"{DOCKER_MANIFEST}; charset=utf-8")], body)
    expected = target if ":" in target else digest(MANIFEST)
    assert answer.status == 201
    assert answer.headers["Docker-Content-Digest"] == expected
    assert answer.headers["Location"] == f"{URL}/{expected}"
    assert answer.headers["Content-Length"] == "0"
    assert answer.headers["OCI-Tag"] is None
    fetched = await filled.ask("GET", f"{URL}/{target}")
    assert (fetched.body, fetched.headers["Docker-Content-Digest"]) == (MANIFEST, expected)


async def test_tags_named_in_the_query_are_made_and_announced(filled: Served) -> None:
    tags = [f"v{number}" for number in range(12)]
    query = "&".join(f"tag={tag}" for tag in tags)
    headers = [("Content-Type", DOCKER_MANIFEST)]
    answer = await filled.ask("PUT", f"{URL}/{digest(MANIFEST)}?{query}", headers, MANIFEST)
    assert answer.status == 201
    assert answer.headers.get_all("OCI-Tag") == [", ".join(tags)]
    assert [(await filled.ask("HEAD", f"{URL}/{tag}")).status for tag in tags] == [200] * 12


async def test_a_put_by_tag_may_name_further_tags(filled: Served) -> None:
    answer = await filled.ask("PUT", f"{URL}/v1?tag=v2", [("Content-Type", DOCKER_MANIFEST)], MANIFEST)
    assert (answer.status, answer.headers.get_all("OCI-Tag")) == (201, ["v2"])
    assert [(await filled.ask("HEAD", f"{URL}/{tag}")).status for tag in ("v1", "v2")] == [200, 200]


@pytest.mark.parametrize("by", ["tag", "digest"])
async def test_a_subject_is_acknowledged_though_it_does_not_exist(filled: Served, by: str) -> None:
    await put_blob(filled.registry, b"{}")
    subject = {"mediaType": OCI_MANIFEST, "digest": digest(b"nothing"), "size": 7}
    image = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": digest(b"{}"),
            "size": 2,
            "data": "e30=",
        },
        "layers": [],
        "subject": subject,
    }
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": subject}
    for value in (image, index):
        content = json.dumps(value).encode()
        target = "sig" if by == "tag" else digest(content)
        answer = await filled.ask("PUT", f"{URL}/{target}", [("Content-Type", str(value["mediaType"]))], content)
        assert (answer.status, answer.headers["OCI-Subject"]) == (201, digest(b"nothing"))


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("", MANIFEST, "MANIFEST_INVALID"),
        ("text/plain", MANIFEST, "MANIFEST_INVALID"),
        (OCI_MANIFEST, MANIFEST, "MANIFEST_INVALID"),
        (DOCKER_MANIFEST, b"", "MANIFEST_INVALID"),
        (DOCKER_MANIFEST, b"\xff\xfe{", "MANIFEST_INVALID"),
        (DOCKER_MANIFEST, b"[" * 100_000, "MANIFEST_INVALID"),
        (DOCKER_MANIFEST, manifest_bytes(layers=[b"never pushed"]), "MANIFEST_BLOB_UNKNOWN"),
    ],
)
async def test_a_manifest_that_means_nothing_is_refused(
    filled: Served, content_type: str, body: bytes, code: str
) -> None:
    answer = await filled.ask("PUT", f"{URL}/2.0", [("Content-Type", content_type)], body)
    assert (answer.status, answer.code) == (400, code)
    assert (await filled.ask("HEAD", f"{URL}/2.0")).status == 404


def _padded(size_bytes: int) -> bytes:
    return MANIFEST + b" " * (size_bytes - len(MANIFEST))


@pytest.mark.parametrize("chunked", [False, True])
async def test_four_mebibytes_pass(filled: Served, chunked: bool) -> None:
    body = _padded(MAX_MANIFEST_BYTES)
    headers = [("Content-Type", DOCKER_MANIFEST)]
    answer = await filled.ask("PUT", f"{URL}/big", headers, [body[:7], body[7:]] if chunked else body)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest(body))


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size_bytes", [MAX_MANIFEST_BYTES + 1, 5 * 1024 * 1024])
async def test_a_manifest_over_the_limit_is_refused_and_the_client_sees_it(
    filled: Served, size_bytes: int, chunked: bool
) -> None:
    body = _padded(size_bytes)
    headers = [("Content-Type", DOCKER_MANIFEST)]
    answer = await filled.ask("PUT", f"{URL}/big", headers, [body[:7], body[7:]] if chunked else body)
    assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert "manifest is too large" in answer.json["errors"][0]["message"]
    assert (await filled.ask("HEAD", f"{URL}/big")).status == 404


async def test_a_client_that_asks_first_is_refused_before_it_sends(filled: Served) -> None:
    async with filled.connect() as connection:
        length = ("Content-Length", str(5 * 1024 * 1024))
        await connection.send(
            "PUT", f"{URL}/big", [("Content-Type", DOCKER_MANIFEST), ("Expect", "100-continue"), length]
        )
        answer = await connection.receive()
    assert (answer.status, answer.code) == (413, "SIZE_INVALID")


async def test_a_client_that_asks_first_is_told_to_go_on(filled: Served) -> None:
    async with filled.connect() as connection:
        length = ("Content-Length", str(len(MANIFEST)))
        await connection.send(
            "PUT", f"{URL}/2.0", [("Content-Type", DOCKER_MANIFEST), ("Expect", "100-continue"), length]
        )
        assert (await connection.receive_head())[0] == 100
        connection.writer.write(MANIFEST)
        answer = await connection.receive()
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest(MANIFEST))


async def test_deleting_a_tag_keeps_the_manifest(filled: Served) -> None:
    answer = await filled.ask("DELETE", f"{URL}/{TAG}")
    assert (answer.status, answer.headers["Content-Length"]) == (202, "0")
    assert (await filled.ask("HEAD", f"{URL}/{TAG}")).status == 404
    assert (await filled.ask("HEAD", f"{URL}/{digest(MANIFEST)}")).status == 200


async def test_deleting_a_manifest_removes_its_tags(filled: Served) -> None:
    answer = await filled.ask("DELETE", f"{URL}/{digest(MANIFEST)}")
    assert answer.status == 202
    assert (await filled.ask("HEAD", f"{URL}/{TAG}")).status == 404
    assert Tag(TAG.name) not in (await filled.ask("GET", f"/v2/{REPOSITORY}/tags/list")).json["tags"]


def large_manifest() -> bytes:
    return manifest_bytes(annotations={"long": "x" * 2 * LIGHT_BYTES})


async def test_large_manifests_are_parsed_one_after_the_other_away_from_the_event_loop(
    filled: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, threads, under_way = threading.get_ident(), set[int](), 0

    def parsed(content: bytes, *said: Any) -> Manifest:
        nonlocal under_way
        under_way += 1
        threads.add(threading.get_ident())
        assert under_way == 1
        manifest = parse_incoming(content, *said)
        under_way -= 1
        return manifest

    monkeypatch.setattr("mirror.server.handlers.manifests.parse_incoming", parsed)
    headers = [("Content-Type", DOCKER_MANIFEST)]
    puts = [filled.ask("PUT", f"{URL}/{number}", headers, large_manifest()) for number in range(6)]
    assert [answer.status for answer in await asyncio.gather(*puts)] == [201] * 6
    assert here not in threads
    threads.clear()
    assert (await filled.ask("PUT", f"{URL}/small", headers, MANIFEST)).status == 201
    assert threads == {here}


async def test_manifests_that_are_being_sent_count_as_uploads() -> None:
    async with served(limits=ServerLimits(uploads_per_client=1)) as server, server.connect() as sender:
        await sender.send("PUT", f"{URL}/1", [("Content-Type", DOCKER_MANIFEST), ("Content-Length", "1000")])
        await until(lambda: server.activity.uploading.count)
        answer = await server.ask("PUT", f"{URL}/2", [("Content-Type", DOCKER_MANIFEST)], MANIFEST)
    assert (answer.status, answer.code) == (429, "TOOMANYREQUESTS")


async def test_a_manifest_with_too_many_values_is_refused(empty: Served) -> None:
    content = b'{"schemaVersion": 2, "manifests": [], "x": [' + b"{}," * MAX_VALUES + b"{}]}"
    answer = await empty.ask("PUT", f"{URL}/1", [("Content-Type", OCI_INDEX)], content)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")


async def begin(connection: Connection, tag: str, chunked: bool) -> None:
    """Send the headers of a large manifest, and only the first bytes of its body."""
    length = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(large_manifest())))
    await connection.send("PUT", f"{URL}/{tag}", [("Content-Type", DOCKER_MANIFEST), length])
    connection.writer.write(b"1\r\n{\r\n" if chunked else b"{")


@pytest.mark.parametrize("chunked", [False, True])
async def test_of_one_client_few_large_manifests_are_received_at_a_time(
    monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    """Further large manifests of the client wait before their bodies are read. A slow one makes room for them."""
    begun, now = 0, [0.0]

    async def received(context: RequestContext) -> bytes:
        nonlocal begun
        begun += 1
        return await _received(context)

    monkeypatch.setattr("mirror.server.handlers.manifests._received", received)
    registry = MemoryRegistry()
    await put_plugin(registry)
    headers = [("Content-Type", DOCKER_MANIFEST)]
    most = LARGE_MANIFESTS_PER_CLIENT
    async with served(registry, now_seconds=lambda: now[0]) as server, AsyncExitStack() as clients:
        connections = [await clients.enter_async_context(server.connect()) for _ in range(most + 2)]
        for number, connection in enumerate(connections):
            await begin(connection, str(number), chunked)
            await until(lambda number=number: server.activity.uploading.count > number)  # type: ignore[misc]
        assert begun == most
        assert (await server.ask("PUT", f"{URL}/small", headers, MANIFEST)).status == 201
        other = await clients.enter_async_context(server.connect("127.0.0.2"))
        await other.send("PUT", f"{URL}/other", headers, large_manifest())
        assert (await other.receive()).status == 201
        assert begun == most + 2

        now[0] += 61
        connections[0].writer.write(b"1\r\n \r\n" if chunked else b" ")
        answer = await connections[0].receive()
        assert (answer.status, answer.code) == (408, "SIZE_INVALID")
        await until(lambda: begun >= most + 3)
        assert server.activity.large_manifests.are_awaited("127.0.0.1")
