"""Point 14: mounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from mirror.access.rights import AccessAction, Rights
from mirror.filters.authorize import AnonymousRights
from mirror.oci import Repository
from mirror.oci.errors import Denied, MirrorError
from mirror.oci.name_pattern import NameSpan
from tests.conformance.client import Answer, Client, Name, closing_target
from tests.conformance.content import ALGORITHMS, CONFIG, IMAGE, LAYER, descriptor, digest_of, fresh, image
from tests.conformance.servers import inside, put_blob

algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


def mount(name: Name, digest: str, source: str | None = None, more: str = "") -> Answer:
    named = "" if source is None else f"&from={source}"
    return name.client.ask("POST", f"{name.uploads}?mount={digest}{named}{more}", body=b"")


def is_mounted(answer: Answer, name: Name, content: bytes, algorithm: str = "sha256") -> bool:
    digest = digest_of(content, algorithm)
    return (
        (answer.status, answer["Docker-Content-Digest"]) == (201, digest)
        and answer.location == name.blob(digest)
        and name.client.get(answer.location).body == content
        and name.holds(digest, content)
    )


def begins_a_usable_session(answer: Answer, name: Name, content: bytes, algorithm: str = "sha256") -> bool:
    digest = digest_of(content, algorithm)
    assert (answer.status, answer["Range"]) == (202, "0-0")
    assert answer["Docker-Upload-UUID"] in answer.location
    assert answer["Docker-Content-Digest"] is None
    closed = name.client.ask("PUT", closing_target(answer.location, digest), body=content)
    return closed.status == 201 and name.holds(digest, content)


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("encoded", [False, True])
def test_14_a_blob_of_another_repository(name: Name, other: Name, encoded: bool, algorithm: str) -> None:
    content = fresh()
    digest = other.push(content, algorithm)
    assert name.client.head(name.blob(digest)).status == 404
    source = other.name.replace("/", "%2F") if encoded else other.name
    written = digest.replace(":", "%3A") if encoded else digest
    assert is_mounted(mount(name, written, source), name, content, algorithm)


@pytest.mark.two_workers
@algorithms
def test_14_a_blob_of_whatever_repository_holds_it(name: Name, other: Name, algorithm: str) -> None:
    content = fresh()
    digest = other.push(content, algorithm)
    assert is_mounted(mount(name, digest), name, content, algorithm)


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("source", [None, "other", "itself", "no/such"])
def test_14_what_is_not_there_begins_a_session(name: Name, other: Name, source: str | None, algorithm: str) -> None:
    content = fresh()
    named = {"other": other.name, "itself": name.name}.get(source or "", source)
    answer = mount(name, digest_of(content, algorithm), named)
    assert begins_a_usable_session(answer, name, content, algorithm)


@pytest.mark.two_workers
def test_14_a_source_that_does_not_hold_it_begins_a_session_though_another_does(name: Name, other: Name) -> None:
    content = fresh()
    third = Name(name.client, f"{other.name}/third")
    third.push(content)
    assert begins_a_usable_session(mount(name, digest_of(content), other.name), name, content)


@pytest.mark.two_workers
@algorithms
def test_14_a_repository_mounts_from_itself(name: Name, algorithm: str) -> None:
    content = fresh()
    digest = name.push(content, algorithm)
    assert is_mounted(mount(name, digest, name.name), name, content, algorithm)


@pytest.mark.two_workers
def test_14_a_mount_repeats(name: Name, other: Name) -> None:
    content = fresh()
    digest = other.push(content)
    for _ in range(2):
        assert is_mounted(mount(name, digest, other.name), name, content)


@pytest.mark.two_workers
def test_14_the_other_algorithm_is_another_blob(name: Name, other: Name) -> None:
    content = fresh()
    other.push(content, "sha256")
    answer = mount(name, digest_of(content, "sha512"), other.name)
    assert begins_a_usable_session(answer, name, content, "sha512")


@pytest.mark.two_workers
def test_14_a_manifest_is_not_a_blob(name: Name, other: Name) -> None:
    manifest = image(other_config := fresh())
    other.push(other_config)
    assert other.put(manifest, IMAGE, "1").status == 201
    for source in (other.name, None):
        assert mount(name, digest_of(manifest), source).status == 202


@pytest.mark.two_workers
def test_14_what_is_mounted_serves_a_manifest(name: Name, other: Name) -> None:
    config, layer = fresh(), fresh()
    for content in (config, layer):
        assert mount(name, other.push(content), other.name).status == 201
    manifest = image(config, layer, layers=[descriptor(LAYER, layer)], config=descriptor(CONFIG, config))
    assert name.put(manifest, IMAGE, "1").status == 201


def test_14_a_mount_that_fails_may_come_with_the_whole_blob(name: Name) -> None:
    content = fresh()
    digest = digest_of(content)
    answer = name.client.ask("POST", f"{name.uploads}?mount={digest}&from=no/such&digest={digest}", body=content)
    assert answer.status == 201
    assert name.holds(digest, content)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("mount=sha256:abc&from=no/such", "DIGEST_INVALID"),
        ("mount=md5:d41d8cd98f00b204e9800998ecf8427e", "DIGEST_INVALID"),
        (f"mount={digest_of(b'')}&from=../../etc", "NAME_INVALID"),
        (f"mount={digest_of(b'')}&from=UPPER", "NAME_INVALID"),
    ],
)
def test_14_words_outside_the_grammar_are_400(name: Name, query: str, code: str) -> None:
    answer = name.client.ask("POST", f"{name.uploads}?{query}", body=b"")
    assert (answer.status, answer.code) == (400, code)


@dataclass(frozen=True)
class ExceptSecret:
    """All rights, except in the repository ``secret``."""

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        return repository is not None and repository.name != "secret"

    def basis(self, action: AccessAction, repository: Repository | None) -> str:
        return "this test"

    def spans(self, action: AccessAction) -> Sequence[NameSpan]:
        return (NameSpan(),)

    @property
    def listing(self) -> Rights:
        return self

    def refusal(self, action: AccessAction, repository: Repository) -> MirrorError:
        return Denied(f"{action.value} of {repository} is not allowed", name=repository)


@algorithms
@pytest.mark.parametrize("source", ["secret", None])
def test_14_a_mount_does_not_reveal_what_may_not_be_read(source: str | None, algorithm: str) -> None:
    held, absent = fresh(), fresh()

    with inside(ExceptSecret()) as served:
        served.run(lambda store: put_blob(store, "secret", held, algorithm))
        client = Client(served.port)
        assert client.head(f"/v2/secret/blobs/{digest_of(held, algorithm)}").status == 403
        name = Name(client, "open")
        answers = [mount(name, digest_of(content, algorithm), source) for content in (held, absent)]
        assert [answer.status for answer in answers] == [202, 202]
        assert {*answers[0].headers} == {*answers[1].headers}
        assert begins_a_usable_session(answers[0], name, held, algorithm)


def test_14_a_mount_needs_the_right_to_push() -> None:
    with inside(AnonymousRights(frozenset({AccessAction.PULL}))) as served:
        answer = mount(Name(Client(served.port), "closed"), digest_of(b"x"), "no/such")
        assert (answer.status, answer.code) == (403, "DENIED")
