"""Points 29 and 30: deleting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection

import pytest

from mirror.access.rights import AccessAction
from tests.conformance.client import Client, Name, receive, send
from tests.conformance.content import ALGORITHMS, IMAGE, INDEX, artifact, digest_of, fresh, image, index
from tests.conformance.servers import inside
from tests.harness.mirror import Mirror
from tests.harness.readiness import wait_until

pytestmark = pytest.mark.two_workers
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)
MANIFEST = artifact("application/vnd.example")


def push(name: Name, algorithm: str = "sha256") -> str:
    """Push ``MANIFEST`` under the tags ``1`` and ``2``. Returns its digest."""
    name.push(b"{}")
    digest = digest_of(MANIFEST, algorithm)
    assert name.put(MANIFEST, IMAGE, digest, "?tag=1&tag=2").status == 201
    return digest


def statuses(name: Name, target: str) -> list[int]:
    return [name.client.ask(method, target).status for method in ("HEAD", "GET", "HEAD")]


@algorithms
def test_29_a_manifest_is_gone_at_once_with_its_tags(name: Name, algorithm: str) -> None:
    digest = push(name, algorithm)
    for target in (digest, "1", "2"):
        assert statuses(name, name.manifest(target)) == [200, 200, 200]
    answer = name.client.ask("DELETE", name.manifest(digest))
    assert (answer.status, answer["Content-Length"], answer.body) == (202, "0", b"")
    for target in (digest, "1", "2"):
        assert statuses(name, name.manifest(target)) == [404, 404, 404]
        assert name.client.get(name.manifest(target)).code == "MANIFEST_UNKNOWN"
    assert name.client.get(name.tags).json["tags"] == []


@algorithms
def test_29_a_tag_is_gone_at_once_and_nothing_else(name: Name, algorithm: str) -> None:
    digest = push(name, algorithm)
    assert statuses(name, name.manifest("1")) == [200, 200, 200]
    assert name.client.ask("DELETE", name.manifest("1")).status == 202
    assert statuses(name, name.manifest("1")) == [404, 404, 404]
    for target in (digest, "2"):
        assert name.client.get(name.manifest(target)).body == MANIFEST
    assert name.client.get(name.tags).json["tags"] == ["2"]


@algorithms
def test_29_a_blob_is_gone_at_once(name: Name, algorithm: str) -> None:
    content = fresh()
    name.push(fresh())
    digest = name.push(content, algorithm)
    assert statuses(name, name.blob(digest)) == [200, 200, 200]
    answer = name.client.ask("DELETE", name.blob(digest))
    assert (answer.status, answer["Content-Length"]) == (202, "0")
    assert statuses(name, name.blob(digest)) == [404, 404, 404]
    assert name.client.get(name.blob(digest)).code == "BLOB_UNKNOWN"
    assert name.push(content, algorithm) == digest
    assert name.holds(digest, content)


@pytest.mark.parametrize("what", ["tag", "manifest", "blob"])
@algorithms
def test_29_what_is_not_there_is_404(name: Name, what: str, algorithm: str) -> None:
    push(name)
    digest = digest_of(fresh(), algorithm)
    target = {"tag": name.manifest("9"), "manifest": name.manifest(digest), "blob": name.blob(digest)}[what]
    answer = name.client.ask("DELETE", target)
    assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN" if what == "blob" else "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("what", ["tag", "manifest", "blob"])
def test_29_what_was_deleted_is_404(name: Name, what: str) -> None:
    digest = push(name)
    content = name.push(fresh())
    target = {"tag": name.manifest("1"), "manifest": name.manifest(digest), "blob": name.blob(content)}[what]
    assert [name.client.ask("DELETE", target).status for _ in range(3)] == [202, 404, 404]


@pytest.mark.parametrize("what", ["tag", "manifest", "blob"])
def test_29_in_a_repository_that_does_not_exist_it_is_404(name: Name, what: str) -> None:
    digest = digest_of(b"x")
    target = {"tag": name.manifest("1"), "manifest": name.manifest(digest), "blob": name.blob(digest)}[what]
    answer = name.client.ask("DELETE", target)
    assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN" if what == "blob" else "NAME_UNKNOWN")


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Mirror]:
    with Mirror(workers=2) as mirror:
        wait_until(lambda: [line["event"] for line in mirror.log].count("server listening") == 2, "both workers")
        yield mirror


def connect_to_both(stack: ExitStack, mirror: Mirror) -> list[HTTPConnection]:
    """Open connections until the access log shows that each of the two workers has some."""
    client, target = Client(mirror.port), f"/v2/both/{digest_of(fresh())[7:]}/tags/list"
    connections: list[HTTPConnection] = []

    def answered() -> list[str]:
        return [line["request_id"].partition("-")[0] for line in mirror.log if line.get("path") == target]

    while len(set(answered())) < 2:
        assert len(connections) < 400, "one worker takes every connection"
        opened = [stack.enter_context(client.connection()) for _ in range(8)]
        for connection in opened:
            connection.connect()
        for connection in opened:
            send(connection, "GET", target)
            assert receive(connection).status == 404
        connections.extend(opened)
        wait_until(lambda: len(answered()) == len(connections), "the access log")
    return connections


def _ask_all(connections: list[HTTPConnection], target: str, method: str) -> set[tuple[int, str | None]]:
    answers = []
    for connection in connections:
        send(connection, method, target)
        answers.append(receive(connection))
    return {(answer.status, answer["Docker-Content-Digest"]) for answer in answers}


@pytest.mark.parametrize("what", ["tag", "manifest", "blob", "moved tag"])
def test_29_it_is_gone_in_every_worker_at_once(two_workers: Mirror, what: str) -> None:
    name = Name(Client(two_workers.port), f"workers/{what.replace(' ', '-')}")
    digest = push(name)
    newer = artifact("application/vnd.newer")
    assert name.put(newer, IMAGE, digest_of(newer)).status == 201
    target = {"manifest": name.manifest(digest), "blob": name.blob(digest_of(b"{}"))}.get(what, name.manifest("1"))
    with ExitStack() as stack:
        ask_all = partial(_ask_all, connect_to_both(stack, two_workers), target)
        for number in range(3):
            assert {status for status, _ in ask_all("GET")} == {200}
            if what == "moved tag":
                moved = newer if number % 2 == 0 else MANIFEST
                assert name.put(moved, IMAGE, "1").status == 201
                assert ask_all("HEAD") == {(200, digest_of(moved))}
            else:
                assert name.client.ask("DELETE", target).status == 202
                assert ask_all("HEAD") == {(404, None)}
                assert ask_all("GET") == {(404, None)}
                push(name)


@pytest.mark.parametrize("what", ["tag", "manifest", "blob", "nothing"])
def test_29_where_deleting_is_switched_off_it_is_405(what: str) -> None:
    with inside({AccessAction.PULL, AccessAction.PUSH}) as served:
        name = Name(Client(served.port), "kept")
        digest = push(name)
        target = {
            "tag": name.manifest("1"),
            "manifest": name.manifest(digest),
            "blob": name.blob(digest_of(b"{}")),
            "nothing": name.blob(digest_of(b"nothing")),
        }[what]
        answer = name.client.ask("DELETE", target)
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
        allowed = {method.strip() for method in (answer["Allow"] or "").split(",")}
        assert allowed == ({"GET", "HEAD"} if "/blobs/" in target else {"GET", "HEAD", "PUT"})
        assert statuses(name, name.manifest("1")) == [200, 200, 200]
        location = name.begin()
        assert name.client.ask("DELETE", location).status == 204  # a session is no content


@algorithms
def test_30_deleting_every_tag_keeps_the_manifest(name: Name, algorithm: str) -> None:
    digest = push(name, algorithm)
    for tag in ("1", "2"):
        assert name.client.ask("DELETE", name.manifest(tag)).status == 202
    assert name.client.get(name.tags).json["tags"] == []
    assert name.client.get(name.manifest(digest)).body == MANIFEST


def test_30_deleting_a_manifest_keeps_the_tags_of_others(name: Name) -> None:
    digest = push(name)
    assert name.put(index(), INDEX, "3").status == 201
    assert name.put(index(), INDEX, "2").status == 201
    assert name.client.ask("DELETE", name.manifest(digest)).status == 202
    assert name.client.get(name.tags).json["tags"] == ["2", "3"]


def test_30_each_algorithm_is_deleted_by_itself(name: Name) -> None:
    digest = push(name, "sha512")
    push(name, "sha256")
    assert name.client.ask("DELETE", name.manifest(digest)).status == 202
    assert name.client.get(name.manifest("1"))["Docker-Content-Digest"] == digest_of(MANIFEST)
    content = fresh()
    for algorithm in ALGORITHMS:
        name.push(content, algorithm)
    assert name.client.ask("DELETE", name.blob(digest_of(content))).status == 202
    assert name.holds(digest_of(content, "sha512"), content)


@algorithms
def test_30_a_blob_that_was_mounted_stays(name: Name, other: Name, algorithm: str) -> None:
    content = fresh()
    digest = other.push(content, algorithm)
    mounted = name.client.ask("POST", f"{name.uploads}?mount={digest}&from={other.name}", body=b"")
    assert mounted.status == 201
    assert name.client.ask("DELETE", other.blob(digest)).status == 202
    assert statuses(name, other.blob(digest)) == [404, 404, 404]
    assert name.holds(digest, content)


def test_30_a_manifest_of_another_repository_stays(name: Name, other: Name) -> None:
    push(other)
    digest = push(name)
    assert name.client.ask("DELETE", name.manifest(digest)).status == 202
    assert statuses(other, other.manifest("1")) == [200, 200, 200]


def test_30_deleting_a_member_keeps_the_index_and_the_other_way_round(name: Name) -> None:
    config = fresh()
    name.push(config)
    member = image(config)
    name.put(member, IMAGE, digest_of(member))
    name.put(index(member), INDEX, "index")
    assert name.client.ask("DELETE", name.manifest(digest_of(member))).status == 202
    assert name.client.get(name.manifest("index")).body == index(member)
    assert name.put(member, IMAGE, digest_of(member)).status == 201
    assert name.client.ask("DELETE", name.manifest(digest_of(index(member)))).status == 202
    assert name.client.get(name.manifest(digest_of(member))).body == member


def test_30_deleting_a_blob_keeps_the_manifest_that_names_it(name: Name) -> None:
    push(name)
    assert name.client.ask("DELETE", name.blob(digest_of(b"{}"))).status == 202
    assert name.client.get(name.manifest("1")).body == MANIFEST
    assert name.put(artifact("a/b"), IMAGE, "3").code == "MANIFEST_BLOB_UNKNOWN"
