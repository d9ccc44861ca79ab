"""An answer "you have it" moves the review of the content on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci import Repository, Tag
from mirror.oci.errors import BlobUnknown, StorageFull
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_blob, push_image
from tests.support.clocks import HandClock

RULES = CollectionRules(Grace(), untagged_default=timedelta(0))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(folder: Path, clock: HandClock) -> AsyncIterator[Store]:
    async with Store.open(folder, clock=clock) as opened:
        yield opened


async def collected(store: Store) -> int:
    """Decide everything that is due, and return the number of rows removed."""
    removed = 0
    while (step := await store.records.reviews.decide(RULES, 100)).decided:
        removed += step.removed
    return removed


async def test_a_blob_without_a_manifest_goes_after_its_grace(store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"unused")
    clock.advance(hours=25)
    assert await collected(store) == 2  # from the repository, and its bytes
    with pytest.raises(BlobUnknown):
        await store.stat_blob(REPOSITORY, blob.digest)


async def test_a_client_that_was_told_of_a_blob_has_the_whole_grace_to_name_it(store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"asked for")
    clock.advance(hours=23)
    await store.stat_blob(REPOSITORY, blob.digest)
    clock.advance(hours=23)
    assert await collected(store) == 0
    assert await store.stat_blob(REPOSITORY, blob.digest) == blob


async def test_a_mounted_blob_has_the_whole_grace(store: Store, clock: HandClock) -> None:
    blob, target = await push_blob(store, b"mounted"), Repository("other/name")
    clock.advance(hours=23)
    assert await store.mount_blob(target, blob.digest, REPOSITORY)
    clock.advance(hours=23)
    assert await collected(store) == 1  # the source's row
    assert await store.stat_blob(target, blob.digest) == blob


async def test_a_manifest_asked_for_by_digest_has_the_whole_grace(store: Store, clock: HandClock) -> None:
    untagged = await push_image(store, "member")
    clock.advance(hours=23)
    await store.resolve(REPOSITORY, untagged.digest)
    clock.advance(hours=23)
    await collected(store)
    assert (await store.get_manifest(REPOSITORY, untagged.digest)).digest == untagged.digest


async def test_a_review_is_written_once_in_ten_minutes(store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"asked for often")
    clock.advance(hours=1)
    before = store.services.catalog.transactions
    for _ in range(3):
        await store.stat_blob(REPOSITORY, blob.digest)
        clock.advance(minutes=3)
    assert store.services.catalog.transactions == before + 1
    clock.advance(minutes=3)
    await store.stat_blob(REPOSITORY, blob.digest)
    assert store.services.catalog.transactions == before + 2


async def test_another_process_sees_that_a_review_was_renewed(store: Store, folder: Path, clock: HandClock) -> None:
    blob = await push_blob(store, b"asked for everywhere")
    async with Store.open(folder, clock=clock) as other:
        await other.stat_blob(REPOSITORY, blob.digest)  # keeps the old time in memory
        clock.advance(hours=1)
        await store.stat_blob(REPOSITORY, blob.digest)
        before = other.services.catalog.transactions
        await other.stat_blob(REPOSITORY, blob.digest)
        assert other.services.catalog.transactions == before


async def test_content_without_a_review_is_answered_without_a_write(store: Store, clock: HandClock) -> None:
    image = await push_image(store, "tagged", "1.0")
    clock.advance(hours=25)
    assert await collected(store) == 0
    before = store.services.catalog.transactions
    await store.resolve(REPOSITORY, Tag("1.0"))
    await store.resolve(REPOSITORY, image.digest)
    await store.stat_blob(REPOSITORY, image.config.digest)
    assert store.services.catalog.transactions == before


async def test_a_catalog_that_cannot_be_written_still_answers(
    store: Store, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_work: object) -> None:
        raise StorageFull("the disk is full")

    blob = await push_blob(store, b"on a full disk")
    clock.advance(hours=1)
    monkeypatch.setattr(store.services.catalog, "write_uncached", full)
    assert await store.stat_blob(REPOSITORY, blob.digest) == blob


async def test_a_blob_collected_while_its_review_is_renewed_is_unknown(
    store: Store, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await push_blob(store, b"gone at that moment")
    write = store.services.catalog.write_uncached

    async def after_the_collection(work: object) -> object:
        await store.delete_blob(REPOSITORY, blob.digest)
        return await write(work)  # type: ignore[arg-type]

    clock.advance(hours=1)
    monkeypatch.setattr(store.services.catalog, "write_uncached", after_the_collection)
    with pytest.raises(BlobUnknown):
        await store.stat_blob(REPOSITORY, blob.digest)
