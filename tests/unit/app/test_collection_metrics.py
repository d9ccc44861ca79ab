"""Metrics of the collection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.app.storage.collection_metrics import CollectionMetrics
from mirror.lifecycle.catalog_checks import COMPARISON, FORGOTTEN
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_blob
from tests.support.clocks import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(tmp_path: Path, clock: HandClock) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data", clock=clock) as opened:
        yield opened


async def values(store: Store) -> dict[str, float]:
    """Return the values above 0, by name and cause."""
    found = await CollectionMetrics(store.records, Grace()).read()
    samples = [sample for metric in found for sample in metric.samples if sample.value]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


async def test_what_waits_and_what_was_freed_is_shown(store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"12345")
    assert await values(store) == {"plugin_mirror_reviews stored": 1}
    clock.advance(hours=24)
    assert (await values(store))["plugin_mirror_reviews_due"] == 1
    clock.advance(hours=24)
    assert (await values(store))["plugin_mirror_reviews_overdue"] == 1
    await store.records.reviews.decide(CollectionRules(Grace()), 1)
    assert await values(store) == {"plugin_mirror_doomed_files": 1, "plugin_mirror_doomed_bytes": 5}
    await store.records.reviews.remove_bytes(timedelta(0), 1)
    assert await values(store) == {
        "plugin_mirror_freed_files_total stored": 1,
        "plugin_mirror_freed_bytes_total stored": blob.size_bytes,
    }


async def test_reviews_that_find_work_again_and_again_are_shown(store: Store, clock: HandClock) -> None:
    await push_blob(store, b"uploading")
    rules = CollectionRules(Grace(), uploading=[REPOSITORY.name])
    for _ in range(11):
        clock.advance(days=2)
        await store.records.reviews.decide(rules, 1)
    assert (await values(store))["plugin_mirror_reviews_often_tried"] == 1


async def test_the_tags_that_retention_has_dropped_are_shown(store: Store) -> None:
    await store.records.long_work.note("retention", "", {"dropped": 3}, finished=True)
    assert await values(store) == {"plugin_mirror_retired_tags_total": 3}


async def test_forgotten_content_is_shown(store: Store) -> None:
    await store.records.long_work.note(COMPARISON, "", {FORGOTTEN: 3}, finished=True)
    assert await values(store) == {"plugin_mirror_forgotten_content": 3}


async def test_the_catalog_is_not_counted_for_every_page(store: Store) -> None:
    metrics = CollectionMetrics(store.records, Grace())
    first = await metrics.read()
    await push_blob(store, b"pushed since")
    assert await metrics.read() is first
