"""Damaged content: found, set aside, never served, and whole again with the next whole bytes."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mirror.oci import Digest, Tag
from mirror.oci.errors import BlobUnknown, ManifestBlobUnknown, ManifestUnknown, StorageDamaged, StorageFault
from mirror.records.lifecycle.damage import DamageCounts, ExaminationResult
from mirror.store.content import blob_examination
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.registry import Store
from tests.support.builders import OTHER, REPOSITORY, index, manifest_of, push_blob, push_image, read_blob
from tests.support.damage import WAYS, at_once, examine, file_of, flip_a_bit, scrub
from tests.support.pull_through import NAME, Plugin, pull, pulling, read

CONTENT = b"a layer" * 1000


class RecordingDisk(Filesystem):
    """A filesystem that records moves and syncs of folders, and may refuse to move files.

    Attributes:
        calls: pairs of call and path.
        refuses: True to refuse moves.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Path]] = []
        self.refuses = False

    def rename(self, source: Path, target: Path) -> None:
        self.calls.append(("rename", source))
        if self.refuses:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self.calls.append(("sync", folder))
        super().sync_folder(folder)


async def test_a_scrub_of_whole_content_finds_nothing(store: Store) -> None:
    await push_image(store, "one", "1")
    state = await scrub(store)
    assert (state.files, state.damaged, state.corrected) == (3, 0, 0)
    assert state.finished_at is not None
    assert await store.records.damage.damaged() == []


@pytest.mark.parametrize("damage", WAYS)
async def test_every_damage_is_found_and_the_content_is_no_longer_held(
    store: Store, folder: Path, damage: Callable[[Path], None]
) -> None:
    blob = await push_blob(store, CONTENT)
    damage(file_of(folder, blob.digest))
    assert (await scrub(store)).damaged == 1
    assert not file_of(folder, blob.digest).exists()
    for asked in (store.stat_blob(REPOSITORY, blob.digest), read_blob(store, blob.digest)):
        with pytest.raises(BlobUnknown, match="is damaged here"):
            await asked
    assert await store.mount_blob(OTHER, blob.digest, None) is None
    assert await store.find_blob(blob.digest) is None


async def test_other_repositories_are_not_told_of_damage(store: Store, folder: Path) -> None:
    blob = await push_blob(store, CONTENT)
    file_of(folder, blob.digest).unlink()
    await scrub(store)
    with pytest.raises(BlobUnknown) as raised:
        await store.stat_blob(OTHER, blob.digest)
    assert "damaged" not in str(raised.value)


async def test_both_of_two_swapped_files_are_damaged(store: Store, folder: Path) -> None:
    one, two = await push_blob(store, b"one"), await push_blob(store, b"two")
    first, second, between = file_of(folder, one.digest), file_of(folder, two.digest), folder / "kept"
    first.rename(between)
    second.rename(first)
    between.rename(second)
    assert (await scrub(store)).damaged == 2


async def test_a_push_of_damaged_content_heals_it(store: Store, folder: Path) -> None:
    blob = await push_blob(store, CONTENT)
    flip_a_bit(file_of(folder, blob.digest))
    await scrub(store)
    assert DataLayout(folder).set_aside(blob.digest).exists()
    await push_blob(store, CONTENT)
    assert await read_blob(store, blob.digest) == CONTENT
    assert await store.records.damage.damaged() == []
    assert not DataLayout(folder).set_aside(blob.digest).exists()
    assert (await scrub(store)).damaged == 0


async def test_no_new_manifest_may_name_damaged_content(store: Store, folder: Path) -> None:
    blob = await push_blob(store, CONTENT)
    manifest = manifest_of({"config": blob.to_json(), "layers": []})
    file_of(folder, blob.digest).unlink()
    await scrub(store)
    with pytest.raises(ManifestBlobUnknown):
        await store.put_manifest(REPOSITORY, manifest, [Tag("1")])
    await push_blob(store, CONTENT)
    await store.put_manifest(REPOSITORY, manifest, [Tag("1")])


async def test_a_damaged_manifest_fails_until_it_is_pushed_again(folder: Path) -> None:
    async with Store.open(folder) as store:
        manifest = await push_image(store, "one", "1")
        flip_a_bit(file_of(folder, manifest.digest))
        await scrub(store)
    async with Store.open(folder) as store:
        with pytest.raises(StorageDamaged, match="set aside; fix: push it again"):
            await store.get_manifest(REPOSITORY, Tag("1"))
        with pytest.raises(ManifestUnknown, match="is damaged here"):
            await store.resolve(REPOSITORY, manifest.digest)
        await store.put_manifest(REPOSITORY, manifest, [Tag("1")])
        assert (await store.get_manifest(REPOSITORY, Tag("1"))).content == manifest.content


async def test_pull_through_fetches_damaged_content_again(store: Store, folder: Path) -> None:
    async with pulling(store) as world:
        plugin = await Plugin.make().at(world.hub)
        await pull(world)
        layer = Digest.of(plugin.layer)
        flip_a_bit(file_of(folder, layer))
        await scrub(store)
        assert await read(world.registry.open_blob(NAME, layer)) == plugin.layer
        await world.idle()
    assert await store.records.damage.damaged() == []


async def test_pull_through_fetches_a_damaged_manifest_again(store: Store, folder: Path) -> None:
    async with pulling(store) as world:
        plugin = await Plugin.make().at(world.hub)
        await pull(world)
        flip_a_bit(file_of(folder, plugin.manifest.digest))
        await scrub(store)
        assert (await pull(world)).content == plugin.manifest.content
    assert await store.records.damage.damaged() == []


async def test_a_damaged_incomplete_manifest_is_fetched_again(store: Store, folder: Path) -> None:
    async with pulling(store) as world:
        plugin = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, Tag("latest"))
        flip_a_bit(file_of(folder, plugin.manifest.digest))
        await scrub(store)
        assert (await pull(world)).content == plugin.manifest.content


async def test_a_wrong_size_in_the_catalog_is_corrected(folder: Path) -> None:
    async with Store.open(folder) as store:
        blob = await push_blob(store, CONTENT)
    _change(folder, "UPDATE blobs SET size_bytes = 7")
    async with Store.open(folder) as store:
        state = await scrub(store)
        assert (state.corrected, state.damaged) == (1, 0)
        assert await read_blob(store, blob.digest) == CONTENT


async def test_wrong_rows_of_a_manifest_are_corrected(folder: Path) -> None:
    async with Store.open(folder) as store:
        await push_image(store, "one", "1")
        before = _rows(folder, "SELECT * FROM manifest_children")
        _change(folder, "DELETE FROM manifest_children WHERE child = (SELECT max(child) FROM manifest_children)")
        _change(folder, "UPDATE manifest_children SET kind = 'unread', child = ''")
        assert (await scrub(store)).corrected == 1
        assert _rows(folder, "SELECT * FROM manifest_children") == before


async def test_a_file_that_comes_back_ends_the_damage(store: Store, folder: Path) -> None:
    blob = await push_blob(store, CONTENT)
    file = file_of(folder, blob.digest)
    file.rename(folder / "elsewhere")
    await scrub(store)
    (folder / "elsewhere").rename(file)
    assert (await scrub(store)).damaged == 0
    assert await read_blob(store, blob.digest) == CONTENT


async def test_bytes_that_the_disk_cannot_read_are_damage(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await push_blob(store, CONTENT)

    def failing(_descriptor: int, _size: int, _offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(blob_examination.os, "pread", failing)
    assert await examine(store, blob.digest) is ExaminationResult.DAMAGED
    (damaged,) = await store.records.damage.damaged()
    assert damaged.problem == "byte 0 cannot be read: Input/output error"


async def test_an_error_that_says_nothing_about_the_bytes_is_no_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await push_blob(store, CONTENT)

    def failing(_descriptor: int, _size: int, _offset: int) -> bytes:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(blob_examination.os, "pread", failing)
    with pytest.raises(StorageFault):
        await examine(store, blob.digest)
    assert await store.records.damage.counts() == DamageCounts(0, 0)


async def test_a_fault_of_one_reading_is_no_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await push_blob(store, CONTENT)
    faults = [b"wrong"]
    real = os.pread

    def once_wrong(descriptor: int, size: int, offset: int) -> bytes:
        return faults.pop() if faults else real(descriptor, size, offset)

    monkeypatch.setattr(blob_examination.os, "pread", once_wrong)
    assert await examine(store, blob.digest) is ExaminationResult.WHOLE


async def test_a_file_that_was_replaced_after_its_examination_stays(store: Store, folder: Path) -> None:
    blob = await push_blob(store, CONTENT)
    flip_a_bit(file_of(folder, blob.digest))

    async def pushed_meanwhile(_size_bytes: int) -> None:
        await push_blob(store, CONTENT)

    content = await store.records.damage.find_stored(blob.digest)
    assert content is not None
    assert await store.records.damage.examine(content, pushed_meanwhile) is not ExaminationResult.DAMAGED
    assert await read_blob(store, blob.digest) == CONTENT


async def test_pushes_beside_scrubs_of_other_processes_are_never_lost(folder: Path) -> None:
    contents = [random.Random(number).randbytes(100_000) for number in range(6)]
    choices = random.Random(15)
    async with Store.open(folder) as pushing, Store.open(folder) as scrubbing:
        blobs = [await push_blob(pushing, content) for content in contents]
        for _ in range(15):
            for blob in choices.sample(blobs, 3):
                choices.choice(WAYS)(file_of(folder, blob.digest))
            await asyncio.gather(
                scrub(scrubbing), *(push_blob(pushing, content) for content in contents), scrub(pushing)
            )
            for store in (pushing, scrubbing):
                assert [await read_blob(store, blob.digest) for blob in blobs] == contents
            assert await pushing.records.damage.damaged() == []


async def test_content_that_was_collected_meanwhile_is_no_damage(folder: Path) -> None:
    async with Store.open(folder) as store:
        blob = await push_blob(store, CONTENT)
        content = await store.records.damage.find_stored(blob.digest)
        assert content is not None
        _change(folder, "DELETE FROM repository_blobs", "DELETE FROM blobs")
        file_of(folder, blob.digest).unlink()
        assert await store.records.damage.examine(content, at_once) is ExaminationResult.GONE


async def test_damage_of_content_that_is_gone_is_forgotten(folder: Path) -> None:
    async with Store.open(folder) as store:
        blob = await push_blob(store, CONTENT)
        flip_a_bit(file_of(folder, blob.digest))
        await scrub(store)
        _change(folder, "DELETE FROM repository_blobs", "DELETE FROM blobs")
        assert await store.records.damage.damaged() == []
        assert await store.records.damage.damaged() == []
        assert not DataLayout(folder).set_aside(blob.digest).exists()


async def test_a_read_that_finds_damage_makes_the_content_suspect(store: Store, folder: Path) -> None:
    blob = await push_blob(store, CONTENT)
    flip_a_bit(file_of(folder, blob.digest))
    with pytest.raises(StorageDamaged):
        await read_blob(store, blob.digest)
    assert store.records.damage.take_suspects() == [blob.digest]
    assert store.records.damage.take_suspects() == []


async def test_a_manifest_that_a_read_finds_damaged_is_suspect(folder: Path) -> None:
    async with Store.open(folder) as store:
        manifest = await push_image(store, "one", "1")
    flip_a_bit(file_of(folder, manifest.digest))
    async with Store.open(folder) as store:
        with pytest.raises(StorageDamaged):
            await store.get_manifest(REPOSITORY, Tag("1"))
        assert store.records.damage.take_suspects() == [manifest.digest]


async def test_a_disk_that_refuses_to_set_aside_changes_nothing(folder: Path) -> None:
    disk = RecordingDisk()
    async with Store.open(folder, filesystem=disk) as store:
        blob = await push_blob(store, CONTENT)
        flip_a_bit(file_of(folder, blob.digest))
        disk.refuses = True
        with pytest.raises(StorageFault):
            await examine(store, blob.digest)
        assert (await store.records.damage.counts()).damaged == 0
        disk.refuses = False
        assert await examine(store, blob.digest) is ExaminationResult.DAMAGED


async def test_the_move_of_damaged_bytes_is_durable_before_its_row(folder: Path) -> None:
    disk = RecordingDisk()
    async with Store.open(folder, filesystem=disk) as store:
        blob = await push_blob(store, CONTENT)
        file = file_of(folder, blob.digest)
        flip_a_bit(file)
        disk.calls.clear()
        await examine(store, blob.digest)
    assert disk.calls[0] == ("rename", file)
    assert {("sync", folder / "damaged"), ("sync", file.parent)} <= set(disk.calls[1:])


async def test_the_tags_that_damage_breaks_are_told_through_indexes(store: Store, folder: Path) -> None:
    member = await push_image(store, "one", "1")
    await store.put_manifest(REPOSITORY, index(member.descriptor), [Tag("all")])
    other = await push_image(store, "two", "2")
    use = await store.records.damage.use_of(member.layers[0].digest)
    assert (use.repositories, use.is_manifest) == ([REPOSITORY], False)
    assert use.tags == [f"{REPOSITORY}:1", f"{REPOSITORY}:all"]
    assert (await store.records.damage.use_of(other.digest)).tags == [f"{REPOSITORY}:2"]
    assert (await store.records.damage.use_of(member.digest)).is_manifest


async def test_the_places_of_pulled_content_are_its_upstreams(store: Store) -> None:
    async with pulling(store, ("hub/vieux/*", "vieux/*"), ("other/**", "**")) as world:
        plugin = await Plugin.make().at(world.hub)
        await pull(world)
        use = await store.records.damage.use_of(Digest.of(plugin.layer))
        assert [(place.upstream, place.source) for place in use.places] == [("hub", NAME)]


def _change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as catalog, catalog:
        for statement in statements:
            catalog.execute(statement)


def _rows(folder: Path, statement: str) -> list[object]:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as catalog:
        return sorted(catalog.execute(statement).fetchall())
