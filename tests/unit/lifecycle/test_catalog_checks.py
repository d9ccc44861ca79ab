"""Files without a row and forgotten content are found."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete

from mirror.lifecycle.catalog_checks import COMPARISON, FORGOTTEN, SWEEP, CatalogChecks
from mirror.oci import Digest
from mirror.records.lifecycle.content_holders import ContentHolder, HolderPurpose
from mirror.records.lifecycle.reviews import CollectionRules, Grace, ReviewKind
from mirror.store.catalog.tables.collection_tables import reviews
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_blob, read_blob
from tests.support.clocks import HandClock
from tests.support.collecting import kept_bytes

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(tmp_path: Path, clock: HandClock) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data", clock=clock) as opened:
        yield opened


@pytest.fixture
def checks(store: Store, clock: HandClock) -> CatalogChecks:
    return CatalogChecks(store.records.reviews, store.records.long_work, Grace(), clock)


def orphan(tmp_path: Path, clock: HandClock, content: bytes, *, days: float) -> Path:
    """Write a file that no row is about, as a push leaves it that died between the file and the row."""
    digest = Digest.of(content)
    file = tmp_path / "data/blobs/sha256" / digest.hex[:2] / digest.hex
    file.write_bytes(content)
    changed_at = clock.now().timestamp() - days * DAY.total_seconds()
    os.utime(file, (changed_at, changed_at))
    return file


async def test_old_files_without_a_row_go_and_young_ones_and_content_stay(
    store: Store, checks: CatalogChecks, clock: HandClock, tmp_path: Path
) -> None:
    old, young = (orphan(tmp_path, clock, content, days=days) for content, days in ((b"old", 2), (b"young", 0.5)))
    held = await push_blob(store, b"held")
    await checks.check_all()
    assert (await store.records.reviews.remove_bytes(timedelta(0), 100)).files == 1
    assert (old.exists(), young.exists()) == (False, True)
    assert await read_blob(store, held.digest) == b"held"


async def test_one_folder_a_minute_is_swept_over_all_processes(
    store: Store, checks: CatalogChecks, clock: HandClock
) -> None:
    for _ in range(2):  # a second process wakes in the same minute
        await checks.check_a_little()
        assert (await store.records.long_work.find(SWEEP)).position == "00"
    clock.advance(minutes=1)
    await checks.check_a_little()
    assert (await store.records.long_work.find(SWEEP)).position == "01"


async def test_after_the_last_folder_the_first_one_is_swept(
    store: Store, checks: CatalogChecks, clock: HandClock
) -> None:
    await store.records.long_work.note(SWEEP, "fe", {}, finished=False)
    clock.advance(minutes=1)
    await checks.check_a_little()
    swept = await store.records.long_work.find(SWEEP)
    assert (swept.position, swept.finished_at) == ("ff", clock.now())
    clock.advance(minutes=1)
    await checks.check_a_little()
    assert (await store.records.long_work.find(SWEEP)).position == "00"


async def test_a_clock_that_was_set_back_delays_nothing(
    store: Store, checks: CatalogChecks, clock: HandClock, tmp_path: Path
) -> None:
    clock.set(days=4000)
    await checks.check_a_little()
    await push_blob(store, b"garbage")
    condemned = await push_blob(store, b"condemned")
    await store.delete_blob(REPOSITORY, condemned.digest)
    await store.records.reviews.decide(CollectionRules(Grace(timedelta(0)), all_since=clock.now()), 1)
    await store.records.holders.hold(ContentHolder("1", HolderPurpose.BACKUP, "killed", [(None, None)]), DAY)
    clock.set(days=-4000)

    await checks.check_a_little()
    assert (await store.records.long_work.find(SWEEP)).position == "01"
    clock.advance(days=9)
    await checks.check_a_little()
    while (await store.records.reviews.decide(CollectionRules(Grace()), 10)).decided:
        pass
    await store.records.reviews.remove_bytes(timedelta(hours=1), 10)
    clock.advance(hours=1)
    await store.records.reviews.remove_bytes(timedelta(hours=1), 10)
    assert kept_bytes(tmp_path / "data") == set()


async def test_forgotten_content_is_counted_and_reviewed_once_a_day(
    store: Store, checks: CatalogChecks, clock: HandClock
) -> None:
    await checks.check_a_little()
    await push_blob(store, b"forgotten")
    await store.services.catalog.write(lambda connection: connection.execute(delete(reviews)))
    clock.advance(hours=23)
    await checks.check_a_little()
    assert (await store.records.long_work.find(COMPARISON)).state == {FORGOTTEN: 0}
    clock.advance(hours=1)
    await checks.check_a_little()
    assert (await store.records.long_work.find(COMPARISON)).state == {FORGOTTEN: 1}
    assert (await store.records.reviews.compare())[ReviewKind.BLOB] == 0  # a review is about it now


async def test_what_an_older_version_left_counts_as_nobodys_mistake(store: Store, checks: CatalogChecks) -> None:
    await push_blob(store, b"from before")
    await store.services.catalog.write(lambda connection: connection.execute(delete(reviews)))
    await checks.check_all()
    assert (await store.records.long_work.find(COMPARISON)).state == {FORGOTTEN: 0}
    assert (await store.records.reviews.waiting(Grace())).due == 0
    assert sum((await store.records.reviews.waiting(Grace())).reviews.values()) == 1
