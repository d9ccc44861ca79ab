"""Manifests and tags: put, read, moved, deleted."""

import asyncio

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ManifestBlobUnknown, ManifestUnknown, RepositoryUnknown
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.registry.port import Registry
from mirror.wire.pagination import PageRequest
from tests.support.builders import (
    ABSENT,
    OTHER,
    REPOSITORY,
    described,
    manifest_of,
    push_blob,
    push_golden,
    push_image,
    read_blob,
)

LATEST = Tag("latest")


async def test_the_golden_manifest_keeps_every_byte(registry: Registry) -> None:
    pushed = await push_golden(registry, "1.0.0-beta.3")

    for target in (Tag("1.0.0-beta.3"), pushed.digest):
        held = await registry.get_manifest(REPOSITORY, target)
        assert held.content == pushed.content
        assert (held.media_type, held.digest) == (media_types.DOCKER_MANIFEST, Digest.of(pushed.content))
        assert await registry.resolve(REPOSITORY, target) == Descriptor(media_types.DOCKER_MANIFEST, pushed.digest, 519)


async def test_a_manifest_is_what_was_pushed(registry: Registry) -> None:
    pushed = await push_image(registry, "image", "latest", annotations={"key": "value"}, extension={"unknown": [1]})

    assert await registry.get_manifest(REPOSITORY, LATEST) == pushed
    assert await registry.get_manifest(REPOSITORY, LATEST) == pushed
    assert await registry.resolve(REPOSITORY, pushed.digest) == pushed.descriptor


async def test_a_manifest_keeps_the_digest_it_was_put_under(registry: Registry) -> None:
    pushed = await push_image(registry, "image", "latest", algorithm="sha512")

    assert pushed.digest.algorithm == "sha512"
    assert await registry.get_manifest(REPOSITORY, pushed.digest) == pushed
    assert await registry.resolve(REPOSITORY, LATEST) == pushed.descriptor


async def test_no_tag_is_needed(registry: Registry) -> None:
    pushed = await push_image(registry, "image")

    assert await registry.get_manifest(REPOSITORY, pushed.digest) == pushed
    assert (await registry.list_tags(REPOSITORY, PageRequest())).entries == ()


async def test_many_tags_at_once(registry: Registry) -> None:
    tags = [f"tag-{number}" for number in range(12)]
    pushed = await push_image(registry, "image", *tags)

    for tag in tags:
        assert await registry.resolve(REPOSITORY, Tag(tag)) == pushed.descriptor


async def test_a_tag_moves(registry: Registry) -> None:
    first = await push_image(registry, "first", "latest", "first")
    assert await registry.get_manifest(REPOSITORY, LATEST) == first

    second = await push_image(registry, "second", "latest")

    assert await registry.get_manifest(REPOSITORY, LATEST) == second
    assert await registry.get_manifest(REPOSITORY, Tag("first")) == first


async def test_the_same_manifest_twice(registry: Registry) -> None:
    first = await push_image(registry, "image", "one")
    await push_image(registry, "image", "two")

    assert await registry.get_manifest(REPOSITORY, Tag("one")) == first
    assert await registry.get_manifest(REPOSITORY, Tag("two")) == first


async def test_the_same_bytes_pushed_as_another_type(registry: Registry) -> None:
    config = await push_blob(registry, b"{}")
    content = b'{"schemaVersion":2,"config":{"mediaType":"%s","digest":"%s","size":2},"layers":[]}' % (
        media_types.DOCKER_IMAGE_CONFIG.encode(),
        str(config.digest).encode(),
    )
    for media_type in (media_types.OCI_MANIFEST, media_types.DOCKER_MANIFEST):
        await registry.put_manifest(REPOSITORY, Manifest.parse(content, media_type), [LATEST])
        assert (await registry.get_manifest(REPOSITORY, LATEST)).media_type == media_type


@pytest.mark.parametrize("target", [LATEST, ABSENT], ids=["tag", "digest"])
async def test_an_unknown_manifest(registry: Registry, target: Tag | Digest) -> None:
    await push_image(registry, "image", "another")

    with pytest.raises(ManifestUnknown):
        await registry.get_manifest(REPOSITORY, target)
    with pytest.raises(ManifestUnknown):
        await registry.resolve(REPOSITORY, target)


@pytest.mark.parametrize("target", [LATEST, ABSENT], ids=["tag", "digest"])
async def test_an_unknown_repository(registry: Registry, target: Tag | Digest) -> None:
    with pytest.raises(RepositoryUnknown):
        await registry.get_manifest(OTHER, target)
    with pytest.raises((RepositoryUnknown, ManifestUnknown)):  # a HEAD over HTTP cannot tell them apart
        await registry.resolve(OTHER, target)


async def test_a_blob_is_not_a_manifest(registry: Registry) -> None:
    pushed = await push_blob(registry, b"{}")

    with pytest.raises(ManifestUnknown):
        await registry.get_manifest(REPOSITORY, pushed.digest)


async def test_a_manifest_belongs_to_its_repository(registry: Registry) -> None:
    pushed = await push_image(registry, "image", "latest", repository=REPOSITORY)
    await push_image(registry, "another", "another", repository=OTHER)

    for target in (LATEST, pushed.digest):
        with pytest.raises(ManifestUnknown):
            await registry.get_manifest(OTHER, target)


async def test_a_manifest_needs_its_config_and_layers(registry: Registry) -> None:
    there = (await push_blob(registry, b"there")).to_json()
    absent = Descriptor(media_types.OCTET_STREAM, ABSENT, 27).to_json()

    for config, layers in ((absent, [there]), (there, [there, absent])):
        pushed = manifest_of({"config": config, "layers": layers})
        with pytest.raises(ManifestBlobUnknown):
            await registry.put_manifest(REPOSITORY, pushed, [LATEST])
        with pytest.raises(ManifestUnknown):
            await registry.get_manifest(REPOSITORY, pushed.digest)
        with pytest.raises(ManifestUnknown):
            await registry.get_manifest(REPOSITORY, LATEST)


async def test_blobs_of_another_repository_do_not_do(registry: Registry) -> None:
    elsewhere = (await push_blob(registry, b"elsewhere", OTHER)).to_json()

    with pytest.raises(ManifestBlobUnknown):
        await registry.put_manifest(REPOSITORY, manifest_of({"config": elsewhere, "layers": []}))


async def test_a_refused_manifest_brings_no_repository_into_being(registry: Registry) -> None:
    absent = Descriptor(media_types.OCTET_STREAM, ABSENT, 27).to_json()
    with pytest.raises(ManifestBlobUnknown):
        await registry.put_manifest(OTHER, manifest_of({"config": absent}), [LATEST])

    assert (await registry.list_repositories(PageRequest())).entries == ()
    with pytest.raises(RepositoryUnknown):
        await registry.list_tags(OTHER, PageRequest())


async def test_foreign_layers_may_be_elsewhere(registry: Registry) -> None:
    config = (await push_blob(registry, b"{}")).to_json()
    foreign = Descriptor(media_types.DOCKER_LAYER_FOREIGN, ABSENT, 27, urls=("https://example.test/layer",)).to_json()
    pushed = manifest_of({"config": config, "layers": [foreign]})

    assert await registry.put_manifest(REPOSITORY, pushed, [LATEST]) == ()  # there is no advice about images

    assert await registry.get_manifest(REPOSITORY, LATEST) == pushed


async def test_an_index_needs_its_members(registry: Registry) -> None:
    member = await push_image(registry, "member")
    inner = manifest_of({"manifests": [member.descriptor.to_json()]}, media_types.OCI_INDEX)
    outer = manifest_of({"manifests": [inner.descriptor.to_json()]}, media_types.DOCKER_MANIFEST_LIST)

    with pytest.raises(ManifestBlobUnknown):
        await registry.put_manifest(REPOSITORY, outer)
    await registry.put_manifest(REPOSITORY, inner)
    await registry.put_manifest(REPOSITORY, outer, [LATEST])

    assert await registry.get_manifest(REPOSITORY, LATEST) == outer


async def test_an_index_of_blobs_needs_these_blobs(registry: Registry) -> None:
    layer, config = b"layer of a build cache", b'{"layers": []}'
    named = [
        described(media_types.OCI_LAYER_GZIP, layer).to_json(),
        described("application/vnd.buildkit.cacheconfig.v0", config).to_json(),
    ]
    pushed = manifest_of({"manifests": named}, media_types.OCI_INDEX)
    await push_blob(registry, layer)

    with pytest.raises(ManifestBlobUnknown):
        await registry.put_manifest(REPOSITORY, pushed, [LATEST])
    await push_blob(registry, config)
    await registry.put_manifest(REPOSITORY, pushed, [LATEST])

    assert await registry.get_manifest(REPOSITORY, LATEST) == pushed
    assert await read_blob(registry, Digest.of(config)) == config


async def test_an_index_may_be_empty(registry: Registry) -> None:
    pushed = manifest_of({"manifests": []}, media_types.OCI_INDEX)

    await registry.put_manifest(REPOSITORY, pushed)

    assert await registry.get_manifest(REPOSITORY, pushed.digest) == pushed


async def test_an_index_of_many_members(registry: Registry) -> None:
    members = []
    config = (await push_blob(registry, b"{}")).to_json()
    for number in range(3):
        member = manifest_of({"config": config, "layers": [], "annotations": {"number": str(number)}})
        await registry.put_manifest(REPOSITORY, member)
        members.append(member.descriptor.to_json())
    absent = manifest_of({"config": config, "layers": []}).descriptor.to_json()

    await registry.put_manifest(REPOSITORY, manifest_of({"manifests": members * 1000}, media_types.OCI_INDEX))
    with pytest.raises(ManifestBlobUnknown):
        await registry.put_manifest(
            REPOSITORY, manifest_of({"manifests": [*members * 1000, absent]}, media_types.OCI_INDEX)
        )


async def test_the_largest_manifest(registry: Registry) -> None:
    config = (await push_blob(registry, b"{}")).to_json()
    empty = len(manifest_of({"config": config, "layers": [], "padding": ""}).content)
    pushed = manifest_of({"config": config, "layers": [], "padding": "x" * (MAX_MANIFEST_BYTES - empty)})
    assert pushed.size_bytes == MAX_MANIFEST_BYTES

    await registry.put_manifest(REPOSITORY, pushed, [LATEST])

    assert (await registry.get_manifest(REPOSITORY, LATEST)).content == pushed.content


async def test_deleting_a_tag_leaves_the_manifest(registry: Registry) -> None:
    pushed = await push_image(registry, "image", "latest", "stays")

    await registry.delete_tag(REPOSITORY, LATEST)

    with pytest.raises(ManifestUnknown):
        await registry.resolve(REPOSITORY, LATEST)
    with pytest.raises(ManifestUnknown):
        await registry.delete_tag(REPOSITORY, LATEST)
    assert await registry.get_manifest(REPOSITORY, pushed.digest) == pushed
    assert await registry.get_manifest(REPOSITORY, Tag("stays")) == pushed


async def test_deleting_a_manifest_removes_its_tags(registry: Registry) -> None:
    pushed = await push_image(registry, "image", "latest", "1.0")
    kept = await push_image(registry, "kept", "kept")
    assert await registry.get_manifest(REPOSITORY, LATEST) == pushed

    await registry.delete_manifest(REPOSITORY, pushed.digest)

    for target in (pushed.digest, LATEST, Tag("1.0")):
        with pytest.raises(ManifestUnknown):
            await registry.get_manifest(REPOSITORY, target)
    with pytest.raises(ManifestUnknown):
        await registry.delete_manifest(REPOSITORY, pushed.digest)
    assert (await registry.list_tags(REPOSITORY, PageRequest())).entries == (Tag("kept"),)
    assert await registry.get_manifest(REPOSITORY, Tag("kept")) == kept


async def test_deleting_a_manifest_leaves_other_repositories(registry: Registry) -> None:
    pushed = await push_image(registry, "image", "latest", repository=REPOSITORY)
    await push_image(registry, "image", "latest", repository=OTHER)

    await registry.delete_manifest(REPOSITORY, pushed.digest)

    assert await registry.get_manifest(OTHER, LATEST) == pushed


async def test_deleting_from_an_unknown_repository(registry: Registry) -> None:
    with pytest.raises(RepositoryUnknown):
        await registry.delete_tag(OTHER, LATEST)
    with pytest.raises(RepositoryUnknown):
        await registry.delete_manifest(OTHER, ABSENT)


async def test_a_repository_ends_with_its_last_content(registry: Registry) -> None:
    blob = await push_blob(registry, b"{}")
    pushed = manifest_of({"config": blob.to_json(), "layers": []})
    await registry.put_manifest(REPOSITORY, pushed, [LATEST])

    await registry.delete_blob(REPOSITORY, blob.digest)
    assert (await registry.list_repositories(PageRequest())).entries == (REPOSITORY,)
    await registry.delete_manifest(REPOSITORY, pushed.digest)

    assert (await registry.list_repositories(PageRequest())).entries == ()
    with pytest.raises(RepositoryUnknown):
        await registry.list_tags(REPOSITORY, PageRequest())
    with pytest.raises(RepositoryUnknown):
        await registry.get_manifest(REPOSITORY, LATEST)


async def test_pushes_and_moves_at_once(registry: Registry) -> None:
    repositories = [Repository(f"team/plugin-{number}") for number in range(4)]

    async def push(repository: Repository, number: int) -> None:
        pushed = await push_image(registry, f"image-{number}", "latest", f"tag-{number}", repository=repository)
        assert await registry.get_manifest(repository, Tag(f"tag-{number}")) == pushed

    async with asyncio.TaskGroup() as tasks:
        for repository in repositories:
            for number in range(5):
                tasks.create_task(push(repository, number))

    for repository in repositories:
        tags = (await registry.list_tags(repository, PageRequest())).entries
        assert tags == (LATEST, *(Tag(f"tag-{number}") for number in range(5)))
