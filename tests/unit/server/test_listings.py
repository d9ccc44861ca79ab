"""Tags, catalog, referrers: status, headers and body for each request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mirror.oci import Manifest, Repository, Tag
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.oci.media_types import OCI_INDEX, OCI_MANIFEST
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Page, Registry
from mirror.runtime.current_client import CLIENT
from mirror.server.forwarded import ForwardedHeaders, TrustedProxies
from mirror.wire.pagination import PageRequest, parse_next_link
from tests.support.served import (
    MANIFEST,
    OCI_EMPTY,
    REPOSITORY,
    Answer,
    Served,
    digest,
    put_blob,
    put_plugin,
    served,
)

TAGS = ["1.0", "10", "2.0", "A", "_x", "a", "b"]
LIST = f"/v2/{REPOSITORY}/tags/list"
SUBJECT = digest(b"anything")


async def tagged(registry: Registry) -> None:
    for tag in TAGS:
        await put_plugin(registry, tag=Tag(tag))


@pytest.mark.parametrize(
    ("query", "expected", "link"),
    [
        ("", TAGS, None),
        ("?n=3", TAGS[:3], f'<{LIST}?n=3&last=2.0>; rel="next"'),
        ("?n=3&last=2.0", TAGS[3:6], f'<{LIST}?n=3&last=a>; rel="next"'),
        ("?n=3&last=a", TAGS[6:], None),
        ("?last=2.0", TAGS[3:], None),
        ("?n=7", TAGS, None),
        ("?n=100", TAGS, None),
        ("?n=0", [], None),
        ("?last=zz", [], None),
        ("?n=2&last=11", ["2.0", "A"], f'<{LIST}?n=2&last=A>; rel="next"'),
        ("?n=99999999999999999999", TAGS, None),
        ("?n=", TAGS, None),
    ],
)
async def test_tags_come_in_pages(empty: Served, query: str, expected: list[str], link: str | None) -> None:
    await tagged(empty.registry)
    answer = await empty.ask("GET", LIST + query)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json == {"name": REPOSITORY.name, "tags": expected}
    assert answer.headers["Link"] == link


@pytest.mark.parametrize("start", [f"{LIST}?n=2", "/v2/_catalog?n=2", "/v2/_catalog?n=1"])
async def test_links_lead_through_the_whole_list(empty: Served, start: str) -> None:
    await tagged(empty.registry)
    for name in ("a", "b/c", "d", "z"):
        await put_plugin(empty.registry, Repository(name))
    found: list[str] = []
    target: str | None = start
    while target is not None:
        answer = await empty.ask("GET", target)
        found += answer.json.get("tags") or answer.json["repositories"]
        target = parse_next_link(answer.headers["Link"])
    assert found == (TAGS if "tags" in start else ["a", "b/c", REPOSITORY.name, "d", "z"])


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/v2/no/such/tags/list", 404, "NAME_UNKNOWN"),
        (f"{LIST}?n=x", 400, "UNSUPPORTED"),
        (f"{LIST}?n=-1", 400, "UNSUPPORTED"),
        ("/v2/_catalog?n=x", 400, "UNSUPPORTED"),
        (f"/v2/{REPOSITORY}/referrers/sha256:abc", 400, "DIGEST_INVALID"),
        (f"/v2/{REPOSITORY}/referrers/tag", 400, "DIGEST_INVALID"),
    ],
)
async def test_refusals(empty: Served, target: str, status: int, code: str) -> None:
    answer = await empty.ask("GET", target)
    assert (answer.status, answer.code) == (status, code)


async def test_an_empty_catalog(empty: Served) -> None:
    assert (await empty.ask("GET", "/v2/_catalog")).json == {"repositories": []}


def is_index(answer: Answer) -> bool:
    return (
        answer.status == 200
        and answer.headers.get_all("Content-Type") == [OCI_INDEX]
        and answer.json["schemaVersion"] == 2
        and answer.json["mediaType"] == OCI_INDEX
    )


async def put_referrer(registry: Registry, **members: Any) -> Manifest:
    await put_blob(registry, b"{}")
    value = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_EMPTY, "digest": digest(b"{}"), "size": 2},
        "layers": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": SUBJECT, "size": 8},
        **members,
    }
    manifest = Manifest.parse(json.dumps(value).encode(), value["mediaType"])
    await registry.put_manifest(REPOSITORY, manifest)
    return manifest


@pytest.mark.parametrize("name", [REPOSITORY.name, "no/such"])
async def test_what_does_not_exist_has_no_referrers(filled: Served, name: str) -> None:
    answer = await filled.ask("GET", f"/v2/{name}/referrers/{SUBJECT}")
    assert is_index(answer)
    assert answer.json["manifests"] == []
    assert answer.headers["OCI-Filters-Applied"] is None


async def test_referrers_are_described_by_what_they_say_themselves(filled: Served) -> None:
    typed = await put_referrer(filled.registry, artifactType="application/vnd.a+json", annotations={"k": "é"})
    plain = await put_referrer(filled.registry)
    answer = await filled.ask("GET", f"/v2/{REPOSITORY}/referrers/{SUBJECT}")
    assert is_index(answer)
    listed = {item["digest"]: item for item in answer.json["manifests"]}
    assert listed == {
        str(typed.digest): {
            "mediaType": OCI_MANIFEST,
            "digest": str(typed.digest),
            "size": typed.size_bytes,
            "artifactType": "application/vnd.a+json",
            "annotations": {"k": "é"},
        },
        str(plain.digest): {
            "mediaType": OCI_MANIFEST,
            "digest": str(plain.digest),
            "size": plain.size_bytes,
            "artifactType": OCI_EMPTY,
        },
    }


@pytest.mark.parametrize("written", ["application/vnd.a+json", "application%2Fvnd.a%2Bjson"])
async def test_referrers_of_one_type(filled: Served, written: str) -> None:
    typed = await put_referrer(filled.registry, artifactType="application/vnd.a+json")
    await put_referrer(filled.registry, artifactType="application/vnd.b")
    answer = await filled.ask("GET", f"/v2/{REPOSITORY}/referrers/{SUBJECT}?artifactType={written}")
    assert is_index(answer)
    assert [item["digest"] for item in answer.json["manifests"]] == [str(typed.digest)]
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"


@pytest.mark.parametrize("query", ["?n=2", "?artifactType=application/vnd.a%2Bjson&n=2", ""])
async def test_a_long_list_of_referrers_comes_in_pages(filled: Served, query: str) -> None:
    note = "x" * (1 if query else 1_500_000)
    for number in range(5):
        await put_referrer(filled.registry, artifactType="application/vnd.a+json", annotations={"n": f"{number}{note}"})
    target: str | None = f"/v2/{REPOSITORY}/referrers/{SUBJECT}{query}"
    pages: list[list[str]] = []
    while target is not None:
        answer = await filled.ask("GET", target)
        assert is_index(answer)
        assert len(answer.body) <= MAX_MANIFEST_BYTES
        pages.append([item["digest"] for item in answer.json["manifests"]])
        target = parse_next_link(answer.headers["Link"])
    assert [len(page) for page in pages] == [2, 2, 1]
    listed = [each for page in pages for each in page]
    assert listed == sorted(set(listed))


async def test_a_deleted_referrer_leaves_the_list_and_a_deleted_subject_does_not_empty_it(filled: Served) -> None:
    subject = {"mediaType": OCI_MANIFEST, "digest": digest(MANIFEST), "size": len(MANIFEST)}
    first = await put_referrer(filled.registry, subject=subject)
    second = await put_referrer(filled.registry, subject=subject, artifactType="application/vnd.b")
    target = f"/v2/{REPOSITORY}/referrers/{digest(MANIFEST)}"
    for gone, left in (
        (digest(MANIFEST), {str(first.digest), str(second.digest)}),
        (first.digest, {str(second.digest)}),
    ):
        assert (await filled.ask("DELETE", f"/v2/{REPOSITORY}/manifests/{gone}")).status == 202
        assert {item["digest"] for item in (await filled.ask("GET", target)).json["manifests"]} == left


async def test_what_a_list_takes_is_counted_for_the_client_that_asks() -> None:
    class Recording(MemoryRegistry):
        async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
            clients.append(CLIENT.get())
            return await super().list_tags(repository, page)

    clients: list[str] = []
    registry = Recording()
    await tagged(registry)
    async with (
        served(registry, forwarded=ForwardedHeaders(proxies=TrustedProxies(everyone=True))) as server,
        server.connect() as connection,
    ):
        for client in ("192.0.2.1", "192.0.2.2"):
            await connection.send("GET", LIST, [("X-Forwarded-For", client)])
            assert (await connection.receive()).status == 200
    assert clients == ["192.0.2.1", "192.0.2.2"]
