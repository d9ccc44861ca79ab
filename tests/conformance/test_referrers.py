"""Points 24 to 27: referrers."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance.client import Answer, Name
from tests.conformance.content import (
    ALGORITHMS,
    CONFIG,
    DOCKER_CONFIG,
    DOCKER_IMAGE,
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

algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)
AWKWARD = "application/vnd.example.sbom+json"


def listed(answer: Answer) -> list[dict[str, Any]]:
    """Return the descriptors in an answer. Fails if the answer has another form."""
    assert answer.status == 200
    assert answer.headers.get_all("Content-Type") == [INDEX]
    value = answer.json
    assert value.keys() == {"schemaVersion", "mediaType", "manifests"}
    assert (value["schemaVersion"], value["mediaType"]) == (2, INDEX)
    assert isinstance(value["manifests"], list)
    return list(value["manifests"])


def refer(name: Name, subject: dict[str, Any], *, kind: str = IMAGE, algorithm: str = "sha256", **members: Any) -> str:
    """Push a manifest that refers to the subject. Returns its digest."""
    name.push(b"{}")
    manifest = index(subject=subject, **members) if kind == INDEX else artifact(subject=subject, **members)
    digest = digest_of(manifest, algorithm)
    assert name.put(manifest, kind, digest).status == 201
    return digest


def digests(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["digest"] for entry in entries]


def a_subject(algorithm: str = "sha256") -> dict[str, Any]:
    return descriptor(IMAGE, fresh(), algorithm)


@algorithms
@pytest.mark.parametrize("exists", [False, True], ids=["no repository", "repository"])
@pytest.mark.parametrize("query", ["", "?artifactType=a/b", "?n=10", "?n=0"])
def test_24_what_does_not_exist_has_an_empty_list(name: Name, query: str, exists: bool, algorithm: str) -> None:
    if exists:
        name.push(fresh())
    target = name.referrers(digest_of(fresh(), algorithm)) + query
    assert listed(name.client.get(target)) == []
    looked_up = name.client.head(target)
    assert (looked_up.status, looked_up["Content-Type"]) == (200, INDEX)


@pytest.mark.parametrize(
    "digest", ["sha256:abc", "latest", "sha256", "md5:" + "a" * 32, "sha256:" + "G" * 64, "sha512:" + "a" * 64]
)
def test_24_a_digest_that_is_none_is_400(name: Name, digest: str) -> None:
    answer = name.client.get(name.referrers(digest))
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("referrer", ALGORITHMS)
def test_25_a_descriptor_says_what_the_manifest_says_and_nothing_more(
    name: Name, referrer: str, algorithm: str
) -> None:
    subject = a_subject(algorithm)
    annotations = {"org.example.k": "ä\u2028€", "": "", "b": "2", "a": "1"}
    config = fresh()
    name.push(config, "sha256")
    name.push(b"{}")
    docker = {"mediaType": DOCKER_IMAGE, "config": descriptor(DOCKER_CONFIG, config)}
    manifests = [
        (artifact(AWKWARD, subject=subject, annotations=annotations), IMAGE, AWKWARD, annotations),
        (artifact(AWKWARD, subject=subject, annotations={}), IMAGE, AWKWARD, None),
        (artifact(None, subject=subject), IMAGE, EMPTY, None),
        (artifact("", subject=subject), IMAGE, EMPTY, None),
        (image(config, subject=subject), IMAGE, CONFIG, None),
        (image(config, subject=subject, **docker), DOCKER_IMAGE, DOCKER_CONFIG, None),
        (index(subject=subject), INDEX, None, None),
        (index(subject=subject, artifactType=""), INDEX, None, None),
        (index(subject=subject, artifactType=AWKWARD, annotations=annotations), INDEX, AWKWARD, annotations),
    ]
    expected = {}
    for number, (manifest, media_type, artifact_type, kept) in enumerate(manifests):
        by = f"t{number}" if referrer == "sha256" and number % 2 else digest_of(manifest, referrer)
        assert name.put(manifest, media_type, by).status == 201
        entry = descriptor(media_type, manifest, referrer)
        entry |= {} if artifact_type is None else {"artifactType": artifact_type}
        expected[entry["digest"]] = entry | ({"annotations": kept} if kept else {})
    found = listed(name.client.get(name.referrers(subject["digest"])))
    assert {entry["digest"]: entry for entry in found} == expected
    assert len(found) == len(manifests)


@pytest.mark.two_workers
def test_25_a_referrer_is_listed_in_its_own_repository_alone(name: Name, other: Name) -> None:
    subject = a_subject()
    digest = refer(name, subject)
    assert digests(listed(name.client.get(name.referrers(subject["digest"])))) == [digest]
    assert listed(name.client.get(other.referrers(subject["digest"]))) == []


@pytest.mark.two_workers
def test_25_a_referrer_may_come_before_its_subject(name: Name) -> None:
    name.push(b"{}")
    manifest = artifact("a/b", annotations={"n": "subject"})
    digest = refer(name, descriptor(IMAGE, manifest))
    assert name.put(manifest, IMAGE, "1").status == 201
    assert digests(listed(name.client.get(name.referrers(digest_of(manifest))))) == [digest]


@pytest.mark.two_workers
def test_25_a_referrer_has_referrers(name: Name) -> None:
    subject = a_subject()
    first = refer(name, subject)
    content = name.client.get(name.manifest(first)).body
    second = refer(name, descriptor(IMAGE, content), artifactType="a/b")
    assert digests(listed(name.client.get(name.referrers(first)))) == [second]
    assert digests(listed(name.client.get(name.referrers(subject["digest"])))) == [first]


@algorithms
@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize(
    "artifact_type", ["application/vnd.example", AWKWARD, "application/vnd.a+b+c/d%e", "text/x; q=1&n=1", "ä/ö", "a b"]
)
def test_26_a_filter(name: Name, artifact_type: str, encoded: bool, algorithm: str) -> None:
    subject = a_subject(algorithm)
    wanted = [
        refer(name, subject, artifactType=artifact_type),
        refer(name, subject, artifactType=artifact_type, annotations={"n": "2"}, algorithm="sha512"),
        refer(name, subject, kind=INDEX, artifactType=artifact_type),
    ]
    for unwanted in ("other/type", artifact_type.upper(), artifact_type + "x", "%", "_"):
        if unwanted != artifact_type:
            refer(name, subject, artifactType=unwanted)
    refer(name, subject, kind=INDEX)
    written = quote(artifact_type, safe="" if encoded else "/+")
    answer = name.client.get(f"{name.referrers(subject['digest'])}?artifactType={written}")
    assert sorted(digests(listed(answer))) == sorted(wanted)
    assert answer["OCI-Filters-Applied"] == "artifactType"


@pytest.mark.two_workers
def test_26_a_filter_takes_the_type_of_the_config_for_images_without_one(name: Name) -> None:
    subject = a_subject()
    digest = refer(name, subject)
    answer = name.client.get(f"{name.referrers(subject['digest'])}?artifactType={EMPTY}")
    assert digests(listed(answer)) == [digest]


@pytest.mark.parametrize("query", ["?artifactType=none/such", "?artifactType=none/such&n=1"])
def test_26_a_filter_that_nothing_passes_is_still_said(name: Name, query: str) -> None:
    subject = a_subject()
    refer(name, subject)
    answer = name.client.get(name.referrers(subject["digest"]) + query)
    assert listed(answer) == []
    assert answer["OCI-Filters-Applied"] == "artifactType"


@pytest.mark.parametrize("query", ["", "?other=x", "?artifactType=", "?artifacttype=none/such"])
def test_26_without_a_filter_none_is_said(name: Name, query: str) -> None:
    subject = a_subject()
    digest = refer(name, subject)
    answer = name.client.get(name.referrers(subject["digest"]) + query)
    assert digests(listed(answer)) == [digest]
    assert answer["OCI-Filters-Applied"] is None


@pytest.mark.two_workers
@algorithms
def test_27_deleting_the_subject_keeps_its_referrers_and_deleting_a_referrer_drops_it(
    name: Name, algorithm: str
) -> None:
    name.push(b"{}")
    manifest = artifact("a/subject")
    digest = digest_of(manifest, algorithm)
    assert name.put(manifest, IMAGE, digest, "?tag=1").status == 201
    subject = descriptor(IMAGE, manifest, algorithm)
    first, second = refer(name, subject, artifactType="a/1"), refer(name, subject, artifactType="a/2")
    target = name.referrers(digest)
    assert name.client.ask("DELETE", name.manifest(digest)).status == 202
    assert sorted(digests(listed(name.client.get(target)))) == sorted([first, second])
    assert name.client.ask("DELETE", name.manifest(first)).status == 202
    assert digests(listed(name.client.get(target))) == [second]
    assert digests(listed(name.client.get(f"{target}?artifactType=a/1"))) == []
    assert name.client.ask("DELETE", name.manifest(second)).status == 202
    assert listed(name.client.get(target)) == []


@pytest.mark.two_workers
def test_27_deleting_the_tag_of_a_referrer_keeps_it(name: Name) -> None:
    name.push(b"{}")
    subject = a_subject()
    manifest = artifact("a/b", subject=subject)
    name.put(manifest, IMAGE, "signature")
    assert name.client.ask("DELETE", name.manifest("signature")).status == 202
    assert digests(listed(name.client.get(name.referrers(subject["digest"])))) == [digest_of(manifest)]


@pytest.mark.two_workers
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("filtered", [False, True])
def test_27_a_list_comes_in_pages_and_the_link_keeps_the_filter(name: Name, filtered: bool, size: int) -> None:
    subject = a_subject()
    wanted = [refer(name, subject, artifactType=AWKWARD, annotations={"n": str(n)}) for n in range(7)]
    others = [refer(name, subject, artifactType="other/type", annotations={"n": str(n)}) for n in range(2)]
    expected = wanted if filtered else wanted + others
    query = f"?n={size}" + (f"&artifactType={quote(AWKWARD, safe='')}" if filtered else "")
    target: str | None = name.referrers(subject["digest"]) + query
    pages = []
    while target is not None:
        answer = name.client.get(target)
        pages.append(digests(listed(answer)))
        assert answer["OCI-Filters-Applied"] == ("artifactType" if filtered else None)
        target = answer.next
    assert sorted(digest for page in pages for digest in page) == sorted(expected)
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert len(pages) == -(-len(expected) // size)


@pytest.mark.parametrize("filtered", [False, True])
def test_27_a_page_is_never_larger_than_a_manifest(name: Name, filtered: bool) -> None:
    subject = a_subject()
    big = "x" * 1_500_000
    expected = [refer(name, subject, artifactType=AWKWARD, annotations={"n": str(n), "x": big}) for n in range(5)]
    target: str | None = name.referrers(subject["digest"]) + (f"?artifactType={AWKWARD}" if filtered else "")
    found: list[str] = []
    pages = 0
    while target is not None:
        answer = name.client.get(target)
        assert len(answer.body) <= 4 * 1024 * 1024
        found += digests(listed(answer))
        pages += 1
        target = answer.next
    assert sorted(found) == sorted(expected)
    assert len(found) == len(set(found))
    assert pages > 1


def fallback_tag(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


@pytest.mark.two_workers
@algorithms
@pytest.mark.parametrize("order", ["before", "after"])
def test_27_what_is_listed_under_the_fallback_tag_is_there_once(name: Name, order: str, algorithm: str) -> None:
    """A client of an older registry maintains the list itself: an index under a tag derived from the digest."""
    subject = a_subject(algorithm)
    tag = fallback_tag(subject["digest"])
    referrers = [refer(name, subject, artifactType="a/b", annotations={"n": str(n)}) for n in range(3)]
    entries = [
        descriptor(IMAGE, name.client.get(name.manifest(each)).body, artifactType="a/b", annotations={"x": "y"})
        for each in referrers
    ]
    assert name.put(index(manifests=entries), INDEX, tag).status == 201
    if order == "after":
        late = refer(name, subject, artifactType="a/b", annotations={"n": "late"})
        referrers.append(late)
        content = name.client.get(name.manifest(late)).body
        assert name.put(index(manifests=[*entries, descriptor(IMAGE, content)]), INDEX, tag).status == 201
    answer = name.client.get(name.referrers(subject["digest"]))
    assert sorted(digests(listed(answer))) == sorted(referrers)
    assert all(entry["annotations"].keys() == {"n"} for entry in listed(answer))
    filtered = name.client.get(f"{name.referrers(subject['digest'])}?artifactType=a/b")
    assert sorted(digests(listed(filtered))) == sorted(referrers)
    # The server keeps the tag as the client made it, and never serves the tag for the list or the list for the tag.
    assert len(json.loads(name.client.get(name.manifest(tag)).body)["manifests"]) == len(referrers)


@pytest.mark.two_workers
@algorithms
def test_27_the_fallback_tag_alone_does_not_make_a_referrer(name: Name, algorithm: str) -> None:
    """Only manifests with this subject are listed (distribution-spec, "Enabling the Referrers API")."""
    name.push(b"{}")
    subject = a_subject(algorithm)
    stranger = artifact("a/b")
    name.put(stranger, IMAGE, digest_of(stranger))
    assert name.put(index(stranger), INDEX, fallback_tag(subject["digest"])).status == 201
    assert listed(name.client.get(name.referrers(subject["digest"]))) == []
