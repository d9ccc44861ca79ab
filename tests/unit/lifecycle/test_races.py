"""What comes between a decision, the removal of its bytes, and a client: nothing that is needed is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mirror.oci import Digest, Tag
from mirror.oci.errors import BlobUnknown, ManifestBlobUnknown, NotFound, StorageFault
from mirror.records.lifecycle.reviews import CollectionRules, DecidedReviews, ReviewKind
from mirror.records.origins import Origin
from mirror.store.registry import Store
from tests.support.builders import OTHER, REPOSITORY, index, manifest_of, plugin, push_blob, push_image, read_blob
from tests.support.clocks import HandClock
from tests.support.collecting import RULES, collect_now, content_of, kept_bytes, review
from tests.support.waiting import until
from tests.torture.inspection import inspect

NOW = timedelta(0)


async def decide(store: Store, clock: HandClock) -> DecidedReviews:
    """Decide every review, and remove no bytes."""
    return await store.records.reviews.decide(replace(RULES, all_since=clock.now()), 100)


def changed_at(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


async def test_condemned_pushed_again_and_removed_late(folder: Path, store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"content")
    assert (await decide(store, clock)).doomed == 1

    await push_blob(store, b"content")
    await store.records.reviews.remove_bytes(NOW, 100)
    assert await read_blob(store, blob.digest) == b"content"
    assert kept_bytes(folder) == {blob.digest}


async def test_condemned_removed_and_pushed_again(folder: Path, store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"content")
    await decide(store, clock)
    await store.records.reviews.remove_bytes(NOW, 100)
    await push_blob(store, b"content")
    assert await read_blob(store, blob.digest) == b"content"
    assert kept_bytes(folder) == {blob.digest}


async def test_a_mount_after_the_decision_finds_nothing(store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"content")
    await decide(store, clock)
    assert await store.mount_blob(OTHER, blob.digest, REPOSITORY) is None
    assert await store.mount_blob(OTHER, blob.digest, None) is None
    with pytest.raises(BlobUnknown):
        await store.stat_blob(OTHER, blob.digest)


async def test_a_mount_before_the_decision_keeps_the_bytes(folder: Path, store: Store, clock: HandClock) -> None:
    image = await push_image(store, "image")
    for blob in image.blobs:
        await store.mount_blob(OTHER, blob.digest, REPOSITORY)
    await store.put_manifest(OTHER, image, [Tag("1.0")])
    await store.delete_manifest(REPOSITORY, image.digest)
    await collect_now(store, clock)
    assert kept_bytes(folder) == content_of(image)


async def test_a_head_a_collection_and_a_manifest_without_its_blob(store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"content")
    await store.stat_blob(REPOSITORY, blob.digest)
    await decide(store, clock)
    image = manifest_of({"config": blob.to_json(), "layers": []})
    with pytest.raises(ManifestBlobUnknown):
        await store.put_manifest(REPOSITORY, image, [Tag("1.0")])


async def test_a_reader_reads_on_when_the_bytes_go(folder: Path, store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"content")
    async with store.open_blob(REPOSITORY, blob.digest) as opened:
        await collect_now(store, clock)
        assert kept_bytes(folder) == set()
        assert b"".join([chunk async for chunk in opened]) == b"content"


async def test_a_member_stays_as_long_as_its_index(folder: Path, store: Store, clock: HandClock) -> None:
    member = await push_image(store, "image")
    clock.advance(hours=23)
    whole = index(member.descriptor)
    await store.put_manifest(REPOSITORY, whole)
    clock.advance(hours=2)
    await store.records.reviews.decide(RULES, 100)
    assert await store.get_manifest(REPOSITORY, member.digest) == member


async def test_a_commit_that_fails_loses_no_file(
    folder: Path, store: Store, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision and a removal wait for the same turn. The disk fails at their commit."""
    await push_blob(store, b"doomed before")
    await decide(store, clock)
    blob = await push_blob(store, b"doomed in the same turn")
    reviews, blobs, catalog = store.records.reviews, store.services.blobs, store.services.catalog
    has_begun, may_go_on, flush = threading.Event(), threading.Event(), blobs.flush
    first = asyncio.create_task(catalog.write(lambda _: (has_begun.set(), may_go_on.wait(30))))
    await asyncio.to_thread(has_begun.wait, 30)
    work = [asyncio.create_task(decide(store, clock)), asyncio.create_task(reviews.remove_bytes(NOW, 100))]
    waiting = catalog._writer._waiting
    await until(lambda: len(waiting) == 2)

    def fail() -> None:
        raise OSError(5, "the disk fails")

    def succeed_once() -> None:
        monkeypatch.setattr(catalog._writer, "_flush", fail)

    monkeypatch.setattr(catalog._writer, "_flush", succeed_once)
    may_go_on.set()
    await first
    assert [type(error) for error in await asyncio.gather(*work, return_exceptions=True)] == [StorageFault] * 2

    monkeypatch.setattr(catalog._writer, "_flush", flush)
    inspect(folder)
    assert await read_blob(store, blob.digest) == b"doomed in the same turn"


async def test_a_run_ends_beside_a_server_that_gets_pushes(
    store: Store, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided: list[DecidedReviews] = []
    reviews = store.records.reviews
    step: Callable[[CollectionRules, int], Any] = reviews.decide

    async def decide_and_push(rules: CollectionRules, most: int) -> DecidedReviews:
        assert len(decided) < 5
        decided.append(await step(rules, most))
        clock.advance(seconds=1)
        await push_blob(store, b"pushed meanwhile %d" % len(decided))
        return decided[-1]

    await push_image(store, "image")
    monkeypatch.setattr(reviews, "decide", decide_and_push)
    assert (await collect_now(store, clock)).decided.doomed == 3


async def test_a_clock_that_was_ahead_keeps_no_garbage_from_a_run(folder: Path, store: Store, clock: HandClock) -> None:
    clock.advance(days=365)
    await push_blob(store, b"content")
    clock.advance(days=-365)
    await collect_now(store, clock)
    assert kept_bytes(folder) == set()


async def test_a_file_without_a_row_goes_and_a_young_one_stays(folder: Path, store: Store, clock: HandClock) -> None:
    content = b"left by a crash"
    digest = Digest.of(content)
    file = folder / "blobs" / "sha256" / digest.hex[:2] / digest.hex
    file.write_bytes(content)
    clock.time = changed_at(file) + timedelta(hours=23)
    assert await store.records.reviews.doom_orphans(timedelta(days=1), digest.hex[:2]) == 0
    clock.advance(hours=2)
    assert await store.records.reviews.doom_orphans(timedelta(days=1), digest.hex[:2]) == 1
    await store.records.reviews.remove_bytes(NOW, 100)
    assert not file.exists()


async def test_a_foreign_file_among_the_blobs_is_left_alone(folder: Path, store: Store, clock: HandClock) -> None:
    foreign = folder / "blobs" / "sha256" / "00" / "notes.txt"
    foreign.write_text("an administrator's")
    clock.time = changed_at(foreign) + timedelta(days=2)
    assert await store.records.reviews.doom_orphans(timedelta(days=1), "00") == 0
    await push_blob(store, b"content")
    assert (await collect_now(store, clock)).freed.files == 1
    assert foreign.exists()


async def test_a_repository_is_pulled_through_until_its_last_blob_is_gone(store: Store, clock: HandClock) -> None:
    coming = plugin(b"{}", b"layer")
    origin = Origin("hub", OTHER, coming.digest, clock.now(), clock.now())
    await store.records.incomplete.keep_incomplete(REPOSITORY, coming, origin)
    await push_blob(store, b"layer")
    await review(store, ReviewKind.MANIFEST, REPOSITORY, coming.digest, clock=clock)
    rules = replace(RULES, all_since=clock.now())
    while await store.records.incomplete.incomplete(REPOSITORY, coming.digest) is not None:
        await store.records.reviews.decide(rules, 1)
    # Its layer waits for its own decision.
    assert not await store.records.origins.is_ours(REPOSITORY)

    await collect_now(store, clock)
    assert await store.records.origins.origin(REPOSITORY, coming.digest) is None


async def test_a_manifest_that_is_collected_while_its_last_blob_arrives_stays_gone(
    store: Store, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming = plugin(b"{}", b"layer")
    origin = Origin("hub", OTHER, coming.digest, clock.now(), clock.now())
    await store.records.incomplete.keep_incomplete(REPOSITORY, coming, origin, Tag("latest"))
    for blob in (b"{}", b"layer"):
        await push_blob(store, blob)
    manifests = store.services.manifests
    load = manifests.load

    async def collect_and_load(*arguments: Any) -> Any:
        loaded = await load(*arguments)
        await store.records.origins.forget(REPOSITORY, Tag("latest"))
        await collect_now(store, clock)
        return loaded

    monkeypatch.setattr(type(manifests), "load", lambda _self, *arguments: collect_and_load(*arguments))
    await store.records.incomplete.arrived(REPOSITORY, Digest.of(b"layer"))
    with pytest.raises(NotFound):
        await store.get_manifest(REPOSITORY, coming.digest)


async def test_a_cached_blob_that_was_removed_beside_the_caches_is_unknown(store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"content")
    await store.stat_blob(REPOSITORY, blob.digest)
    clock.advance(hours=25)
    generation = store.services.catalog.generation.current
    assert (await store.records.reviews.decide(RULES, 100)).doomed == 1
    assert store.services.catalog.generation.current == generation
    assert store.services.cache.blob(REPOSITORY, blob.digest) is not None

    with pytest.raises(BlobUnknown):
        await store.stat_blob(REPOSITORY, blob.digest)
    await store.records.reviews.remove_bytes(NOW, 100)
    with pytest.raises(BlobUnknown):
        await read_blob(store, blob.digest)


async def test_what_was_removed_beside_the_caches_shows_at_the_end(store: Store, clock: HandClock) -> None:
    await push_blob(store, b"content")
    clock.advance(hours=25)
    generation = store.services.catalog.generation.current
    while (await store.records.reviews.decide(RULES, 100)).decided:
        assert store.services.catalog.generation.current == generation
    assert store.services.catalog.generation.current == generation + 2
    await store.records.reviews.decide(RULES, 100)
    assert store.services.catalog.generation.current == generation + 2


async def test_a_cached_blob_that_is_removed_at_once_is_unknown(store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"content")
    await store.stat_blob(REPOSITORY, blob.digest)
    await collect_now(store, clock)
    with pytest.raises(BlobUnknown):
        await store.stat_blob(REPOSITORY, blob.digest)
