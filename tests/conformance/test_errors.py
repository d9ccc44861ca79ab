"""Point 31: refused requests, and the form of the refusals."""

from __future__ import annotations

import re

import pytest

from mirror.access.rights import AccessAction
from mirror.server.http.server_limits import ServerLimits
from tests.conformance.client import Body, Client, Headers, Name, closing_target, receive, send
from tests.conformance.content import IMAGE, artifact, digest_of, fresh
from tests.conformance.servers import inside

#: What docker/distribution says for a code where a registry says nothing of its own; engines then drop the rest.
STANDARD_MESSAGES = {
    "blob unknown to registry",
    "blob upload invalid",
    "blob upload unknown to registry",
    "provided digest did not match uploaded content",
    "manifest references a manifest or blob unknown to registry",
    "manifest invalid",
    "manifest unknown",
    "invalid repository name",
    "repository name not known to registry",
    "provided length did not match content length",
    "authentication required",
    "requested access to the resource is denied",
    "the operation is unsupported.",
    "unknown error",
}
SHA = digest_of(b"nothing")
X = "/v2/x/y"

REFUSED = [
    ("GET", f"{X}/manifests/1", 404, "NAME_UNKNOWN"),
    ("GET", f"{X}/manifests/{SHA}", 404, "NAME_UNKNOWN"),
    ("DELETE", f"{X}/manifests/1", 404, "NAME_UNKNOWN"),
    ("GET", f"{X}/tags/list", 404, "NAME_UNKNOWN"),
    ("GET", f"{X}/blobs/{SHA}", 404, "BLOB_UNKNOWN"),
    ("DELETE", f"{X}/blobs/{SHA}", 404, "BLOB_UNKNOWN"),
    ("GET", f"{X}/blobs/uploads/{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("PATCH", f"{X}/blobs/uploads/{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("PUT", f"{X}/blobs/uploads/{'0' * 32}?digest={SHA}", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("GET", f"{X}/blobs/sha256:abc", 400, "DIGEST_INVALID"),
    ("POST", f"{X}/blobs/uploads/?digest=x", 400, "DIGEST_INVALID"),
    ("GET", f"{X}/referrers/x", 400, "DIGEST_INVALID"),
    ("GET", "/v2/UPPER/manifests/1", 400, "NAME_INVALID"),
    ("PUT", f"{X}/manifests/.dot", 400, "NAME_INVALID"),
    ("PUT", f"{X}/manifests/a%0Ab", 400, "NAME_INVALID"),
    ("PUT", f"{X}/manifests/1", 400, "MANIFEST_INVALID"),
    ("GET", f"{X}/tags/list?n=x", 400, "UNSUPPORTED"),
    ("GET", "/v1/_ping", 404, "UNSUPPORTED"),
    ("GET", "/", 404, "UNSUPPORTED"),
    ("GET", "/%0A", 404, "UNSUPPORTED"),
    ("GET", f"{X}/_trust/tuf/root.json", 404, "UNSUPPORTED"),
    ("GET", f"{X}/tags/list/", 404, "UNSUPPORTED"),
    ("GET", f"{X}/tags", 404, "UNSUPPORTED"),
    ("GET", f"{X}/manifests/", 404, "UNSUPPORTED"),
    ("GET", f"{X}/blobs/", 404, "UNSUPPORTED"),
    ("GET", f"{X}", 404, "UNSUPPORTED"),
    ("GET", "/v2/_oci/ext/discover", 404, "UNSUPPORTED"),
    ("PUT", "/v2/", 405, "UNSUPPORTED"),
]


@pytest.mark.parametrize(("method", "target", "status", "code"), REFUSED)
def test_31_an_error_has_the_tables_code_a_message_of_its_own_and_a_detail(
    server: Client, method: str, target: str, status: int, code: str
) -> None:
    answer = server.ask(method, target, [("Accept", "text/html")], b"" if method in {"PUT", "PATCH", "POST"} else None)
    assert (answer.status, answer.code) == (status, code)
    message = answer.json["errors"][0]["message"]
    assert message.lower() not in STANDARD_MESSAGES
    assert len(message) > 10
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer["Content-Length"] == str(len(answer.body))
    assert answer["WWW-Authenticate"] is None


def test_31_no_two_kinds_of_error_say_the_same(server: Client) -> None:
    said = {}
    for method, target, _, code in REFUSED:
        answer = server.ask(method, target, [], b"" if method in {"PUT", "PATCH", "POST"} else None)
        said.setdefault(answer.json["errors"][0]["message"], set()).add(code)
    assert [message for message, codes in said.items() if len(codes) > 1] == []


def _request(name: Name, status: int) -> tuple[str, str, Headers, Body | None]:
    location = name.begin()
    return {
        400: ("PUT", closing_target(location, digest_of(b"y")), [], b"x"),
        404: ("GET", name.blob(SHA), [], None),
        405: ("POST", name.manifest("1"), [], b""),
        413: ("PUT", name.manifest("1"), [("Content-Type", IMAGE)], b"x" * (4 * 1024 * 1024 + 1)),
        416: ("PATCH", location, [("Content-Range", "5-9")], b"12345"),
        417: ("GET", "/v2/", [("Expect", "tea")], None),
        431: ("GET", f"/v2/{'x' * 100_000}", [], None),
    }[status]


@pytest.mark.parametrize("status", [400, 404, 405, 413, 416, 417, 431])
def test_31_every_status_comes_with_a_body(name: Name, status: int) -> None:
    answer = name.client.ask(*_request(name, status))
    assert answer.status == status
    assert answer.code
    assert answer.json["errors"][0]["message"].lower() not in STANDARD_MESSAGES


@pytest.mark.parametrize("status", [400, 404, 405, 413, 416])
def test_31_the_connection_outlives_a_refusal_that_was_heard_out(name: Name, status: int) -> None:
    request = _request(name, status)
    with name.client.connection() as connection:
        send(connection, *request)
        assert receive(connection).status == status
        send(connection, "GET", "/v2/")
        assert receive(connection).status == 200


@pytest.mark.parametrize(
    ("actions", "method", "target"),
    [
        ({AccessAction.PULL}, "POST", f"{X}/blobs/uploads/"),
        ({AccessAction.PULL}, "POST", f"{X}/blobs/uploads/?digest={digest_of(b'')}"),
        ({AccessAction.PULL}, "PUT", f"{X}/manifests/1"),
        (set(), "GET", f"{X}/manifests/1"),
        (set(), "GET", f"{X}/blobs/{SHA}"),
        (set(), "GET", f"{X}/tags/list"),
        (set(), "GET", f"{X}/referrers/{SHA}"),
        ({AccessAction.PUSH}, "GET", f"{X}/blobs/{SHA}"),
    ],
)
def test_31_what_is_not_allowed_is_403_and_says_which_setting_allows_it(
    actions: set[AccessAction], method: str, target: str
) -> None:
    with inside(actions) as served:
        client = Client(served.port)
        headers = [("Content-Type", IMAGE)] if method == "PUT" else []
        body = artifact() if method == "PUT" else b"" if method == "POST" else None
        answer = client.ask(method, target, headers, body)
        assert (answer.status, answer.code) == (403, "DENIED")
        assert "server.anonymous" in answer.json["errors"][0]["message"]
        assert client.get("/v2/").status == 200


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", {"GET", "HEAD"}),
        ("_catalog", {"GET", "HEAD"}),
        ("x/tags/list", {"GET", "HEAD"}),
        (f"x/referrers/{SHA}", {"GET", "HEAD"}),
        ("x/manifests/1", {"GET", "HEAD", "PUT", "DELETE"}),
        (f"x/blobs/{SHA}", {"GET", "HEAD", "DELETE"}),
        ("x/blobs/uploads/", {"POST"}),
        (f"x/blobs/uploads/{'0' * 32}", {"GET", "HEAD", "PATCH", "PUT", "DELETE"}),
    ],
)
def test_31_a_method_that_the_path_does_not_know_is_405(
    server: Client, path: str, allowed: set[str], method: str
) -> None:
    if method in allowed:
        method = "LINK"
    answer = server.ask(method, f"/v2/{path}", body=b"")
    assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert {each.strip() for each in (answer["Allow"] or "").split(",")} == allowed


@pytest.mark.parametrize("method", ["BREW", "get", "GE"])
def test_31_a_method_that_http_does_not_know_is_refused_in_json(server: Client, method: str) -> None:
    answer = server.ask(method, "/v2/", body=b"")
    assert answer.status in {400, 405}
    assert answer.code == "UNSUPPORTED"


GOOD_NAMES = [
    "a",
    "0",
    "a/b",
    "a.b",
    "a_b",
    "a__b",
    "a-b",
    "a---b",
    "a/b/c/d/e/f/g/h",
    "a.b_c__d-e--f/0",
    "manifests",
    "blobs/uploads",
    "tags/list",
    "referrers",
    "v2",
    "x/manifests/y",
    "x/blobs/uploads/y",
    "a" * 255,
    "/".join(["a" * 24] * 10) + "/" + "b" * 5,
]
BAD_NAMES = [
    "A",
    "aB/c",
    "a..b",
    "a___b",
    "a.-b",
    "a_-b",
    "-a",
    "a-",
    ".a",
    "a.",
    "_a",
    "a_",
    "a/-b",
    "a%20b",
    "a%00b",
    "a%0A",
    "%0Aa",
    "a%C3%A9",
    "%FF",
    "a@b",
    "a:b",
    "a+b",
    "a%2F%2Fb",
    "%2E%2E",
    "a%2F..%2Fb",
    "a" * 256,
    "a/" * 128 + "b",
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_31_a_name_by_the_grammar(server: Client, name: str) -> None:
    repository = Name(server, name)
    content = fresh()
    digest = repository.push(content)
    repository.push(b"{}")
    assert repository.holds(digest, content)
    assert repository.put(artifact(), IMAGE, "1").status == 201
    assert repository.client.get(repository.manifest("1")).body == artifact()
    assert repository.client.get(repository.tags).json == {"name": name, "tags": ["1"]}
    assert repository.client.get(repository.referrers(digest)).json["manifests"] == []
    assert repository.client.ask("DELETE", repository.manifest("1")).status == 202
    assert repository.client.ask("DELETE", repository.manifest(digest_of(artifact()))).status == 202
    assert repository.client.ask("DELETE", repository.blob(digest)).status == 202


@pytest.mark.parametrize("path", [f"blobs/{SHA}", "manifests/1", "tags/list", "blobs/uploads/", f"referrers/{SHA}"])
@pytest.mark.parametrize("name", BAD_NAMES)
def test_31_a_name_outside_the_grammar_is_400(server: Client, name: str, path: str) -> None:
    method = "POST" if path.endswith("uploads/") else "GET"
    answer = server.ask(method, f"/v2/{name}/{path}", body=b"" if method == "POST" else None)
    assert (answer.status, answer.code) == (400, "NAME_INVALID")


@pytest.mark.parametrize("name", ["", "/", "..", "a/..", "./a", "a//b"])
def test_31_a_path_that_a_client_should_have_cleaned_leads_nowhere(server: Client, name: str) -> None:
    answer = server.get(f"/v2/{name}/manifests/1")
    assert answer.status in {400, 404}
    assert answer.code in {"NAME_INVALID", "UNSUPPORTED"}


@pytest.mark.parametrize(
    "tag", ["a", "_", "0", "A.b-c_d", "latest", "v1.0.0-rc.1", "t" * 128, "blobs", "uploads", "list"]
)
def test_31_a_tag_by_the_grammar(name: Name, tag: str) -> None:
    name.push(b"{}")
    assert name.put(artifact(), IMAGE, tag).status == 201
    assert name.client.get(name.manifest(tag)).body == artifact()
    assert name.client.get(name.tags).json["tags"] == [tag]


def test_31_a_message_shows_no_more_of_what_was_sent_than_is_good(server: Client) -> None:
    for target in (f"/v2/x/blobs/{'x' * 5000}", f"/v2/{'X' * 5000}/tags/list", f"/v2/x/manifests/{'t' * 5000}"):
        answer = server.get(target)
        assert answer.status in {400, 404}
        assert re.search("[xXt]{500}", answer.body.decode()) is None


def test_31_a_server_that_is_told_to_take_little_says_how_much() -> None:
    with inside(limits=ServerLimits(blob_bytes=100)) as served:
        name = Name(Client(served.port), "little")
        answer = name.client.ask("PATCH", name.begin(), body=b"x" * 101)
        assert (answer.status, answer.code) == (413, "SIZE_INVALID")
        assert "100 bytes" in answer.json["errors"][0]["message"]
