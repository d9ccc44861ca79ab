"""Beside the points: HTTP from old, careless and hasty clients. Point 34: requests for another server."""

from __future__ import annotations

import gzip

import pytest

from tests.conformance.client import Client, Name, closing_target, head_of, read, receive, send
from tests.conformance.content import IMAGE, artifact, digest_of, fresh

CONTENT = fresh(50_000)
DIGEST = digest_of(CONTENT)


@pytest.fixture
def filled(name: Name) -> Name:
    """A repository with a manifest ``1``, and ``CONTENT``."""
    name.push(b"{}")
    name.push(CONTENT)
    assert name.put(artifact(), IMAGE, "1").status == 201
    return name


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/v2/", "/v2"])
def test_ping(server: Client, path: str, method: str) -> None:
    answer = server.ask(method, path)
    assert (answer.status, answer["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")
    assert answer["Content-Type"] == "application/json"
    assert answer.body == (b"{}" if method == "GET" else b"")


@pytest.mark.parametrize(
    "host", ["", "Host: \r\n", "Host: x\r\n", "Host: [::1]:5000\r\n", "Host: mirror.example:443\r\n"]
)
def test_http_1_0(filled: Name, host: str) -> None:
    for target, expected in ((filled.manifest("1"), artifact()), (filled.blob(DIGEST), CONTENT), ("/v2/", b"{}")):
        with filled.client.bare() as file:
            file.write(f"GET {target} HTTP/1.0\r\n{host}\r\n".encode())
            file.flush()
            assert read(file, "GET").body == expected
            assert file.read() == b""  # the connection has ended


def test_http_1_0_pushes(name: Name) -> None:
    with name.client.bare() as file:
        length = [("Content-Length", str(len(CONTENT)))]
        file.write(head_of("POST", f"{name.uploads}?digest={DIGEST}", length, version="1.0") + CONTENT)
        file.flush()
        assert read(file, "POST").status == 201
    assert name.holds(DIGEST, CONTENT)


def test_http_1_0_keeps_a_connection_that_it_asks_to_keep(filled: Name) -> None:
    request = head_of("GET", filled.blob(DIGEST), [("Connection", "keep-alive")], version="1.0")
    with filled.client.bare() as file:
        for _ in range(2):
            file.write(request)
            file.flush()
            assert read(file, "GET").body == CONTENT


def test_http_1_0_does_not_know_of_100_continue(name: Name) -> None:
    headers = [("Expect", "100-continue"), ("Content-Length", str(len(CONTENT)))]
    head = head_of("POST", f"{name.uploads}?digest={DIGEST}", headers, version="1.0")
    (answer,) = name.client.raw(head + CONTENT, "POST")
    assert answer.status == 201


@pytest.mark.parametrize(
    "host",
    ["", "x", "127.0.0.1", "[::1]", "[::1]:5000", "mirror.example", "mirror.example:443", "UPPER.example", "a_b"],
)
def test_the_host_does_not_matter(name: Name, host: str) -> None:
    (answer,) = name.client.raw(
        f"POST {name.uploads} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode(), "POST"
    )
    assert answer.status == 202
    assert answer.location.startswith(name.uploads)


@pytest.mark.parametrize(
    "forwarded",
    [
        ("X-Forwarded-Host", "elsewhere.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "/prefix"),
        ("Forwarded", "host=elsewhere.example;proto=https"),
        ("X-Original-URL", "/v2/other/blobs/uploads/"),
        ("X-HTTP-Method-Override", "DELETE"),
    ],
)
def test_what_proxies_add_does_not_matter(name: Name, forwarded: tuple[str, str]) -> None:
    answer = name.client.ask("POST", name.uploads, [forwarded], b"")
    assert answer.status == 202
    assert answer.location.startswith(name.uploads)


@pytest.mark.parametrize("hosts", ["", "Host: a\r\nHost: b\r\n"])
def test_http_1_1_wants_one_host(server: Client, hosts: str) -> None:
    (answer,) = server.raw(f"GET /v2/ HTTP/1.1\r\n{hosts}\r\n".encode(), "GET")
    assert (answer.status, answer.code) == (400, "UNSUPPORTED")


def test_the_target_may_be_a_whole_url(filled: Name) -> None:
    sent = f"GET http://mirror.example{filled.manifest('1')} HTTP/1.1\r\nHost: mirror.example\r\n\r\n".encode()
    (answer,) = filled.client.raw(sent, "GET")
    assert (answer.status, answer.body) == (200, artifact())


@pytest.mark.parametrize("count", [1, 3, 20])
def test_pipelined_reads_are_answered_in_order(filled: Name, count: int) -> None:
    targets = [("GET", filled.manifest("1")), ("HEAD", filled.blob(DIGEST)), ("GET", filled.blob(DIGEST))] * count
    sent = b"".join(head_of(method, target) for method, target in targets)
    answers = filled.client.raw(sent, *(method for method, _ in targets))
    assert [answer.status for answer in answers] == [200] * len(targets)
    assert [answer.body for answer in answers] == [artifact(), b"", CONTENT] * count


def test_pipelined_writes_are_done_in_order(name: Name) -> None:
    location = name.begin()
    middle = len(CONTENT) // 2
    sent = b""
    for first, end in ((0, middle), (middle, len(CONTENT))):
        headers = [("Content-Range", f"{first}-{end - 1}"), ("Content-Length", str(end - first))]
        sent += head_of("PATCH", location, headers) + CONTENT[first:end]
        sent += head_of("GET", location)
    sent += head_of("PUT", closing_target(location, DIGEST), [("Content-Length", "0")])
    sent += head_of("GET", name.blob(DIGEST))
    answers = name.client.raw(sent, "PATCH", "GET", "PATCH", "GET", "PUT", "GET")
    assert [answer.status for answer in answers] == [202, 204, 202, 204, 201, 200]
    assert [answer["Range"] for answer in answers[:4]] == [f"0-{middle - 1}"] * 2 + [f"0-{len(CONTENT) - 1}"] * 2
    assert answers[-1].body == CONTENT


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "PUT manifest"])
def test_who_asks_first_is_told_to_go_on(name: Name, method: str) -> None:
    content = artifact() if "manifest" in method else CONTENT
    name.push(b"{}")
    target, status = {
        "POST": (f"{name.uploads}?digest={DIGEST}", 201),
        "PATCH": (name.begin(), 202),
        "PUT": (closing_target(name.begin(), DIGEST), 201),
        "PUT manifest": (name.manifest("1"), 201),
    }[method]
    with name.client.bare() as file:
        headers = [("Expect", "100-continue"), ("Content-Type", IMAGE), ("Content-Length", str(len(content)))]
        file.write(head_of(method.partition(" ")[0], target, headers))
        file.flush()
        assert read(file, method).status == 100
        file.write(content)
        file.flush()
        assert read(file, method).status == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", f"blobs/uploads/{'0' * 32}", 404),
        ("PUT", f"blobs/uploads/{'0' * 32}?digest={DIGEST}", 404),
        ("PUT", "manifests/.dot", 400),
        ("PUT", "manifests/1", 413),
        ("POST", f"manifests/{DIGEST}", 405),
        ("POST", "blobs/uploads/?digest=sha256:abc", 400),
    ],
)
def test_who_asks_first_is_refused_first(name: Name, method: str, path: str, status: int) -> None:
    headers = [("Expect", "100-continue"), ("Content-Length", "99999999")]
    (answer,) = name.client.raw(head_of(method, f"{name.base}/{path}", headers), method)
    assert answer.status == status
    assert answer.code


def test_another_expectation_is_417_before_anything_is_looked_up(name: Name) -> None:
    answer = name.client.ask("PATCH", f"{name.uploads}{'0' * 32}", [("Expect", "tea")])
    assert (answer.status, answer.code) == (417, "UNSUPPORTED")


def test_an_empty_body_is_not_asked_for(name: Name) -> None:
    head = head_of("POST", name.uploads, [("Expect", "100-continue"), ("Content-Length", "0")])
    (answer,) = name.client.raw(head, "POST")
    assert answer.status == 202


@pytest.mark.parametrize("kept", [True, False])
def test_a_connection_ends_when_the_client_says_so(filled: Name, kept: bool) -> None:
    with filled.client.connection() as connection:
        send(connection, "GET", filled.blob(DIGEST), [] if kept else [("Connection", "close")])
        answer = receive(connection)
        assert answer.body == CONTENT
        assert (connection.sock is not None) == kept


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity", "x"])
def test_what_is_sent_is_stored_whatever_coding_it_is_said_to_have(name: Name, coding: str) -> None:
    content = gzip.compress(CONTENT) if coding == "gzip" else CONTENT
    digest = digest_of(content)
    answer = name.client.ask(
        "PUT", closing_target(name.begin(), digest), [("Content-Encoding", coding)], [content[:9], content[9:]]
    )
    assert answer.status == 201
    assert name.holds(digest, content)


@pytest.mark.parametrize("encode", ["%2F", "%2f", "%6D"], ids=["slash", "lower slash", "letter"])
def test_a_percent_encoded_path_is_the_same_path(filled: Name, encode: str) -> None:
    name = filled.name
    written = name.replace("/", encode) if encode.lower() == "%2f" else name
    tail = "manifests/1".replace("m", encode, 1) if encode == "%6D" else "manifests/1"
    assert filled.client.get(f"/v2/{written}/{tail}").body == artifact()


def test_a_path_is_decoded_once(filled: Name) -> None:
    twice = filled.name.replace("/", "%252F")
    answer = filled.client.get(f"/v2/{twice}/manifests/1")
    assert (answer.status, answer.code) == (400, "NAME_INVALID")


@pytest.mark.parametrize("headers", [[], [("OCI-Namespace", "docker.io")], [("X-Meta-Trace", "1"), ("Baggage", "a=b")]])
def test_34_a_request_that_names_an_upstream_is_answered_as_any_other(
    filled: Name, headers: list[tuple[str, str]]
) -> None:
    for target in (filled.manifest("1"), filled.blob(DIGEST), filled.tags, "/v2/"):
        plain, named = filled.client.get(target), filled.client.get(f"{target}?ns=docker.io", *headers)
        assert (named.status, named.body) == (200, plain.body)
        assert named["Docker-Content-Digest"] == plain["Docker-Content-Digest"]


def test_34_no_answer_leads_to_another_host(filled: Name) -> None:
    targets = [filled.manifest("1"), filled.blob(DIGEST), filled.tags, filled.referrers(DIGEST), "/v2/", "/v2/_catalog"]
    for target in targets:
        assert filled.client.get(target).status == 200
    assert filled.client.ask("POST", filled.uploads, body=b"").location.startswith("/v2/")
