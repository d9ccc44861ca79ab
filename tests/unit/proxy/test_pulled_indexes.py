"""Indexes that are pulled through in part: platforms, and members that are gone upstream."""

from __future__ import annotations

import pytest

from mirror.oci import Manifest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, NotFound
from mirror.records.absent_content import AbsenceReason
from mirror.store.registry import Store
from tests.support.builders import hold
from tests.support.multi_platform import AMD64, ARM64, BLOBS, IMAGES, INDEX, PROOFS, S390X
from tests.support.pull_through import World, pull, pulling

NAME, TAG = Repository("library/tool"), Tag("1.0")


async def publish(world: World) -> None:
    await hold(world.hub, NAME, BLOBS, [*IMAGES.values(), *PROOFS.values(), INDEX], TAG.name)


async def is_whole(store: Store) -> bool:
    """Return True if the index is an ordinary manifest of the store."""
    try:
        return await store.get_manifest(NAME, TAG) == INDEX
    except NotFound:
        return False


async def pull_all(world: World, *manifests: Manifest) -> None:
    for manifest in manifests:
        await pull(world, NAME, manifest.digest)


class TestPlatforms:
    async def test_the_index_is_whole_with_the_members_of_the_platforms(self, store: Store) -> None:
        async with pulling(store, platforms=(AMD64,)) as world:
            await publish(world)
            assert (await world.registry.get_manifest(NAME, TAG)).content == INDEX.content
            assert not await is_whole(store)
            await pull_all(world, IMAGES[AMD64], PROOFS[AMD64])
            assert await is_whole(store)

    async def test_other_members_are_missing_and_the_error_names_the_setting(self, store: Store) -> None:
        async with pulling(store, platforms=(AMD64, ARM64)) as world:
            await publish(world)
            await world.registry.get_manifest(NAME, TAG)
            asked = world.hub.asked.total()
            for left_out in (IMAGES[S390X], PROOFS[S390X]):
                with pytest.raises(ManifestUnknown, match=r"fix: add linux/s390x to platforms"):
                    await world.registry.get_manifest(NAME, left_out.digest)
            assert world.hub.asked.total() == asked

    async def test_a_wider_rule_brings_them(self, store: Store) -> None:
        async with pulling(store, platforms=(AMD64,)) as world:
            await publish(world)
            await world.registry.get_manifest(NAME, TAG)
            await pull_all(world, IMAGES[AMD64], PROOFS[AMD64])
        async with pulling(store, platforms=(AMD64, ARM64), upstreams=world.upstreams) as world:
            await pull_all(world, IMAGES[ARM64])
            assert await store.get_manifest(NAME, IMAGES[ARM64].digest) == IMAGES[ARM64]
            assert {each.detail for each in await store.records.absent.absent_content(NAME)} == {ARM64, S390X}

    async def test_a_narrower_rule_waits_for_less(self, store: Store) -> None:
        async with pulling(store) as world:
            await publish(world)
            await world.registry.get_manifest(NAME, TAG)
            await pull_all(world, IMAGES[AMD64], PROOFS[AMD64])
            assert not await is_whole(store)
        clock = world.clock
        clock.advance(minutes=10)
        async with pulling(store, platforms=(AMD64,), upstreams=world.upstreams, clock=clock) as world:
            await world.registry.get_manifest(NAME, TAG)
            assert await is_whole(store)

    async def test_an_index_without_a_member_for_them_is_missing(self, store: Store) -> None:
        async with pulling(store, platforms=("linux/riscv64",)) as world:
            await publish(world)
            with pytest.raises(ManifestUnknown, match=r"no member for linux/riscv64.*it has linux/amd64.*fix:"):
                await world.registry.get_manifest(NAME, TAG)

    async def test_an_image_alone_is_served(self, store: Store) -> None:
        async with pulling(store, platforms=(AMD64,)) as world:
            await publish(world)
            assert await world.registry.get_manifest(NAME, IMAGES[S390X].digest) == IMAGES[S390X]


class TestGoneUpstream:
    async def test_the_index_does_not_wait_for_the_member(self, world: World) -> None:
        await publish(world)
        await world.hub.delete_manifest(NAME, IMAGES[S390X].digest)
        await world.registry.get_manifest(NAME, TAG)
        await pull_all(world, IMAGES[AMD64], IMAGES[ARM64], *PROOFS.values())
        assert not await is_whole(world.store)
        with pytest.raises(ManifestUnknown):
            await world.registry.get_manifest(NAME, IMAGES[S390X].digest)
        assert await is_whole(world.store)
        (gone,) = await world.store.records.absent.absent_content(NAME)
        assert (gone.reason, gone.detail, gone.digest) == (AbsenceReason.GONE, S390X, IMAGES[S390X].digest)

    async def test_a_member_that_returns_is_pulled(self, world: World) -> None:
        await publish(world)
        await world.hub.delete_manifest(NAME, IMAGES[S390X].digest)
        await world.registry.get_manifest(NAME, TAG)
        with pytest.raises(ManifestUnknown):
            await world.registry.get_manifest(NAME, IMAGES[S390X].digest)
        await world.hub.put_manifest(NAME, IMAGES[S390X])
        world.clock.advance(seconds=60)
        await pull_all(world, IMAGES[S390X])
        assert await world.store.records.absent.absent_content(NAME) == []

    async def test_an_index_without_any_member_stays_incomplete(self, world: World) -> None:
        await publish(world)
        for manifest in (*IMAGES.values(), *PROOFS.values()):
            await world.hub.delete_manifest(NAME, manifest.digest)
        await world.registry.get_manifest(NAME, TAG)
        for manifest in (*IMAGES.values(), *PROOFS.values()):
            with pytest.raises(ManifestUnknown):
                await world.registry.get_manifest(NAME, manifest.digest)
        assert not await is_whole(world.store)
        assert (await world.registry.get_manifest(NAME, TAG)).content == INDEX.content

    async def test_a_blob_that_was_asked_for_as_a_manifest_is_not_given_up(self, world: World) -> None:
        await publish(world)
        image = IMAGES[AMD64]
        await world.registry.get_manifest(NAME, image.digest)
        for blob in image.blobs:
            with pytest.raises(ManifestUnknown):
                await world.registry.get_manifest(NAME, blob.digest)
        await pull_all(world, image)
        assert await world.store.get_manifest(NAME, image.digest) == image
        assert await world.store.records.absent.absent_content(NAME) == []
