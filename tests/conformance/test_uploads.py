"""Points 1 to 13: uploads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from mirror.server.http.server_limits import ServerLimits
from tests.conformance.client import Answer, Body, Client, Headers, Name, closing_target, head_of, read
from tests.conformance.content import ALGORITHMS, CONFIG, IMAGE, descriptor, digest_of, fresh, image
from tests.conformance.servers import inside

CONTENT = fresh(70_000)
PIECES = [CONTENT[start : start + 9999] for start in range(0, len(CONTENT), 9999)]
THIRD = len(CONTENT) // 3
LAST = len(CONTENT) - 1
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)
bodies = pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])


def body_of(content: bytes, chunked: bool) -> Body:
    return [content[:7], content[7:]] if chunked and content else [] if chunked else content


def is_session(answer: Answer, status: int, held: str, name: Name) -> bool:
    upload = answer["Docker-Upload-UUID"]
    return (answer.status, answer["Range"], answer.body) == (status, held, b"") and (
        answer.location == f"{name.uploads}{upload}"
    )


def is_stored(answer: Answer, name: Name, content: bytes, algorithm: str = "sha256") -> bool:
    """Check that the answer reports a stored blob, and that its Location returns the blob."""
    digest = digest_of(content, algorithm)
    got = name.client.get(answer.location)
    return (
        (answer.status, answer["Docker-Content-Digest"], answer.body) == (201, digest, b"")
        and answer.location == name.blob(digest)
        and (got.status, got.body) == (200, content)
        and name.holds(digest, content)
    )


def chunk_header(first: int, last: int) -> Headers:
    return [("Content-Range", f"{first}-{last}"), ("Content-Type", "application/octet-stream")]


@algorithms
@pytest.mark.parametrize("way", ["patch", "put", "post"])
def test_01_a_chunked_body_has_no_length(name: Name, way: str, algorithm: str) -> None:
    digest = digest_of(CONTENT, algorithm)
    if way == "post":
        answer = name.client.ask("POST", f"{name.uploads}?digest={digest}", body=PIECES)
    elif way == "put":
        answer = name.client.ask("PUT", closing_target(name.begin(), digest), body=PIECES)
    else:
        patched = name.client.ask("PATCH", name.begin(), [("Content-Type", "")], PIECES)
        assert is_session(patched, 202, f"0-{LAST}", name)
        answer = name.client.ask("PUT", closing_target(patched.location, digest))
    assert is_stored(answer, name, CONTENT, algorithm)


def test_01_a_chunked_body_may_come_with_a_content_range(name: Name) -> None:
    location = name.begin()
    answer = name.client.ask("PATCH", location, chunk_header(0, LAST), PIECES)
    assert is_session(answer, 202, f"0-{LAST}", name)
    refused = name.client.ask("PATCH", location, chunk_header(len(CONTENT), len(CONTENT) + 98), PIECES)
    assert (refused.status, refused.code) == (416, "BLOB_UPLOAD_INVALID")
    assert is_session(name.client.get(location), 204, f"0-{LAST}", name)


@pytest.mark.parametrize("reference", ["tag", "sha256", "sha512"])
def test_01_a_manifest_may_be_chunked(name: Name, reference: str) -> None:
    manifest = image(CONTENT, config=descriptor(CONFIG, CONTENT))
    name.push(CONTENT)
    target = reference if reference == "tag" else digest_of(manifest, reference)
    answer = name.client.ask(
        "PUT", name.manifest(target), [("Content-Type", IMAGE)], [manifest[:50], manifest[50:51], manifest[51:]]
    )
    assert answer.status == 201
    assert name.client.get(name.manifest(target)).body == manifest


def test_01_a_body_may_be_larger_than_the_frameworks_own_limit(name: Name) -> None:
    content = bytes(8 * 1024 * 1024)
    answer = name.client.ask("PUT", closing_target(name.begin(), digest_of(content)), body=content)
    assert is_stored(answer, name, content)


@pytest.fixture(scope="module")
def limited() -> Iterator[Client]:
    """A server that takes one byte less than ``CONTENT`` has."""
    with inside(limits=ServerLimits(blob_bytes=len(CONTENT) - 1)) as served:
        yield Client(served.port)


@pytest.mark.parametrize("way", ["post", "put", "patch", "patches"])
@bodies
def test_01_a_limit_counts_the_bytes_and_not_what_the_header_says(limited: Client, way: str, chunked: bool) -> None:
    name = Name(limited, f"limited/{way}-{chunked}".lower())
    body = body_of(CONTENT, chunked)
    if way == "post":
        answer = name.client.ask("POST", f"{name.uploads}?digest={digest_of(CONTENT)}", body=body)
    elif way == "put":
        answer = name.client.ask("PUT", closing_target(name.begin(), digest_of(CONTENT)), body=body)
    elif way == "patch":
        answer = name.client.ask("PATCH", name.begin(), body=body)
    else:
        location = name.begin()
        assert name.client.ask("PATCH", location, body=CONTENT[:THIRD]).status == 202
        answer = name.client.ask("PATCH", location, body=body_of(CONTENT[THIRD:], chunked))
        assert is_session(name.client.get(location), 204, f"0-{THIRD - 1}", name)
    assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert name.client.head(name.blob(digest_of(CONTENT))).status == 404


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_01_a_length_beyond_limit_and_disk_is_the_fault_of_the_client(limited: Client, method: str) -> None:
    name = Name(limited, f"announced/{method.lower()}")
    location = name.begin()
    target = location if method == "PATCH" else closing_target(location, digest_of(CONTENT))
    request = f"{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {10**18}\r\nConnection: close\r\n\r\n"
    (answer,) = limited.raw(request.encode(), method)
    assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert is_session(name.client.get(location), 204, "0-0", name)


@algorithms
@bodies
@pytest.mark.parametrize("way", ["post+put", "post", "post+patch+put", "post+patch+patch+put"])
def test_02_the_empty_blob(name: Name, way: str, chunked: bool, algorithm: str) -> None:
    empty = digest_of(b"", algorithm)
    body = body_of(b"", chunked)
    if way == "post":
        answer = name.client.ask("POST", f"{name.uploads}?digest={empty}", body=body)
    else:
        location = name.begin()
        for _ in range(way.count("patch")):
            patched = name.client.ask("PATCH", location, body=body)
            assert is_session(patched, 202, "0-0", name)
            location = patched.location
        answer = name.client.ask("PUT", closing_target(location, empty), body=body)
    assert is_stored(answer, name, b"", algorithm)
    for method in ("HEAD", "GET"):
        got = name.client.ask(method, name.blob(empty))
        assert (got.status, got["Content-Length"], got.body) == (200, "0", b"")


def test_02_the_empty_blob_by_a_put_without_any_body_header(name: Name) -> None:
    answer = name.client.ask("PUT", closing_target(name.begin(), digest_of(b"")))
    assert is_stored(answer, name, b"")


@pytest.mark.parametrize("slash", ["/", ""])
@pytest.mark.parametrize("body", [b"", None], ids=["length 0", "no length"])
@pytest.mark.parametrize("headers", [[], [("Content-Type", "")], [("Content-Type", "application/octet-stream")]])
def test_03_a_post_begins_a_session(name: Name, headers: Headers, body: bytes | None, slash: str) -> None:
    answer = name.client.ask("POST", name.uploads.rstrip("/") + slash, headers, body)
    assert is_session(answer, 202, "0-0", name)
    assert answer["Content-Length"] == "0"
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert "://" not in answer.location


def test_03_sessions_are_not_listed(name: Name) -> None:
    name.begin()
    answer = name.client.get(name.uploads)
    assert (answer.status, answer.code, answer["Allow"]) == (405, "UNSUPPORTED", "POST")


def test_03_a_session_is_named_by_a_uuid(name: Name) -> None:
    found = {name.client.ask("POST", name.uploads, body=b"")["Docker-Upload-UUID"] for _ in range(5)}
    assert len(found) == 5
    for upload in found:
        assert upload is not None
        assert str(UUID(upload)) == upload


@pytest.mark.parametrize("query", ["", "?digest-algorithm=sha512", "?ns=docker.io", "?_state=abc&x=%2F"])
def test_03_a_query_of_the_client_does_not_harm(name: Name, query: str) -> None:
    location = name.begin(query)
    answer = name.client.ask("PATCH", f"{location}{'&' if '?' in location else '?'}_state=abc&x=y", body=CONTENT)
    assert is_session(answer, 202, f"0-{LAST}", name)
    closed = name.client.ask("PUT", f"{answer.location}?x=%2Fy&digest={digest_of(CONTENT)}&z=1")
    assert is_stored(closed, name, CONTENT)


@algorithms
def test_03_a_digest_may_be_percent_encoded(name: Name, algorithm: str) -> None:
    digest = digest_of(CONTENT, algorithm)
    written = digest.replace(":", "%3A")
    answer = name.client.ask("PUT", f"{name.begin()}?digest={written}", body=CONTENT)
    assert is_stored(answer, name, CONTENT, algorithm)
    assert name.client.get(name.blob(written)).body == CONTENT


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("last", ["patch", "put"])
@bodies
def test_04_chunks_in_order(name: Name, last: str, chunked: bool, algorithm: str) -> None:
    query = f"?digest-algorithm={algorithm}"
    location = name.begin(query)
    digest = digest_of(CONTENT, algorithm)
    for first, end in ((0, THIRD), (THIRD, 2 * THIRD)):
        body = body_of(CONTENT[first:end], chunked)
        answer = name.client.ask("PATCH", location, chunk_header(first, end - 1), body)
        assert is_session(answer, 202, f"0-{end - 1}", name)
        location = answer.location
    rest = body_of(CONTENT[2 * THIRD :], chunked)
    if last == "patch":
        answer = name.client.ask("PATCH", location, chunk_header(2 * THIRD, LAST), rest)
        assert is_session(answer, 202, f"0-{LAST}", name)
        answer = name.client.ask("PUT", closing_target(answer.location, digest), body=b"")
    else:
        answer = name.client.ask("PUT", closing_target(location, digest), chunk_header(2 * THIRD, LAST), rest)
    assert is_stored(answer, name, CONTENT, algorithm)


BROKEN_RANGES = [
    pytest.param(f"0-{THIRD - 1}", id="replayed"),
    pytest.param(f"{THIRD + 1}-{LAST + 1}", id="beyond the end"),
    pytest.param(f"{2 * THIRD}-{3 * THIRD - 1}", id="out of order"),
    pytest.param(f"{THIRD - 1}-{LAST - 1}", id="overlapping"),
    pytest.param(f"{THIRD}-{LAST - 1}", id="longer than said"),
    pytest.param(f"{THIRD}-{LAST + 1}", id="shorter than said"),
    pytest.param(f"{LAST}-{THIRD}", id="reversed"),
    pytest.param(f"bytes {THIRD}-{LAST}", id="with a unit"),
    pytest.param(f"{THIRD}-{LAST}/{LAST + 1}", id="with a total"),
    pytest.param(f"bytes={THIRD}-{LAST}", id="as a Range"),
    pytest.param(f"{THIRD}-", id="open"),
    pytest.param(f"-{THIRD}", id="suffix"),
    pytest.param("x", id="no range"),
    pytest.param(f"{'9' * 30}-{'9' * 31}", id="huge"),
]


@pytest.mark.parametrize("content_range", BROKEN_RANGES)
@bodies
def test_04_a_chunk_that_does_not_belong_there_is_416_and_the_session_goes_on(
    name: Name, content_range: str, chunked: bool
) -> None:
    location = name.begin()
    assert name.client.ask("PATCH", location, chunk_header(0, THIRD - 1), CONTENT[:THIRD]).status == 202
    body = body_of(CONTENT[THIRD:], chunked)
    refused = name.client.ask("PATCH", location, [("Content-Range", content_range)], body)
    assert (refused.status, refused.code) == (416, "BLOB_UPLOAD_INVALID")
    assert is_session(name.client.get(location), 204, f"0-{THIRD - 1}", name)
    answer = name.client.ask("PATCH", location, chunk_header(THIRD, LAST), body)
    assert is_session(answer, 202, f"0-{LAST}", name)
    closed = name.client.ask("PUT", closing_target(location, digest_of(CONTENT)))
    assert is_stored(closed, name, CONTENT)


def test_04_the_first_chunk_begins_at_0(name: Name) -> None:
    location = name.begin()
    refused = name.client.ask("PATCH", location, chunk_header(1, THIRD), CONTENT[:THIRD])
    assert (refused.status, refused.code) == (416, "BLOB_UPLOAD_INVALID")
    assert is_session(name.client.get(location), 204, "0-0", name)


@pytest.mark.two_workers
@pytest.mark.parametrize("times", [1, 3])
def test_04_a_stored_chunk_sent_again_is_416(name: Name, times: int) -> None:
    location = name.begin()
    name.client.ask("PATCH", location, chunk_header(0, THIRD - 1), CONTENT[:THIRD])
    for _ in range(times):
        again = name.client.ask("PATCH", location, chunk_header(0, THIRD - 1), CONTENT[:THIRD])
        assert (again.status, again.code) == (416, "BLOB_UPLOAD_INVALID")
    answer = name.client.ask("PUT", closing_target(location, digest_of(CONTENT)), body=CONTENT[THIRD:])
    assert is_stored(answer, name, CONTENT)


@pytest.mark.parametrize("content_range", BROKEN_RANGES)
@bodies
def test_05_a_closing_put_that_does_not_belong_there_is_416_and_the_session_goes_on(
    name: Name, content_range: str, chunked: bool
) -> None:
    digest = digest_of(CONTENT)
    location = name.begin()
    name.client.ask("PATCH", location, chunk_header(0, THIRD - 1), CONTENT[:THIRD])
    target = closing_target(location, digest)
    body = body_of(CONTENT[THIRD:], chunked)
    refused = name.client.ask("PUT", target, [("Content-Range", content_range)], body)
    assert (refused.status, refused.code) == (416, "BLOB_UPLOAD_INVALID")
    assert is_session(name.client.get(location), 204, f"0-{THIRD - 1}", name)
    assert name.client.head(name.blob(digest)).status == 404
    assert is_stored(name.client.ask("PUT", target, chunk_header(THIRD, LAST), body), name, CONTENT)


def test_05_a_closing_put_without_a_body_may_have_any_content_range(name: Name) -> None:
    location = name.begin()
    name.client.ask("PATCH", location, body=CONTENT)
    answer = name.client.ask("PUT", closing_target(location, digest_of(CONTENT)), chunk_header(0, 1), b"")
    assert is_stored(answer, name, CONTENT)


@algorithms
@bodies
@pytest.mark.parametrize("way", ["post+put", "post", "chunks", "chunks, the last in the put", "stream"])
def test_05_another_digest_is_400(name: Name, way: str, chunked: bool, algorithm: str) -> None:
    wrong = digest_of(b"something else", algorithm)
    if way == "post":
        answer = name.client.ask("POST", f"{name.uploads}?digest={wrong}", body=body_of(CONTENT, chunked))
    else:
        location = name.begin()
        ranges = [chunk_header(0, THIRD - 1), chunk_header(THIRD, LAST)] if "chunks" in way else [[], []]
        patched = {"post+put": b"", "chunks, the last in the put": CONTENT[:THIRD]}.get(way, CONTENT)
        if patched == CONTENT:
            name.client.ask("PATCH", location, ranges[0], body_of(CONTENT[:THIRD], chunked))
            name.client.ask("PATCH", location, ranges[1], body_of(CONTENT[THIRD:], chunked))
        elif patched:
            name.client.ask("PATCH", location, ranges[0], body_of(patched, chunked))
        rest = CONTENT[len(patched) :]
        headers = ranges[1] if patched and rest else []
        answer = name.client.ask("PUT", closing_target(location, wrong), headers, body_of(rest, chunked))
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert name.client.head(name.blob(wrong)).status == 404
    assert name.client.head(name.blob(digest_of(CONTENT, algorithm))).status == 404


@pytest.mark.two_workers
def test_06_a_session_tells_how_much_it_holds(name: Name) -> None:
    location = name.begin()
    for method in ("GET", "HEAD"):
        assert is_session(name.client.ask(method, location), 204, "0-0", name)
    held = 0
    for size in (2, 100, 1, 5000):
        name.client.ask("PATCH", location, body=CONTENT[held : held + size])
        held += size
        for method in ("GET", "HEAD"):
            answer = name.client.ask(method, location)
            assert is_session(answer, 204, f"0-{held - 1}", name)
            assert answer["Content-Length"] is None


@pytest.mark.two_workers
@pytest.mark.parametrize("query", ["", "?digest=sha256:abc", f"?digest={digest_of(CONTENT)}", "?digest=", "?digest=x%"])
def test_06_an_older_location_works_and_a_stray_digest_is_ignored(name: Name, query: str) -> None:
    locations = [name.begin()]
    for first in range(0, 4 * 1000, 1000):
        answer = name.client.ask("PATCH", locations[-1] + query, body=CONTENT[first : first + 1000])
        assert answer.status == 202
        locations.append(answer.location)
    for location in locations:
        assert is_session(name.client.get(location + query), 204, "0-3999", name)
    answer = name.client.ask("PATCH", locations[0], chunk_header(4000, LAST), CONTENT[4000:])
    assert is_session(answer, 202, f"0-{LAST}", name)
    assert is_stored(name.client.ask("PUT", closing_target(locations[1], digest_of(CONTENT))), name, CONTENT)


@pytest.mark.parametrize("size_bytes", [1, 2, 4095, 65_536, 70_000])
@bodies
def test_07_a_patch_tells_the_offset_of_the_last_byte(name: Name, size_bytes: int, chunked: bool) -> None:
    answer = name.client.ask("PATCH", name.begin(), body=body_of(CONTENT[:size_bytes], chunked))
    assert is_session(answer, 202, f"0-{size_bytes - 1}", name)
    assert answer["Content-Length"] == "0"


@pytest.mark.two_workers
def test_08_no_chunk_is_too_small(name: Name) -> None:
    begun = name.client.ask("POST", name.uploads, body=b"")
    assert int(begun["OCI-Chunk-Min-Length"] or 0) <= 1
    location = begun.location
    for offset in range(5):
        answer = name.client.ask("PATCH", location, chunk_header(offset, offset), CONTENT[offset : offset + 1])
        assert is_session(answer, 202, f"0-{offset}", name)
        location = answer.location
    answer = name.client.ask("PUT", closing_target(location, digest_of(CONTENT[:5])))
    assert is_stored(answer, name, CONTENT[:5])


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("patches", [1, 3])
@pytest.mark.parametrize("rest", [0, 1000])
@bodies
def test_09_a_stream_in_several_patches(name: Name, patches: int, rest: int, chunked: bool, algorithm: str) -> None:
    location = name.begin()
    streamed = len(CONTENT) - rest
    step = -(-streamed // patches)
    for first in range(0, streamed, step):
        piece = CONTENT[first : min(first + step, streamed)]
        answer = name.client.ask("PATCH", location, body=body_of(piece, chunked))
        assert is_session(answer, 202, f"0-{first + len(piece) - 1}", name)
        location = answer.location
    body = body_of(CONTENT[streamed:], chunked)
    answer = name.client.ask("PUT", closing_target(location, digest_of(CONTENT, algorithm)), body=body)
    assert is_stored(answer, name, CONTENT, algorithm)


@algorithms
@bodies
@pytest.mark.parametrize("slash", ["/", ""])
def test_10_a_single_post(name: Name, chunked: bool, slash: str, algorithm: str) -> None:
    target = f"{name.uploads.rstrip('/')}{slash}?digest={digest_of(CONTENT, algorithm)}"
    answer = name.client.ask("POST", target, [("Content-Type", "application/octet-stream")], body_of(CONTENT, chunked))
    assert is_stored(answer, name, CONTENT, algorithm)
    assert is_stored(name.client.ask("POST", target, body=body_of(CONTENT, chunked)), name, CONTENT, algorithm)


MALFORMED = [
    "sha256:abc",
    "sha256",
    "sha256:",
    ":abc",
    "sha256:" + "g" * 64,
    "sha256:" + "A" * 64,
    "sha512:" + "a" * 64,
]
UNKNOWN = ["md5:d41d8cd98f00b204e9800998ecf8427e", "sha384:" + "a" * 96, "blake3:" + "a" * 64, "SHA256:" + "a" * 64]


@pytest.mark.parametrize("digest", MALFORMED + UNKNOWN)
@pytest.mark.parametrize("way", ["post", "put"])
def test_11_a_digest_that_is_none_is_400(name: Name, way: str, digest: str) -> None:
    location = name.begin()
    name.client.ask("PATCH", location, body=CONTENT)
    if way == "post":
        answer = name.client.ask("POST", f"{name.uploads}?digest={digest}", body=CONTENT)
    else:
        answer = name.client.ask("PUT", closing_target(location, digest))
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert is_session(name.client.get(location), 204, f"0-{LAST}", name)


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("announced", [None, *ALGORITHMS])
@pytest.mark.parametrize("way", ["put", "patch"])
def test_11_the_algorithm_may_be_announced_or_known_only_at_the_end(
    name: Name, way: str, announced: str | None, algorithm: str
) -> None:
    location = name.begin(f"?digest-algorithm={announced}" if announced else "")
    if way == "patch":
        location = name.client.ask("PATCH", location, body=PIECES).location
    target = closing_target(location, digest_of(CONTENT, algorithm))
    answer = name.client.ask("PUT", target, body=CONTENT if way == "put" else b"")
    assert is_stored(answer, name, CONTENT, algorithm)


@pytest.mark.parametrize("announced", ["md5", "sha384", "SHA512", "sha512%20", "sha512:abc"])
def test_11_an_algorithm_that_is_not_known_is_400(name: Name, announced: str) -> None:
    answer = name.client.ask("POST", f"{name.uploads}?digest-algorithm={announced}", body=b"")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("query", ["", "?digest=", "?x=y"])
def test_11_a_closing_put_needs_a_digest(name: Name, query: str) -> None:
    location = name.begin()
    name.client.ask("PATCH", location, body=CONTENT)
    answer = name.client.ask("PUT", location + query, body=b"")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert is_session(name.client.get(location), 204, f"0-{LAST}", name)


@pytest.mark.two_workers
@pytest.mark.parametrize("held", [0, 1000])
def test_12_a_session_that_is_cancelled_is_gone(name: Name, held: int) -> None:
    location = name.begin()
    name.client.ask("PATCH", location, body=CONTENT[:held])
    answer = name.client.ask("DELETE", location)
    assert (answer.status, answer["Content-Length"], answer.body) == (204, None, b"")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        target = closing_target(location, digest_of(CONTENT)) if method == "PUT" else location
        gone = name.client.ask(method, target, body=None if method in {"GET", "DELETE"} else CONTENT)
        assert (gone.status, gone.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert name.client.head(location).status == 404


@pytest.mark.two_workers
@pytest.mark.parametrize("outcome", ["stored", "refused"])
def test_12_a_session_ends_with_its_put(name: Name, outcome: str) -> None:
    location = name.begin()
    digest = digest_of(CONTENT if outcome == "stored" else b"x")
    assert name.client.ask("PUT", closing_target(location, digest), body=CONTENT).status in {201, 400}
    gone = name.client.get(location)
    assert (gone.status, gone.code) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_12_a_session_expires() -> None:
    with inside() as served:
        name = Name(Client(served.port), "expiring")
        location = name.begin()
        assert served.run(lambda store: store.uploads.expire(timedelta(hours=1))) == 0
        assert is_session(name.client.get(location), 204, "0-0", name)
        assert served.run(lambda store: store.uploads.expire(timedelta(seconds=-1))) == 1
        assert name.client.get(location).code == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.two_workers
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_12_a_session_belongs_to_its_repository(name: Name, other: Name, method: str) -> None:
    location = name.begin()
    name.client.ask("PATCH", location, body=CONTENT)
    elsewhere = location.replace(name.base, other.base)
    target = closing_target(elsewhere, digest_of(CONTENT)) if method == "PUT" else elsewhere
    answer = name.client.ask(method, target, body=b"" if method in {"PATCH", "PUT"} else None)
    assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert is_session(name.client.get(location), 204, f"0-{LAST}", name)


@pytest.mark.parametrize(
    ("upload", "code"),
    [
        ("0" * 32, "BLOB_UPLOAD_UNKNOWN"),
        ("00000000-0000-0000-0000-000000000000", "BLOB_UPLOAD_UNKNOWN"),
        ("x", "BLOB_UPLOAD_UNKNOWN"),
        ("..", "UNSUPPORTED"),
        ("%2e%2e", "UNSUPPORTED"),
        ("%2e%2e%2fetc", "UNSUPPORTED"),
        ("a%2Fb", "UNSUPPORTED"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "PUT", "DELETE"])
def test_12_a_session_that_never_was(name: Name, method: str, upload: str, code: str) -> None:
    target = f"{name.uploads}{upload}"
    answer = name.client.ask(method, closing_target(target, digest_of(b"")) if method == "PUT" else target)
    assert answer.status == 404
    assert method == "HEAD" or answer.code == code


@pytest.mark.two_workers
@pytest.mark.parametrize("second", ["PATCH", "PUT", "DELETE"])
def test_12_two_writers_do_not_mix_their_bytes(name: Name, second: str) -> None:
    location = name.begin()
    with name.client.bare() as file:
        headers = [("Expect", "100-continue"), ("Content-Length", str(len(CONTENT)))]
        file.write(head_of("PATCH", location, headers))
        file.flush()
        assert read(file, "PATCH").status == 100  # so it is writing
        target = closing_target(location, digest_of(b"intruder")) if second == "PUT" else location
        refused = name.client.ask(second, target, body=None if second == "DELETE" else b"intruder")
        assert (refused.status, refused.code) == (400, "BLOB_UPLOAD_INVALID")
        file.write(CONTENT)
        file.flush()
        assert is_session(read(file, "PATCH"), 202, f"0-{LAST}", name)
    assert is_stored(name.client.ask("PUT", closing_target(location, digest_of(CONTENT))), name, CONTENT)


@pytest.mark.two_workers
def test_12_one_of_two_that_close_a_session_with_its_bytes_succeeds(name: Name) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            content = fresh(100_000)
            target = closing_target(name.begin(), digest_of(content))
            answers = list(pool.map(lambda body, to=target: name.client.ask("PUT", to, body=body), [content] * 2))
            assert sorted(answer.status for answer in answers) in ([201, 400], [201, 404])
            assert name.holds(digest_of(content), content)


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("way", ["post+put", "post", "patch", "mount"])
def test_13_every_location_leads_to_the_same_bytes(name: Name, other: Name, way: str, algorithm: str) -> None:
    content = fresh()
    digest = digest_of(content, algorithm)
    if way == "post+put":
        answer = name.client.ask("PUT", closing_target(name.begin(), digest), body=content)
    elif way == "post":
        answer = name.client.ask("POST", f"{name.uploads}?digest={digest}", body=content)
    elif way == "patch":
        patched = name.client.ask("PATCH", name.begin(), body=content)
        answer = name.client.ask("PUT", closing_target(patched.location, digest))
    else:
        other.push(content, algorithm)
        answer = name.client.ask("POST", f"{name.uploads}?mount={digest}&from={other.name}", body=b"")
    assert is_stored(answer, name, content, algorithm)


@pytest.mark.two_workers
def test_13_the_same_blob_sent_by_many_at_once(name: Name) -> None:
    content = fresh(300_000)
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(name.push, [content] * 16))
    assert set(digests) == {digest_of(content)}
    assert name.holds(digests[0], content)
