"""Points 15 to 18: pulling blobs and manifests."""

from __future__ import annotations

import pytest

from tests.conformance.client import Answer, Name, head_of, receive, send
from tests.conformance.content import (
    ALGORITHMS,
    CONFIG,
    DOCKER_CONFIG,
    DOCKER_IMAGE,
    DOCKER_LIST,
    EMPTY,
    IMAGE,
    INDEX,
    artifact,
    descriptor,
    digest_of,
    fresh,
    image,
    index,
)

CONTENT = fresh(20_000)
SIZE = len(CONTENT)
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)
ACCEPTS = [
    [],
    [("Accept", "*/*")],
    [("Accept", "text/html")],
    [("Accept", IMAGE), ("Accept", INDEX), ("Accept", DOCKER_IMAGE), ("Accept", "application/json")],
    [("Accept", f"{DOCKER_LIST};q=0.5, {INDEX}, */*")],
    [("Accept-Encoding", "gzip, deflate, br, zstd")],
    [("Accept-Encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5, identity;q=0")],
]


def manifest_of(media_type: str) -> bytes:
    if media_type in {INDEX, DOCKER_LIST}:
        return index(mediaType=media_type)
    config = CONFIG if media_type == IMAGE else DOCKER_CONFIG
    return image(b"{}", mediaType=media_type, config=descriptor(config, b"{}"))


def plain(answer: Answer) -> dict[str, str]:
    """Return the headers without those that depend on the time and the server."""
    return {key.lower(): value for key, value in answer.headers.items() if key.lower() not in {"date", "server"}}


def check_served(
    name: Name, target: str, headers: list[tuple[str, str]], content: bytes, media_type: str, digest: str
) -> None:
    """Check that GET and HEAD serve exactly this content with equal headers."""
    got, looked_up = name.client.get(target, *headers), name.client.head(target, *headers)
    assert (got.status, looked_up.status) == (200, 200)
    assert (got.body, looked_up.body) == (content, b"")
    assert plain(got) == plain(looked_up)
    assert got["Content-Length"] == str(len(content))
    assert got["Content-Type"] == media_type
    assert got["Content-Encoding"] is None
    assert got["Transfer-Encoding"] is None
    assert got["Docker-Content-Digest"] == digest


@algorithms
@pytest.mark.parametrize("size_bytes", [0, 1, SIZE, 300_000])
def test_15_a_blob(name: Name, size_bytes: int, algorithm: str) -> None:
    content = fresh(size_bytes)
    digest = name.push(content, algorithm)
    for headers in ACCEPTS:
        check_served(name, name.blob(digest), headers, content, "application/octet-stream", digest)


@algorithms
@pytest.mark.parametrize("by", ["tag", "digest"])
@pytest.mark.parametrize("media_type", [IMAGE, INDEX, DOCKER_IMAGE, DOCKER_LIST])
def test_15_a_manifest(name: Name, media_type: str, by: str, algorithm: str) -> None:
    name.push(b"{}")
    manifest = manifest_of(media_type)
    digest = digest_of(manifest, algorithm)
    assert name.put(manifest, f"{media_type}; charset=utf-8", digest, "?tag=1").status == 201
    target = name.manifest("1" if by == "tag" else digest)
    for headers in ACCEPTS:
        check_served(name, target, headers, manifest, media_type, digest)


def test_15_a_manifest_without_a_media_type_of_its_own_keeps_the_one_it_was_sent_with(name: Name) -> None:
    name.push(b"{}")
    manifest = image(b"{}", mediaType=None).replace(b'  "mediaType": null,\n', b"", 1)
    assert b"null" not in manifest
    assert name.put(manifest, IMAGE, "1").status == 201
    assert name.client.get(name.manifest("1"))["Content-Type"] == IMAGE


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/_catalog", "tags", "referrers", "manifest", "blob", "/v2/no/such/tags/list", "/nothing"]
)
def test_15_head_is_get_without_the_body_and_nothing_is_compressed(name: Name, path: str) -> None:
    name.push(b"{}")
    manifest = artifact("application/vnd.example")
    name.put(manifest, IMAGE, "1")
    target = {
        "tags": name.tags,
        "referrers": name.referrers(digest_of(manifest)),
        "manifest": name.manifest("1"),
        "blob": name.blob(digest_of(b"{}")),
    }.get(path, path)
    headers = ("Accept-Encoding", "gzip, zstd, br")
    got, looked_up = name.client.get(target, headers), name.client.head(target, headers)
    assert got.status == looked_up.status
    # Other tests may add to the catalog between two requests.
    varying = {"content-length", "link"} if path == "/v2/_catalog" else set()
    assert {k: v for k, v in plain(got).items() if k not in varying} == {
        k: v for k, v in plain(looked_up).items() if k not in varying
    }
    assert (got["Content-Encoding"], looked_up.body) == (None, b"")
    assert got["Content-Length"] == str(len(got.body))
    assert got["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.two_workers
@pytest.mark.parametrize("by", ["tag", *ALGORITHMS])
def test_16_a_manifest_kept_under_both_algorithms_answers_in_the_one_asked_for(name: Name, by: str) -> None:
    name.push(b"{}")
    manifest = artifact("application/vnd.example")
    name.put(manifest, IMAGE, "1")
    for algorithm in ALGORITHMS:
        assert name.put(manifest, IMAGE, digest_of(manifest, algorithm)).status == 201
    expected = digest_of(manifest, "sha256" if by == "tag" else by)
    target = name.manifest("1" if by == "tag" else expected)
    for method in ("GET", "HEAD"):
        answer = name.client.ask(method, target)
        assert (answer.status, answer["Docker-Content-Digest"]) == (200, expected)
        assert answer["Content-Length"] == str(len(manifest))


@pytest.mark.two_workers
@algorithms
def test_16_a_blob_kept_under_both_algorithms_answers_in_the_one_asked_for(name: Name, algorithm: str) -> None:
    content = fresh()
    for each in ALGORITHMS:
        name.push(content, each)
    assert name.holds(digest_of(content, algorithm), content)


@algorithms
@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, SIZE - 1),
        ("bytes=-500", SIZE - 500, SIZE - 1),
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=0-0", 0, 0),
        (f"bytes=0-{SIZE - 1}", 0, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        (f"bytes={SIZE - 1}-{SIZE - 1}", SIZE - 1, SIZE - 1),
        (f"bytes=500-{SIZE}", 500, SIZE - 1),
        (f"bytes=500-{SIZE * 100}", 500, SIZE - 1),
        ("bytes=500-999999999999999999", 500, SIZE - 1),
        (f"bytes=-{SIZE}", 0, SIZE - 1),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("BYTES=1-2", 1, 2),
    ],
)
def test_17_a_part_of_a_blob(name: Name, header: str, first: int, last: int, algorithm: str) -> None:
    digest = name.push(CONTENT, algorithm)
    answer = name.client.get(name.blob(digest), ("Range", header))
    assert (answer.status, answer["Content-Range"]) == (206, f"bytes {first}-{last}/{SIZE}")
    assert answer["Content-Length"] == str(last - first + 1)
    assert answer.body == CONTENT[first : last + 1]
    assert answer["Docker-Content-Digest"] == digest
    assert answer["Content-Type"] == "application/octet-stream"


@algorithms
@pytest.mark.parametrize(
    "header", [f"bytes={SIZE}-", f"bytes={SIZE * 2}-{SIZE * 3}", "bytes=500-0", "bytes=-0", "bytes=999999999999999999-"]
)
def test_17_a_part_that_is_not_there_is_416(name: Name, header: str, algorithm: str) -> None:
    digest = name.push(CONTENT, algorithm)
    answer = name.client.get(name.blob(digest), ("Range", header))
    assert answer.status == 416
    assert answer.code == "BLOB_UPLOAD_INVALID"
    assert answer["Content-Length"] == str(len(answer.body))
    assert len(answer.body) < 1000
    assert answer["Content-Range"] in {f"bytes */{SIZE}", None}


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,4-5",
        "bytes=0-1, -1",
        "lines=1-2",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=x-y",
        "bytes=1-2-3",
        "0-1",
        "",
    ],
)
def test_17_a_range_that_makes_no_sense_or_several_of_them_give_the_whole(name: Name, header: str) -> None:
    digest = name.push(CONTENT)
    answer = name.client.get(name.blob(digest), ("Range", header))
    assert (answer.status, answer.body, answer["Content-Range"]) == (200, CONTENT, None)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_17_nothing_of_the_empty_blob_is_there(name: Name, header: str) -> None:
    answer = name.client.get(name.blob(name.push(b"")), ("Range", header))
    assert (answer.status, answer["Content-Range"]) == (416, "bytes */0")


@pytest.mark.parametrize(
    ("validator", "counts"),
    [
        ('"DIGEST"', True),
        ('W/"DIGEST"', False),
        ("DIGEST", False),
        ('"tag"', False),
        ('"DIGEST", "tag"', False),
        ("*", False),
        ("Sat, 01 Jan 2000 00:00:00 GMT", False),
    ],
)
def test_17_a_range_counts_if_the_client_has_a_part_of_this_blob(name: Name, validator: str, counts: bool) -> None:
    digest = name.push(CONTENT)
    condition = ("If-Range", validator.replace("DIGEST", digest))
    answer = name.client.get(name.blob(digest), ("Range", "bytes=1-2"), condition)
    assert (answer.status, answer.body) == ((206, CONTENT[1:3]) if counts else (200, CONTENT))
    assert answer["ETag"] == f'"{digest}"'


@pytest.mark.parametrize("condition", ["If-Match", "If-Modified-Since", "If-Unmodified-Since"])
@pytest.mark.parametrize("what", ["blob", "manifest"])
def test_17_other_conditions_do_not_count(name: Name, what: str, condition: str) -> None:
    manifest = image(b"{}", config=descriptor(EMPTY, b"{}"))
    name.push(b"{}")
    name.put(manifest, IMAGE, "1")
    target = name.blob(digest_of(b"{}")) if what == "blob" else name.manifest("1")
    value = "*" if "Match" in condition else "Sat, 01 Jan 2000 00:00:00 GMT"
    answer = name.client.get(target, (condition, value))
    assert (answer.status, answer.body) == (200, b"{}" if what == "blob" else manifest)


@algorithms
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("what", ["blob", "manifest by tag", "manifest by digest"])
@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        (['"DIGEST"'], 304),
        (['W/"DIGEST"'], 304),
        (["DIGEST"], 304),
        (["*"], 304),
        (['"sha256:0", "DIGEST"'], 304),
        (['"sha256:0",W/"DIGEST" , "x"'], 304),
        (['"sha256:0"', '"DIGEST"'], 304),
        (['"sha256:0"'], 200),
        (['"sha256:0", *'], 200),
        (['"DIGEST'], 200),
        (['"DIGEST" "x"'], 200),
        ([""], 200),
    ],
)
def test_17_content_that_the_client_has_is_304(
    name: Name, method: str, what: str, conditions: list[str], status: int, algorithm: str
) -> None:
    content = fresh()
    name.push(b"{}")
    digest, target = name.push(content, algorithm), ""
    if what == "blob":
        target = name.blob(digest)
    else:
        content = artifact(annotations={"a": digest})
        digest = digest_of(content, algorithm)
        assert name.put(content, IMAGE, digest, "?tag=1").status == 201
        target = name.manifest("1" if what == "manifest by tag" else digest)
    headers = [("If-None-Match", each.replace("DIGEST", digest)) for each in conditions]
    answer = name.client.ask(method, target, headers)
    assert (answer.status, answer["ETag"], answer["Docker-Content-Digest"]) == (status, f'"{digest}"', digest)
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
    if status == 304:
        assert answer.body == b""
        # A length would be that of the 200, and clients of old would wait for so many bytes.
        assert (answer["Content-Length"], answer["Content-Type"]) == (None, None)
    else:
        assert answer.body == (content if method == "GET" else b"")


def test_17_a_connection_goes_on_after_a_304(name: Name) -> None:
    digest = name.push(CONTENT)
    head = head_of("GET", name.blob(digest), [("If-None-Match", f'"{digest}"')])
    first, second = name.client.raw(head + head_of("GET", name.blob(digest)), "GET", "GET")
    assert (first.status, second.status, second.body) == (304, 200, CONTENT)


def test_17_a_condition_counts_before_a_range(name: Name) -> None:
    digest = name.push(CONTENT)
    headers = [("Range", f"bytes={SIZE}-"), ("If-None-Match", f'"{digest}"')]
    assert name.client.get(name.blob(digest), *headers).status == 304


def test_17_a_tag_that_has_moved_is_not_what_the_client_has(name: Name) -> None:
    name.push(b"{}")
    manifests = [artifact(annotations={"number": str(number)}) for number in range(2)]
    assert name.put(manifests[0], IMAGE, "1").status == 201
    condition = ("If-None-Match", name.client.head(name.manifest("1"))["ETag"] or "")
    assert name.client.get(name.manifest("1"), condition).status == 304
    assert name.put(manifests[1], IMAGE, "1").status == 201
    answer = name.client.get(name.manifest("1"), condition)
    assert (answer.status, answer.body, answer["ETag"]) == (200, manifests[1], f'"{digest_of(manifests[1])}"')


@pytest.mark.parametrize("what", ["blob", "manifest"])
def test_17_a_condition_finds_nothing_that_is_missing(name: Name, what: str) -> None:
    name.push(fresh())
    digest = digest_of(fresh())
    target = name.blob(digest) if what == "blob" else name.manifest(digest)
    for method in ("GET", "HEAD"):
        answer = name.client.ask(method, target, [("If-None-Match", f'"{digest}", *')])
        assert (answer.status, answer["ETag"]) == (404, None)
        assert name.client.ask(method, target, [("If-None-Match", "*")]).status == 404


@pytest.mark.parametrize("what", ["head of a blob", "manifest", "tags"])
def test_17_a_range_counts_on_blobs_alone(name: Name, what: str) -> None:
    name.push(b"{}")
    manifest = artifact()
    name.put(manifest, IMAGE, "1")
    method, target, size = {
        "head of a blob": ("HEAD", name.blob(digest_of(b"{}")), 2),
        "manifest": ("GET", name.manifest("1"), len(manifest)),
        "tags": ("GET", name.tags, len(name.client.get(name.tags).body)),
    }[what]
    answer = name.client.ask(method, target, [("Range", "bytes=0-0")])
    assert (answer.status, answer["Content-Length"]) == (200, str(size))


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("held", [False, True], ids=["nowhere", "elsewhere"])
def test_18_a_blob_that_is_missing(name: Name, other: Name, held: bool, algorithm: str) -> None:
    content = fresh()
    name.push(fresh())
    if held:
        other.push(content, algorithm)
    target = name.blob(digest_of(content, algorithm))
    answer = name.client.get(target)
    assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN")
    assert name.client.head(target).status == 404


@pytest.mark.parametrize("reference", ["none", *(digest_of(b"none", each) for each in ALGORITHMS)])
@pytest.mark.parametrize("exists", [False, True])
def test_18_a_manifest_that_is_missing(name: Name, reference: str, exists: bool) -> None:
    if exists:
        name.push(fresh())
    answer = name.client.get(name.manifest(reference))
    assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN" if exists else "NAME_UNKNOWN")
    assert name.client.head(name.manifest(reference)).status == 404


@pytest.mark.parametrize("tag", [".dot", "-dash", "t" * 129, "a%20b", "%C3%A9", "a@b", "a%0Ab", "a+b"])
def test_18_a_tag_that_none_could_have_is_404_to_who_reads_and_400_to_who_writes(name: Name, tag: str) -> None:
    assert name.client.get(name.manifest(tag)).code == "MANIFEST_UNKNOWN"
    assert [name.client.ask(method, name.manifest(tag)).status for method in ("GET", "HEAD")] == [404, 404]
    name.push(b"{}")
    answer = name.put(artifact(), IMAGE, tag)
    assert (answer.status, answer.code) == (400, "NAME_INVALID")


@pytest.mark.parametrize(
    "digest", ["sha256:abc", "sha256:" + "g" * 64, "sha256:" + "A" * 64, "md5:" + "a" * 32, "sha512:" + "a" * 64, "x:"]
)
@pytest.mark.parametrize("kind", ["blobs", "manifests"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_18_a_digest_that_is_none_is_400(name: Name, method: str, kind: str, digest: str) -> None:
    name.push(b"{}")
    target = f"{name.base}/{kind}/{digest}"
    if kind == "blobs" and method == "PUT":
        method = "GET"
    answer = name.put(artifact(), IMAGE, digest) if method == "PUT" else name.client.ask(method, target)
    assert answer.status == 400
    assert method == "HEAD" or answer.code == "DIGEST_INVALID"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("what", ["blob", "manifest", "missing", "tags"])
def test_18_the_body_of_a_get_is_drained(name: Name, what: str, chunked: bool) -> None:
    name.push(b"{}")
    manifest = artifact()
    name.put(manifest, IMAGE, "1")
    target, expected = {
        "blob": (name.blob(digest_of(b"{}")), b"{}"),
        "manifest": (name.manifest("1"), manifest),
        "missing": (name.manifest("none"), None),
        "tags": (name.tags, None),
    }[what]
    body = [b"x" * 10_000] * 20 if chunked else b"x" * 200_000
    with name.client.connection() as connection:
        for _ in range(3):
            send(connection, "GET", target, body=body)
            answer = receive(connection)
            assert answer.status == (404 if what == "missing" else 200)
            assert expected is None or answer.body == expected
