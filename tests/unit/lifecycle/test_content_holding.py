"""Content that work under way holds is not collected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.lifecycle.collector import Collector
from mirror.lifecycle.content_holding import holding
from mirror.oci import Digest, Repository
from mirror.oci.errors import BlobUnknown, StorageFull
from mirror.records.lifecycle.content_holders import HeldPart, HolderPurpose
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_blob, read_blob
from tests.support.clocks import HandClock
from tests.support.waiting import until

CONTENT = b"held by work"
DIGEST = Digest.of(CONTENT)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(tmp_path: Path, clock: HandClock) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data", clock=clock) as opened:
        await push_blob(opened, CONTENT)
        yield opened


async def collect(store: Store, clock: HandClock) -> int:
    """Collect at once. Return the number of files removed."""
    clock.advance(seconds=1)
    collector = Collector(store.records.reviews, CollectionRules(Grace()), store.uploads.repositories, clock)
    return (await collector.collect_now()).freed.files


@pytest.mark.parametrize("part", [(None, None), (REPOSITORY, None), (REPOSITORY, DIGEST), (None, DIGEST)])
async def test_content_stays_while_work_holds_it(store: Store, clock: HandClock, part: HeldPart) -> None:
    async with holding(store.records.holders, HolderPurpose.IMPORT, "a bundle", [part]):
        assert await collect(store, clock) == 0
        assert await read_blob(store, DIGEST) == CONTENT
    assert await collect(store, clock) == 1


async def test_other_content_goes_meanwhile(store: Store, clock: HandClock) -> None:
    held = [(Repository("another/name"), None), (REPOSITORY, Digest.of(b"other"))]
    async with holding(store.records.holders, HolderPurpose.EXPORT, "a bundle", held):
        assert await collect(store, clock) == 1


async def test_a_backup_keeps_files_whose_rows_went_before(store: Store, clock: HandClock) -> None:
    clock.advance(hours=25)
    await store.records.reviews.decide(CollectionRules(Grace()), 100)
    async with holding(store.records.holders, HolderPurpose.BACKUP, "to a disk", [(None, None)]):
        assert await collect(store, clock) == 0
    assert await collect(store, clock) == 1


async def test_work_on_one_repository_keeps_no_file_that_no_repository_has(store: Store, clock: HandClock) -> None:
    clock.advance(hours=25)
    await store.records.reviews.decide(CollectionRules(Grace()), 100)
    async with import_(store):
        assert await collect(store, clock) == 1


async def test_the_content_of_a_killed_process_is_free_after_its_lease(store: Store, clock: HandClock) -> None:
    async with holding(store.records.holders, HolderPurpose.EXPORT, "killed", [(REPOSITORY, None)]):
        clock.advance(minutes=9)
        assert await collect(store, clock) == 0
        clock.advance(minutes=2)
        assert await store.records.holders.holders() == []
        clock.advance(days=1)  # the pause of a review that found work under way
        assert await collect(store, clock) == 1


async def test_a_lease_is_extended_as_long_as_the_work_takes(store: Store, clock: HandClock) -> None:
    began, catalog = clock.now(), store.services.catalog
    held = [(REPOSITORY, None)]
    async with holding(store.records.holders, HolderPurpose.EXPORT, "long", held, period_seconds=0.001):
        for _ in range(3):
            clock.advance(minutes=9)
            wanted = catalog.transactions + 2  # the first may have begun before the clock moved
            await until(lambda wanted=wanted: catalog.transactions >= wanted)  # type: ignore[misc]
        (recorded,) = await store.records.holders.holders()
        assert (recorded.began_at, recorded.until) == (began, clock.now() + timedelta(minutes=10))


async def test_a_lease_that_cannot_be_extended_does_not_end_the_work(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    async def full(*arguments: object) -> None:
        tries.append(arguments)
        raise StorageFull("the disk is full")

    monkeypatch.setattr(store.records.holders, "extend", full)
    async with holding(store.records.holders, HolderPurpose.EXPORT, "x", [(None, None)], period_seconds=0.001):
        await until(lambda: len(tries) > 1)


async def test_content_of_an_incomplete_import_waits_a_week_for_the_next_run(store: Store, clock: HandClock) -> None:
    await break_off(import_(store))
    clock.advance(days=6)
    assert await collect(store, clock) == 0
    await break_off(import_(store))  # the week begins again
    clock.advance(days=6)
    assert len(await store.records.holders.holders()) == 1
    assert await collect(store, clock) == 0
    clock.advance(days=2)
    assert await collect(store, clock) == 1


async def test_a_complete_import_frees_what_earlier_runs_held(store: Store) -> None:
    await break_off(import_(store))
    async with import_(store):
        pass
    assert await store.records.holders.holders() == []


async def test_an_error_of_the_work_is_passed_on_and_frees_its_content(store: Store) -> None:
    with pytest.raises(BlobUnknown):
        async with holding(store.records.holders, HolderPurpose.TAG, "a/b:c", [(REPOSITORY, None)]):
            raise BlobUnknown("gone")
    assert await store.records.holders.holders() == []


def import_(store: Store) -> AbstractAsyncContextManager[None]:
    held = [(REPOSITORY, None)]
    return holding(store.records.holders, HolderPurpose.IMPORT, "stream 7", held, goes_on=True)


async def break_off(work: AbstractAsyncContextManager[None]) -> None:
    with pytest.raises(StorageFull):
        async with work:
            raise StorageFull("the disk is full")
