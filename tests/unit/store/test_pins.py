"""Pins: what they keep from being removed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, NotFound, Protected
from mirror.records.lifecycle.pins import Pin
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.records.origins import Origin
from mirror.store.registry import Store
from tests.support.builders import ABSENT, REPOSITORY, index, plugin, push_image
from tests.support.clocks import START

TAG = Tag("1.0")


def pin_of(target: Tag | Digest, note: str = "ticket 7", repository: Repository = REPOSITORY) -> Pin:
    return Pin(repository, target, "anna", START, note)


async def decide_all(store: Store) -> None:
    """Decide every review, as ``gc --grace 0s --untagged 0s`` does."""
    now = store.services.clock.now()
    rules = CollectionRules(Grace.everywhere(timedelta(0)), untagged_default=timedelta(0), all_since=now)
    while (await store.records.reviews.decide(rules, 100)).decided:
        pass


async def test_a_pinned_digest_outlives_its_tag_and_goes_when_it_is_unpinned(store: Store):
    pushed = await push_image(store, "one", "1.0")
    await store.records.pins.pin(pin_of(pushed.digest))
    await store.delete_tag(REPOSITORY, TAG)
    await decide_all(store)
    assert await store.get_manifest(REPOSITORY, pushed.digest) == pushed
    await store.records.pins.unpin(REPOSITORY, pushed.digest)
    await decide_all(store)
    with pytest.raises(NotFound):
        await store.get_manifest(REPOSITORY, pushed.digest)


async def test_a_pinned_tag_is_not_deleted_and_the_refusal_has_its_note(store: Store):
    await push_image(store, "one", "1.0")
    await store.records.pins.pin(pin_of(TAG))
    with pytest.raises(Protected, match=r"contiv/v2plugin:1\.0 is pinned \(ticket 7\); fix: plugin-mirror unpin"):
        await store.delete_tag(REPOSITORY, TAG)


@pytest.mark.parametrize("by_tag", [True, False])
async def test_the_manifest_of_a_pinned_tag_or_digest_is_not_deleted(store: Store, by_tag: bool):
    pushed = await push_image(store, "one", "1.0")
    await store.records.pins.pin(pin_of(TAG if by_tag else pushed.digest))
    with pytest.raises(Protected):
        await store.delete_manifest(REPOSITORY, pushed.digest)


async def test_no_part_of_pinned_content_is_deleted(store: Store):
    member = await push_image(store, "one")
    whole = index(member.descriptor)
    await store.put_manifest(REPOSITORY, whole, [TAG])
    await store.records.pins.pin(pin_of(TAG))
    with pytest.raises(Protected):
        await store.delete_manifest(REPOSITORY, member.digest)
    with pytest.raises(Protected):
        await store.delete_blob(REPOSITORY, member.blobs[0].digest)
    await store.records.pins.unpin(REPOSITORY, TAG)
    await store.delete_blob(REPOSITORY, member.blobs[0].digest)


async def test_rm_deletes_neither_a_pinned_tag_nor_its_repository(store: Store):
    pushed = await push_image(store, "one", "1.0", "latest")
    deletions = store.records.deletions
    await store.records.pins.pin(pin_of(TAG))
    for target in (TAG, pushed.digest):
        with pytest.raises(Protected, match="ticket 7"):
            await deletions.plan(REPOSITORY, target)
        with pytest.raises(Protected, match="ticket 7"):
            await deletions.delete(REPOSITORY, target)
    with pytest.raises(Protected, match="ticket 7"):
        await deletions.content(REPOSITORY)
    with pytest.raises(Protected, match="ticket 7"):
        await deletions.empty(REPOSITORY, store.services.clock.now(), 10)
    await deletions.delete(REPOSITORY, Tag("latest"))
    await store.records.pins.unpin(REPOSITORY, TAG)
    await deletions.delete(REPOSITORY, TAG)


async def test_the_origin_of_a_pinned_pulled_through_tag_is_not_forgotten(store: Store):
    manifest = plugin(b"{}", b"layer")
    origin = Origin("hub", REPOSITORY, manifest.digest, checked_at=START, asked_at=START)
    await store.records.incomplete.keep_incomplete(REPOSITORY, manifest, origin, TAG)
    await store.records.pins.pin(pin_of(TAG))
    for target in (TAG, manifest.digest):
        with pytest.raises(Protected):
            await store.records.origins.forget(REPOSITORY, target)
    assert await store.records.origins.origin(REPOSITORY, TAG) == origin


async def test_a_pinned_tag_may_still_move(store: Store):
    await push_image(store, "one", "1.0")
    await store.records.pins.pin(pin_of(TAG))
    moved = await push_image(store, "two", "1.0")
    assert (await store.resolve(REPOSITORY, TAG)).digest == moved.digest


async def test_the_same_tag_in_another_repository_is_not_pinned(store: Store):
    other = Repository("other/app")
    for repository in (REPOSITORY, other):
        await push_image(store, "one", "1.0", repository=repository)
    await store.records.pins.pin(pin_of(TAG))
    await store.delete_tag(other, TAG)


@pytest.mark.parametrize("target", [Tag("absent"), ABSENT])
async def test_what_is_not_here_cannot_be_pinned(store: Store, target: Tag | Digest):
    await push_image(store, "one", "1.0")
    with pytest.raises(ManifestUnknown):
        await store.records.pins.pin(pin_of(target))


async def test_a_pin_is_replaced_listed_and_removed_once(store: Store):
    await push_image(store, "one", "1.0")
    assert await store.records.pins.pin(pin_of(TAG, "first")) is None
    assert await store.records.pins.pin(pin_of(TAG, "second")) == pin_of(TAG, "first")
    assert await store.records.pins.pins() == [pin_of(TAG, "second")]
    assert await store.records.pins.pins(Repository("other/app")) == []
    assert await store.records.pins.unpin(REPOSITORY, TAG) == pin_of(TAG, "second")
    with pytest.raises(ManifestUnknown):
        await store.records.pins.unpin(REPOSITORY, TAG)
