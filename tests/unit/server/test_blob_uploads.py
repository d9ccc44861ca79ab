"""``/v2/NAME/blobs/uploads/…``: request → status, headers, body."""

from __future__ import annotations

import gzip

import pytest
from structlog.testing import capture_logs

from mirror.oci import Repository
from mirror.oci.errors import TooManyRequests, UploadUnknown
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Upload
from mirror.server.http.server_limits import ServerLimits
from tests.support.served import LAYER, REPOSITORY, Answer, Served, digest, served, until_held

URL = f"/v2/{REPOSITORY}/blobs/uploads/"
HALF = len(LAYER) // 2
EMPTY = digest(b"")


def with_digest(location: str, content: bytes = LAYER, algorithm: str = "sha256") -> str:
    return f"{location}?digest={digest(content, algorithm)}"


def is_session(answer: Answer, status: int, held: str) -> bool:
    location = answer.headers["Location"]
    return (
        (answer.status, answer.headers["Range"]) == (status, held)
        and location.startswith(URL)
        and location == URL + answer.headers["Docker-Upload-UUID"]
    )


async def is_stored(server: Served, answer: Answer, content: bytes = LAYER, algorithm: str = "sha256") -> bool:
    expected = digest(content, algorithm)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, expected)
    assert answer.headers["Location"] == f"/v2/{REPOSITORY}/blobs/{expected}"
    fetched = await server.ask("GET", answer.headers["Location"])
    return (fetched.status, fetched.body) == (200, content)


@pytest.mark.parametrize("headers", [[], [("Content-Type", ""), ("Content-Length", "0")]])
@pytest.mark.parametrize("query", ["", "?digest-algorithm=sha512", "?ns=docker.io"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_session_begins(empty: Served, headers: list[tuple[str, str]], query: str, slash: str) -> None:
    answer = await empty.ask("POST", URL.removesuffix("/") + slash + query, headers)
    assert is_session(answer, 202, "0-0")
    assert answer.headers["Content-Length"] == "0"


@pytest.mark.parametrize("chunked", [False, True])
async def test_post_then_put_with_the_whole(empty: Served, chunked: bool) -> None:
    location = await empty.begin_upload()
    body = [LAYER[:10], LAYER[10:]] if chunked else LAYER
    answer = await empty.ask("PUT", with_digest(location), [("Content-Type", "application/octet-stream")], body)
    assert await is_stored(empty, answer)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_single_post(empty: Served, chunked: bool) -> None:
    answer = await empty.ask("POST", with_digest(URL), body=[LAYER] if chunked else LAYER)
    assert await is_stored(empty, answer)


async def test_a_stream_then_an_empty_put(empty: Served) -> None:
    location = await empty.begin_upload()
    answer = await empty.ask("PATCH", location, [("Content-Type", "")], [LAYER[:HALF], LAYER[HALF:]])
    assert is_session(answer, 202, f"0-{len(LAYER) - 1}")
    assert await is_stored(empty, await empty.ask("PUT", with_digest(answer.headers["Location"])))


@pytest.mark.parametrize("last", ["PATCH", "PUT"])
@pytest.mark.parametrize("ranged", [False, True])
async def test_chunks(empty: Served, last: str, ranged: bool) -> None:
    location = await empty.begin_upload()
    first = [("Content-Range", f"0-{HALF - 1}")] if ranged else []
    second = [("Content-Range", f"{HALF}-{len(LAYER) - 1}")] if ranged else []
    answer = await empty.ask("PATCH", location, first, LAYER[:HALF])
    assert is_session(answer, 202, f"0-{HALF - 1}")
    if last == "PUT":
        answer = await empty.ask("PUT", with_digest(location), second, LAYER[HALF:])
    else:
        answer = await empty.ask("PATCH", location, second, LAYER[HALF:])
        assert is_session(answer, 202, f"0-{len(LAYER) - 1}")
        answer = await empty.ask("PUT", with_digest(location), [("Content-Length", "0")])
    assert await is_stored(empty, answer)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize(
    "content_range",
    [
        "0-99",
        f"{HALF + 1}-{len(LAYER)}",
        f"{HALF}-{len(LAYER)}",
        f"{HALF}-{HALF + 1}",
        "x",
        f"bytes {HALF}-{HALF}/*",
        "9-1",
    ],
)
async def test_a_chunk_out_of_order_is_refused_and_the_session_goes_on(
    empty: Served, method: str, content_range: str
) -> None:
    location = await empty.begin_upload()
    await empty.ask("PATCH", location, [("Content-Range", f"0-{HALF - 1}")], LAYER[:HALF])
    target = with_digest(location) if method == "PUT" else location
    refused = await empty.ask(method, target, [("Content-Range", content_range)], LAYER[HALF:])
    assert (refused.status, refused.code) == (416, "BLOB_UPLOAD_INVALID")
    assert is_session(await empty.ask("GET", target), 204, f"0-{HALF - 1}")
    assert await is_stored(empty, await empty.ask("PUT", with_digest(location), body=LAYER[HALF:]))


@pytest.mark.parametrize("way", ["single", "put", "chunked put", "sessionless"])
async def test_the_empty_blob(empty: Served, way: str) -> None:
    if way == "single":
        answer = await empty.ask("POST", f"{URL}?digest={EMPTY}", [("Content-Length", "0")])
    else:
        location = await empty.begin_upload()
        if way == "put":
            await empty.ask("PATCH", location, [("Content-Length", "0")])
        answer = await empty.ask("PUT", f"{location}?digest={EMPTY}", [], [] if way == "chunked put" else b"")
    assert await is_stored(empty, answer, b"")


async def test_sha512_known_only_at_the_end(empty: Served) -> None:
    location = await empty.begin_upload()
    answer = await empty.ask("PUT", with_digest(location, algorithm="sha512"), body=LAYER)
    assert await is_stored(empty, answer, algorithm="sha512")


@pytest.mark.parametrize("way", ["single", "put", "patch"])
async def test_a_wrong_digest(empty: Served, way: str) -> None:
    wrong = f"digest={digest(b'other')}"
    if way == "single":
        answer = await empty.ask("POST", f"{URL}?{wrong}", body=LAYER)
    else:
        location = await empty.begin_upload()
        if way == "patch":
            await empty.ask("PATCH", location, body=LAYER)
        answer = await empty.ask("PUT", f"{location}?{wrong}", body=b"" if way == "patch" else LAYER)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert (await empty.ask("HEAD", f"/v2/{REPOSITORY}/blobs/{digest(b'other')}")).status == 404


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("POST", f"{URL}?digest=sha256:abc", 400, "DIGEST_INVALID"),
        ("POST", f"{URL}?digest=md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
        ("POST", f"{URL}?digest-algorithm=md5", 400, "DIGEST_INVALID"),
        ("POST", f"{URL}?mount=sha256:abc&from=other", 400, "DIGEST_INVALID"),
        ("POST", f"{URL}?mount={EMPTY}&from=../../etc", 400, "NAME_INVALID"),
        ("GET", URL, 405, "UNSUPPORTED"),
        ("GET", f"{URL}{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", f"{URL}{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", f"{URL}{'0' * 32}?digest={EMPTY}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("DELETE", f"{URL}{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", f"{URL}..", 404, "UNSUPPORTED"),
        ("GET", f"{URL}%2e%2e%2fetc", 404, "UNSUPPORTED"),
    ],
)
async def test_refusals(empty: Served, method: str, target: str, status: int, code: str) -> None:
    answer = await empty.ask(method, target)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("query", ["", "?digest=", "?digest=sha256:abc"])
async def test_a_put_without_a_digest_keeps_the_session(empty: Served, query: str) -> None:
    location = await empty.begin_upload()
    await empty.ask("PATCH", location, body=LAYER)
    answer = await empty.ask("PUT", location + query)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert is_session(await empty.ask("HEAD", location), 204, f"0-{len(LAYER) - 1}")


async def test_a_cancelled_session_is_gone(empty: Served) -> None:
    location = await empty.begin_upload()
    answer = await empty.ask("DELETE", location)
    assert (answer.status, answer.headers["Content-Length"]) == (204, None)
    assert (await empty.ask("GET", location)).status == 404


async def test_a_session_belongs_to_its_repository(empty: Served) -> None:
    location = await empty.begin_upload()
    answer = await empty.ask("GET", location.replace(REPOSITORY.name, "other"))
    assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("source", [f"&from={REPOSITORY}", ""])
async def test_a_mount(filled: Served, source: str) -> None:
    answer = await filled.ask("POST", f"/v2/other/blobs/uploads/?mount={digest(LAYER)}{source}")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest(LAYER))
    assert answer.headers["Location"] == f"/v2/other/blobs/{digest(LAYER)}"
    assert (await filled.ask("GET", answer.headers["Location"])).body == LAYER


@pytest.mark.parametrize("source", [f"&from={REPOSITORY}", "&from=no/such", ""])
async def test_a_mount_of_what_is_not_there_begins_a_session(filled: Served, source: str) -> None:
    answer = await filled.ask("POST", f"{URL}?mount={digest(b'other')}{source}")
    assert is_session(answer, 202, "0-0")
    stored = await filled.ask("PUT", with_digest(answer.headers["Location"], b"other"), body=b"other")
    assert await is_stored(filled, stored, b"other")


async def test_what_a_client_sent_before_it_left_stays(empty: Served) -> None:
    location = await empty.begin_upload()
    async with empty.connect() as connection:
        await connection.send("PATCH", location, [("Content-Length", str(len(LAYER)))])
        connection.writer.write(LAYER[:HALF])
        await connection.writer.drain()
        await until_held(empty, location, HALF)
    answer = await empty.ask("GET", location)
    assert is_session(answer, 204, f"0-{HALF - 1}")
    assert await is_stored(empty, await empty.ask("PUT", with_digest(location), body=LAYER[HALF:]))


@pytest.mark.parametrize("broken", [b"zz\r\n", b"-1\r\nabc", b"3\r\nabcdef"])
async def test_a_broken_transfer_coding(empty: Served, broken: bytes) -> None:
    location = await empty.begin_upload()
    async with empty.connect() as connection:
        await connection.send("PATCH", location, [("Transfer-Encoding", "chunked")])
        connection.writer.write(broken)
        answer = await connection.receive()
        assert answer.status == 400
        assert answer.json["errors"]
        assert await connection.ended()
    assert (await empty.ask("GET", location)).status == 204


async def test_a_client_that_falls_silent_is_refused_and_may_go_on_later() -> None:
    async with served(limits=ServerLimits(idle_seconds=0.2)) as server:
        location = await server.begin_upload()
        async with server.connect() as connection:
            await connection.send("PATCH", location, [("Content-Length", str(len(LAYER)))])
            connection.writer.write(LAYER[:HALF])
            answer = await connection.receive()
        assert (answer.status, answer.code) == (400, "SIZE_INVALID")
        assert "no data arrived for 0.2 s" in answer.json["errors"][0]["message"]
        assert await is_stored(server, await server.ask("PUT", with_digest(location), body=LAYER[HALF:]))


@pytest.mark.parametrize("way", ["single", "patch", "chunked", "second"])
async def test_a_blob_over_the_limit(way: str) -> None:
    async with served(limits=ServerLimits(blob_bytes=HALF)) as server:
        location = await server.begin_upload()
        if way == "single":
            answer = await server.ask("POST", with_digest(URL), body=LAYER)
        elif way == "second":
            assert (await server.ask("PATCH", location, body=LAYER[:HALF])).status == 202
            answer = await server.ask("PATCH", location, body=LAYER[HALF:])
        else:
            answer = await server.ask("PATCH", location, body=LAYER if way == "patch" else [LAYER[:HALF], LAYER[HALF:]])
        assert (answer.status, answer.code) == (413, "SIZE_INVALID")


class Remembering(DelegatingRegistry):
    """Remembers the uploads that were begun."""

    def __init__(self) -> None:
        super().__init__(MemoryRegistry())
        self.uploads: list[Upload] = []

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        self.uploads.append(await super().begin_upload(repository, client, algorithm))
        return self.uploads[-1]


async def test_a_single_post_that_fails_leaves_no_session() -> None:
    registry = Remembering()
    async with served(registry, ServerLimits(blob_bytes=HALF)) as server:
        assert (await server.ask("POST", with_digest(URL), body=[LAYER])).status == 413
        assert (await server.ask("POST", with_digest(URL), body=LAYER[:HALF])).status == 400
    assert len(registry.uploads) == 2
    for upload in registry.uploads:
        with pytest.raises(UploadUnknown):
            await registry.resume_upload(REPOSITORY, upload.id)


async def test_an_empty_closing_put_belongs_nowhere(empty: Served) -> None:
    location = await empty.begin_upload()
    await empty.ask("PATCH", location, body=LAYER)
    answer = await empty.ask("PUT", with_digest(location), [("Content-Range", "0-1"), ("Content-Length", "0")])
    assert await is_stored(empty, answer)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
async def test_bytes_are_stored_as_they_come_whatever_their_coding_is_said_to_be(empty: Served, coding: str) -> None:
    content = gzip.compress(LAYER)
    answer = await empty.ask("POST", with_digest(URL, content), [("Content-Encoding", coding)], content)
    assert await is_stored(empty, answer, content)


async def test_a_large_upload_is_not_held_back_by_a_limit_of_the_framework(empty: Served) -> None:
    content = bytes(8 * 1024 * 1024)
    answer = await empty.ask("PUT", with_digest(await empty.begin_upload(), content), body=content)
    assert answer.status == 201


async def test_a_client_that_asks_first_is_told_to_go_on(empty: Served) -> None:
    location = await empty.begin_upload()
    async with empty.connect() as connection:
        await connection.send(
            "PUT", with_digest(location), [("Expect", "100-continue"), ("Content-Length", str(len(LAYER)))]
        )
        assert (await connection.receive_head())[0] == 100
        connection.writer.write(LAYER)
        answer = await connection.receive()
    assert await is_stored(empty, answer)


async def test_a_client_that_asks_first_is_refused_before_it_sends(empty: Served) -> None:
    async with empty.connect() as connection:
        await connection.send("PATCH", f"{URL}{'0' * 32}", [("Expect", "100-continue"), ("Content-Length", "1000000")])
        answer = await connection.receive()
    assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_an_expectation_that_cannot_be_met(empty: Served) -> None:
    answer = await empty.ask("PATCH", f"{URL}{'0' * 32}", [("Expect", "tea")])
    assert (answer.status, answer.code) == (417, "UNSUPPORTED")


class Full(DelegatingRegistry):
    """Lets nobody begin an upload."""

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        raise TooManyRequests(f"{client} has enough", retry_after_seconds=60)


async def test_a_client_that_may_begin_no_more_is_counted_and_told_when_to_come_back() -> None:
    with capture_logs() as lines:
        async with served(Full(MemoryRegistry())) as server:
            for _ in range(3):
                refused = await server.ask("POST", URL)
                assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, "TOOMANYREQUESTS", "60")
                assert "127.0.0.1 has enough" in refused.json["errors"][0]["message"]
            assert server.activity.beginning.count == 3
    assert [line["client"] for line in lines if line["event"] == "client refused"] == ["127.0.0.1"]
