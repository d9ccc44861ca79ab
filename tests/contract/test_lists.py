"""Lists of repositories, tags and referrers: order, pages, filters."""

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import RepositoryUnknown
from mirror.registry.port import Page, Registry
from mirror.wire.pagination import PageRequest
from tests.support.builders import ABSENT, OTHER, REPOSITORY, manifest_of, push_blob, push_image

#: In ASCII order: digits, capitals, _, small letters; a prefix before what it begins.
TAGS = ["0", "1.0", "1.0-beta", "1.0.1", "10", "A", "Z", "_x", "a", "a-b", "a.b", "a_b", "aa", "latest"]
PAGES = [
    (PageRequest(), TAGS, False),
    (PageRequest(limit=0), [], False),
    (PageRequest(limit=1), TAGS[:1], True),
    (PageRequest(limit=len(TAGS) - 1), TAGS[:-1], True),
    (PageRequest(limit=len(TAGS)), TAGS, False),
    (PageRequest(limit=len(TAGS) + 1), TAGS, False),
    (PageRequest(last="1.0"), TAGS[2:], False),
    (PageRequest(limit=3, last="1.0"), TAGS[2:5], True),
    (PageRequest(limit=3, last="a_b"), TAGS[12:], False),
    (PageRequest(last="not-there"), [], False),
    (PageRequest(last="B"), TAGS[6:], False),
    (PageRequest(limit=2, last="latest"), [], False),
    (PageRequest(limit=0, last="A"), [], False),
    (PageRequest(last="a\u00e9"), ["latest"], False),
]


@pytest.mark.parametrize(("page", "expected", "more"), PAGES, ids=str)
async def test_a_page_of_tags(registry: Registry, page: PageRequest, expected: list[str], more: bool) -> None:
    await push_image(registry, "image", *reversed(TAGS))
    await push_image(registry, "elsewhere", "B", repository=OTHER)

    assert await registry.list_tags(REPOSITORY, page) == Page(tuple(map(Tag, expected)), more)


@pytest.mark.parametrize("page", [PageRequest(), PageRequest(limit=0), PageRequest(last="x")], ids=str)
async def test_tags_of_an_unknown_repository(registry: Registry, page: PageRequest) -> None:
    await push_image(registry, "image", "latest")

    with pytest.raises(RepositoryUnknown):
        await registry.list_tags(OTHER, page)


async def test_a_repository_without_tags(registry: Registry) -> None:
    await push_blob(registry, b"alone")

    assert await registry.list_tags(REPOSITORY, PageRequest()) == Page(())


async def test_a_moved_tag_is_listed_once(registry: Registry) -> None:
    await push_image(registry, "first", "latest")
    await push_image(registry, "second", "latest")

    assert await registry.list_tags(REPOSITORY, PageRequest()) == Page((Tag("latest"),))


async def test_pages_of_repositories(registry: Registry) -> None:
    names = ["a/b", "a/b/c", "a-b", "a0", "b", "z/z"]
    for name in reversed(names):
        await push_blob(registry, b"content", Repository(name))
    begun = await registry.begin_upload(Repository("only/an/upload"))
    ordered = tuple(Repository(name) for name in sorted(names))

    assert await registry.list_repositories(PageRequest()) == Page(ordered)
    assert await registry.list_repositories(PageRequest(limit=6)) == Page(ordered)
    assert await registry.list_repositories(PageRequest(limit=4)) == Page(ordered[:4], more=True)
    assert await registry.list_repositories(PageRequest(limit=4, last=ordered[3].name)) == Page(ordered[4:])
    assert await registry.list_repositories(PageRequest(limit=0)) == Page(())
    await begun.cancel()


async def test_a_repository_without_tags_and_blobs_is_not_listed(registry: Registry) -> None:
    index = manifest_of({"manifests": []}, media_types.OCI_INDEX)
    await registry.put_manifest(REPOSITORY, index)
    assert await registry.list_repositories(PageRequest()) == Page(())
    await registry.put_manifest(REPOSITORY, index, [Tag("latest")])
    assert await registry.list_repositories(PageRequest()) == Page((REPOSITORY,))
    await registry.delete_tag(REPOSITORY, Tag("latest"))
    assert await registry.list_repositories(PageRequest(limit=1)) == Page(())
    assert (await registry.get_manifest(REPOSITORY, index.digest)).content == index.content
    await push_blob(registry, b"content")
    assert await registry.list_repositories(PageRequest()) == Page((REPOSITORY,))


async def test_no_repositories(registry: Registry) -> None:
    assert await registry.list_repositories(PageRequest()) == Page(())


def entry(manifest: Manifest, artifact_type: str, annotations: dict[str, str] | None = None) -> Descriptor:
    """Return the descriptor under which a manifest is listed as a referrer."""
    return Descriptor(manifest.media_type, manifest.digest, manifest.size_bytes, artifact_type, annotations or {})


async def test_referrers_say_what_they_are(registry: Registry) -> None:
    subject = await push_image(registry, "subject", "latest")
    refers = {"subject": subject.descriptor.to_json()}
    config = (await push_blob(registry, b"{}")).to_json() | {"mediaType": "application/vnd.example.config+json"}
    typed = await push_image(
        registry, "typed", **refers, artifactType="application/vnd.example+type", annotations={"a": "b", "ä": "\u2603"}
    )
    by_config = manifest_of({"config": config, "layers": [], **refers})
    await registry.put_manifest(REPOSITORY, by_config)
    index = manifest_of({"manifests": [], **refers}, media_types.OCI_INDEX)
    await registry.put_manifest(REPOSITORY, index)
    await push_image(registry, "unrelated")

    expected = [
        entry(typed, "application/vnd.example+type", {"a": "b", "ä": "\u2603"}),
        entry(by_config, "application/vnd.example.config+json"),
        Descriptor(media_types.OCI_INDEX, index.digest, index.size_bytes),
    ]
    expected.sort(key=lambda descriptor: str(descriptor.digest))
    assert await registry.list_referrers(REPOSITORY, subject.digest, None, PageRequest()) == Page(tuple(expected))


async def test_referrers_by_type(registry: Registry) -> None:
    subject = await push_image(registry, "subject")
    refers = {"subject": subject.descriptor.to_json()}
    wanted = await push_image(registry, "sbom", **refers, artifactType="application/sbom+json")
    await push_image(registry, "signature", **refers, artifactType="application/signature")

    async def listed(artifact_type: str) -> tuple[Digest, ...]:
        page = await registry.list_referrers(REPOSITORY, subject.digest, artifact_type, PageRequest())
        return tuple(descriptor.digest for descriptor in page.entries)

    assert await listed("application/sbom+json") == (wanted.digest,)
    assert await listed("application/sbom") == ()


async def test_pages_of_referrers(registry: Registry) -> None:
    subject = await push_image(registry, "subject")
    refers = {"subject": subject.descriptor.to_json()}
    digests = sorted([str((await push_image(registry, f"referrer {number}", **refers)).digest) for number in range(5)])

    async def listed(page: PageRequest) -> tuple[list[str], bool]:
        found = await registry.list_referrers(REPOSITORY, subject.digest, None, page)
        return [str(descriptor.digest) for descriptor in found.entries], found.more

    assert await listed(PageRequest()) == (digests, False)
    assert await listed(PageRequest(limit=5)) == (digests, False)
    assert await listed(PageRequest(limit=2)) == (digests[:2], True)
    assert await listed(PageRequest(limit=2, last=digests[1])) == (digests[2:4], True)
    assert await listed(PageRequest(limit=2, last=digests[3])) == (digests[4:], False)
    assert await listed(PageRequest(limit=0)) == ([], False)


@pytest.mark.parametrize("repository", [REPOSITORY, OTHER], ids=["known repository", "unknown repository"])
async def test_what_does_not_exist_has_no_referrers(registry: Registry, repository: Repository) -> None:
    await push_image(registry, "image")

    assert await registry.list_referrers(repository, ABSENT, None, PageRequest()) == Page(())


async def test_a_subject_need_not_exist(registry: Registry) -> None:
    subject = Descriptor(media_types.OCI_MANIFEST, Digest.of(b"not yet", "sha512"), 7)
    referrer = await push_image(registry, "early", subject=subject.to_json())

    page = await registry.list_referrers(REPOSITORY, subject.digest, None, PageRequest())

    assert [descriptor.digest for descriptor in page.entries] == [referrer.digest]


async def test_referrers_are_listed_where_they_are(registry: Registry) -> None:
    subject = await push_image(registry, "subject", repository=REPOSITORY)
    await push_image(registry, "subject", repository=OTHER)
    await push_image(registry, "referrer", repository=OTHER, subject=subject.descriptor.to_json())

    assert (await registry.list_referrers(REPOSITORY, subject.digest, None, PageRequest())).entries == ()


async def test_deleting_a_referrer_drops_it_and_deleting_the_subject_does_not(registry: Registry) -> None:
    subject = await push_image(registry, "subject", "latest")
    refers = {"subject": subject.descriptor.to_json()}
    first, second = await push_image(registry, "first", **refers), await push_image(registry, "second", **refers)

    await registry.delete_manifest(REPOSITORY, first.digest)
    await registry.delete_manifest(REPOSITORY, subject.digest)

    page = await registry.list_referrers(REPOSITORY, subject.digest, None, PageRequest())
    assert [descriptor.digest for descriptor in page.entries] == [second.digest]
