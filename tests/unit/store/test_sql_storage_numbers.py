"""Numbers about content: each file once, what manifests share, and what belongs to one repository alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mirror.oci import Digest, Repository, Tag
from mirror.records.lifecycle.storage_numbers import ContentNumbers, RepositorySize, TargetPulls
from mirror.records.origins import Origin
from mirror.store.catalog import rows
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.registry import Store
from tests.support import many_images
from tests.support.builders import hold, plugin, push_blob

NAME, OTHER = Repository("a/plugin"), Repository("b/plugin")
ONE, TWO = plugin(b"{}", b"one"), plugin(b"{}", b"two!")


async def test_an_empty_store_has_zeros(store: Store) -> None:
    assert await store.records.numbers.content() == ContentNumbers(0, 0, 0, 0, 0, 0, 0, 0)
    assert await store.records.numbers.largest(10) == []


async def test_a_blob_of_several_manifests_is_stored_once(store: Store) -> None:
    await hold(store, NAME, [b"{}", b"one"], [ONE], "1", "latest")
    await hold(store, NAME, [b"two!"], [TWO], "2")
    await hold(store, OTHER, [b"{}", b"two!"], [TWO], "2")
    found = await store.records.numbers.content()
    assert (found.repositories, found.tags, found.manifests, found.files) == (2, 4, 3, 5)
    assert found.size_bytes == len(b"{}onetwo!") + ONE.size_bytes + TWO.size_bytes
    assert found.shared_bytes == len(b"{}two!") + TWO.size_bytes
    # Three manifests name the config, two the layer, and two repositories hold the second manifest.
    assert found.saved_bytes == 2 * len(b"{}") + len(b"two!") + TWO.size_bytes
    assert found.unused_bytes == 0


async def test_a_blob_without_a_manifest_is_unused(store: Store) -> None:
    await hold(store, NAME, [b"{}", b"one"], [ONE], "1")
    await push_blob(store, b"nobody", NAME)
    assert (await store.records.numbers.content()).unused_bytes == len(b"nobody")


async def test_an_incomplete_manifest_uses_what_it_names(store: Store) -> None:
    now = datetime.now(UTC)
    await push_blob(store, b"{}", NAME)
    origin = Origin("hub", NAME, ONE.digest, checked_at=now, asked_at=now)
    await store.records.incomplete.keep_incomplete(NAME, ONE, origin, Tag("1"))
    found = await store.records.numbers.content()
    assert (found.manifests, found.unused_bytes) == (1, 0)


async def test_the_largest_repositories_come_first(store: Store) -> None:
    await hold(store, NAME, [b"{}", b"one"], [ONE], "1")
    await hold(store, OTHER, [b"{}", b"two!" * 1000], [plugin(b"{}", b"two!" * 1000)], "1", "2")
    larger, smaller = await store.records.numbers.largest(10)
    assert (larger.name, larger.tags, larger.files) == (OTHER.name, 2, 3)
    assert smaller == RepositorySize(NAME.name, 1, 3, len(b"{}one") + ONE.size_bytes, len(b"one") + ONE.size_bytes)
    assert await store.records.numbers.largest(1) == [larger]


async def test_a_manifest_that_is_a_blob_too_counts_once(store: Store) -> None:
    await hold(store, NAME, [b"{}", b"one"], [ONE], "1")
    await push_blob(store, ONE.content, NAME)
    (found,) = await store.records.numbers.largest(10)
    assert (found.files, found.size_bytes) == (3, len(b"{}one") + ONE.size_bytes)


async def test_the_tags_with_the_most_pulls_come_first(store: Store) -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    digest = str(Digest.of(b"x"))
    made = [
        {"repository": "a", "target": "1", "pulled_at": at, "count": 2},
        {"repository": "a", "target": digest, "pulled_at": at, "count": 9},
        {"repository": "b", "target": "1", "pulled_at": at + timedelta(hours=1), "count": 2},
    ]
    await store.services.catalog.write_uncached(lambda connection: rows.put(connection, pulls, *made))
    assert await store.records.numbers.most_pulled(2) == [
        TargetPulls("a", digest, 9, at),
        TargetPulls("b", "1", 2, at + timedelta(hours=1)),
    ]


async def test_many_images_are_what_pushes_and_deletions_leave(store: Store, folder: Path) -> None:
    many_images.add(folder, many_images.images(30, 10, in_repository=7, layers=2))
    found = await store.records.numbers.content()
    assert (found.repositories, found.tags, found.manifests, found.files) == (6, 30, 30, 4 * 40)
    assert sum((await store.records.reviews.compare()).values()) == 0
    assert len([file for file in (folder / "blobs").rglob("*") if file.is_file()]) == 4 * 40
