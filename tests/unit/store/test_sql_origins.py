from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, NotFound
from mirror.records.origins import Origin
from mirror.records.sync_runs import MirroredTag, RunStep, TagOutcome, TagRecord
from mirror.runtime.current_rule import working_for
from mirror.store.content.blob_files import BlobStorage
from mirror.store.content.manifest_bytes import load_manifest
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.builders import hold, index, plugin, push_blob

NAME, THERE, TAG = Repository("a/plugin"), Repository("store/a/plugin"), Tag("latest")
CONFIG, LAYER = b"{}", b"layer" * 100
PLUGIN = plugin(CONFIG, LAYER)
NOW = datetime(2026, 5, 6, tzinfo=UTC)


def origin(manifest: Manifest = PLUGIN) -> Origin:
    return Origin("hub", THERE, manifest.digest, NOW, NOW)


@pytest.fixture
async def other(store: Store, folder: Path) -> AsyncIterator[Store]:
    """Another open store on the folder, which behaves as another process."""
    async with Store.open(folder) as opened:
        yield opened


async def test_an_incomplete_manifest_is_met_only_by_who_asks_for_it(store: Store, other: Store) -> None:
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    assert await other.records.incomplete.incomplete(NAME, PLUGIN.digest) == PLUGIN
    assert await other.records.origins.origin(NAME, TAG) == origin()
    assert await other.records.origins.origin(NAME, PLUGIN.digest) == origin()
    for target in (TAG, PLUGIN.digest):
        with pytest.raises(NotFound):
            await store.get_manifest(NAME, target)
    assert (await store.list_repositories(PageRequest())).entries == ()


async def test_it_says_which_blobs_it_waits_for(store: Store) -> None:
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    (layer,) = PLUGIN.layers
    assert await store.records.incomplete.awaited(NAME, layer.digest) == (layer.size_bytes, origin())
    assert await store.records.incomplete.awaited(NAME, Digest.of(b"another")) is None
    assert await store.records.incomplete.awaited(THERE, layer.digest) is None


async def test_it_becomes_as_others_are_with_its_last_blob(store: Store) -> None:
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    for blob in (CONFIG, LAYER):
        with pytest.raises(NotFound):
            await store.get_manifest(NAME, TAG)
        await push_blob(store, blob, NAME)
        await store.records.incomplete.arrived(NAME, Digest.of(blob))
    assert await store.get_manifest(NAME, TAG) == PLUGIN
    assert await store.records.incomplete.incomplete(NAME, PLUGIN.digest) is None
    assert await store.records.incomplete.awaited(NAME, PLUGIN.layers[0].digest) is None
    assert await store.records.origins.origin(NAME, TAG) == origin()


async def test_what_was_about_to_become_so_when_its_process_ended_becomes_so_later(store: Store, other: Store) -> None:
    whole, lacking = index(PLUGIN.descriptor), plugin(CONFIG, b"another layer")
    await store.records.incomplete.keep_incomplete(NAME, whole, origin(whole), TAG)
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin())
    await store.records.incomplete.keep_incomplete(NAME, lacking, origin(lacking), Tag("lacking"))
    await store.records.incomplete.keep_incomplete(THERE, PLUGIN, origin(), TAG)
    for blob in (CONFIG, LAYER):
        await push_blob(store, blob, NAME)
    await other.records.incomplete.complete_whole()
    assert await store.get_manifest(NAME, TAG) == whole
    assert await store.get_manifest(NAME, PLUGIN.digest) == PLUGIN
    assert await store.records.incomplete.incomplete(NAME, lacking.digest) == lacking
    assert await store.records.incomplete.incomplete(THERE, PLUGIN.digest) == PLUGIN


async def test_an_index_becomes_so_after_its_members(store: Store) -> None:
    whole = index(PLUGIN.descriptor)
    await store.records.incomplete.keep_incomplete(NAME, whole, origin(whole), TAG)
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin())
    for blob in (CONFIG, LAYER):
        await push_blob(store, blob, NAME)
    await store.records.incomplete.arrived(NAME, Digest.of(LAYER))
    assert await store.get_manifest(NAME, TAG) == whole


async def test_with_a_blob_only_those_are_read_that_lack_nothing_more(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [plugin(CONFIG, LAYER, str(number).encode()) for number in range(5)]
    for number, manifest in enumerate(waiting):
        await store.records.incomplete.keep_incomplete(NAME, manifest, origin(manifest), Tag(str(number)))
    read: list[Digest] = []

    def counted(blobs: BlobStorage, digest: Digest, *row: Any) -> Manifest:
        read.append(digest)
        return load_manifest(blobs, digest, *row)

    monkeypatch.setattr("mirror.store.catalog.manifest_loader.load_manifest", counted)
    async with Store.open(folder) as other:
        for blob in (b"1", b"3", CONFIG, LAYER):
            assert read == []
            await push_blob(other, blob, NAME)
            await other.records.incomplete.arrived(NAME, Digest.of(blob))
        assert sorted(read, key=str) == sorted([waiting[1].digest, waiting[3].digest], key=str)
        for number, manifest in enumerate(waiting):
            assert (await other.records.incomplete.incomplete(NAME, manifest.digest) is None) == (number in {1, 3})


async def test_an_index_in_an_index_in_an_index_becomes_so_too(store: Store) -> None:
    whole = PLUGIN
    await store.records.incomplete.keep_incomplete(NAME, whole, origin())
    for _ in range(20):
        whole = index(whole.descriptor)
        await store.records.incomplete.keep_incomplete(NAME, whole, origin(whole), TAG)
    for blob in (CONFIG, LAYER):
        await push_blob(store, blob, NAME)
        await store.records.incomplete.arrived(NAME, Digest.of(blob))
    assert await store.get_manifest(NAME, TAG) == whole


async def test_one_that_lacks_nothing_is_as_others_are_at_once(store: Store) -> None:
    for blob in (CONFIG, LAYER):
        await push_blob(store, blob, NAME)
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    assert await store.get_manifest(NAME, TAG) == PLUGIN


async def test_a_tag_stays_at_the_last_whole_one_until_the_next_is_whole(store: Store) -> None:
    await hold(store, NAME, [CONFIG, LAYER], [PLUGIN])
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    moved = plugin(CONFIG, b"another layer")
    await store.records.incomplete.keep_incomplete(NAME, moved, origin(moved), TAG)
    assert await store.records.origins.origin(NAME, TAG) == origin(moved)
    assert await store.get_manifest(NAME, TAG) == PLUGIN
    await push_blob(store, b"another layer", NAME)
    await store.records.incomplete.arrived(NAME, Digest.of(b"another layer"))
    assert await store.get_manifest(NAME, TAG) == moved


async def test_a_push_makes_a_tag_ours(store: Store, other: Store) -> None:
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    assert not await store.records.origins.is_ours(NAME)
    mine = plugin(CONFIG)
    await hold(store, NAME, [CONFIG], [mine], TAG.name)
    assert await other.records.origins.origin(NAME, TAG) is None
    assert await other.records.origins.is_ours(NAME)
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    await store.records.origins.record_origin(NAME, TAG, origin())
    assert await store.records.origins.origin(NAME, TAG) is None
    await push_blob(store, LAYER, NAME)
    await store.records.incomplete.arrived(NAME, Digest.of(LAYER))
    assert await store.get_manifest(NAME, TAG) == mine


async def test_what_is_being_pushed_is_ours_before_it_has_a_tag(store: Store) -> None:
    assert not await store.records.origins.is_ours(NAME)
    await push_blob(store, CONFIG, NAME)
    assert await store.records.origins.is_ours(NAME)


async def test_what_a_rule_has_brought_is_not_ours(store: Store) -> None:
    with working_for("rule"):
        await hold(store, NAME, [CONFIG, LAYER], [PLUGIN], TAG.name)
    mirrored = MirroredTag(NAME, TAG, "rule", "hub", THERE, PLUGIN.digest, PLUGIN.digest, NOW)
    run = await store.records.sync_runs.begin_run("rule")
    await store.records.sync_runs.record(run, [RunStep(TagRecord(NAME, TAG, TagOutcome.COPIED), mirrored)])
    assert not await store.records.origins.is_ours(NAME)
    await hold(store, NAME, [], [plugin(CONFIG)], TAG.name)
    assert await store.records.origins.is_ours(NAME)


async def test_an_origin_is_confirmed(store: Store, other: Store) -> None:
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    later = NOW + timedelta(minutes=5)
    confirmed = Origin("hub", THERE, PLUGIN.digest, later, later)
    assert await other.records.origins.origin(NAME, TAG) == origin()
    await store.records.origins.record_origin(NAME, TAG, confirmed)
    assert await other.records.origins.origin(NAME, TAG) == confirmed


async def test_what_is_forgotten_is_not_there(store: Store) -> None:
    await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    assert await store.records.origins.forget(NAME, TAG)
    assert not await store.records.origins.forget(NAME, TAG)
    assert await store.records.origins.origin(NAME, TAG) is None
    assert await store.records.origins.forget(NAME, PLUGIN.digest)
    assert await store.records.incomplete.incomplete(NAME, PLUGIN.digest) is None
    assert not await store.records.origins.is_ours(NAME)


async def test_a_manifest_survives_the_process(folder: Path) -> None:
    async with Store.open(folder) as store:
        await store.records.incomplete.keep_incomplete(NAME, PLUGIN, origin(), TAG)
    async with Store.open(folder) as store:
        assert await store.records.incomplete.incomplete(NAME, PLUGIN.digest) == PLUGIN
        await push_blob(store, CONFIG, NAME)
        with pytest.raises(ManifestUnknown):
            await store.get_manifest(NAME, TAG)
