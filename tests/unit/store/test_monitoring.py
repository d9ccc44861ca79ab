"""Figures that the store reports for monitoring."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import CatalogFault, ManifestUnknown, StorageDamaged, StorageFault, StorageFull
from mirror.registry.streams import single_chunk
from mirror.store.catalog import generation
from mirror.store.catalog.databases import sqlite_database
from mirror.store.content.filesystem import Filesystem
from mirror.store.content.kept_free import KeptFree
from mirror.store.content.volume import DiskSpace
from mirror.store.monitoring import StoreContents
from mirror.store.registry import Store
from tests.support.served import CONFIG, LAYER, MANIFEST, REPOSITORY, TAG, put_blob, put_plugin
from tests.support.waiting import until
from tests.unit.store.disks import WatchedFilesystem, upload_files


async def test_contents(store: Store) -> None:
    before = await store.monitoring.contents()
    assert before == StoreContents(0, 0, 0, 0, 0, before.generation_changes)
    await put_plugin(store)
    await put_plugin(store, Repository("other"), Tag("2.0"))
    found = await store.monitoring.contents()
    size_bytes = len(CONFIG) + len(LAYER) + len(MANIFEST)
    assert found == StoreContents(2, 2, 2, 3, size_bytes, before.generation_changes + 6)


async def test_room(store: Store) -> None:
    empty = await store.monitoring.room()
    assert (empty.uploads, empty.upload_bytes) == (0, 0)
    assert 0 < empty.free_bytes < empty.size_bytes
    for content in (b"abc", b"defgh"):
        upload = await store.begin_upload(REPOSITORY)
        await upload.append(single_chunk(content))
    room = await store.monitoring.room()
    assert room == DiskSpace(room.free_bytes, empty.size_bytes, room.free_inodes, empty.inodes, 2, 8)


async def test_work(store: Store) -> None:
    before = store.monitoring.work.transactions
    await put_plugin(store)
    assert store.monitoring.work.transactions == before + 3
    for _ in range(3):
        await store.get_manifest(REPOSITORY, TAG)
        await store.stat_blob(REPOSITORY, Digest.of(LAYER))
    with pytest.raises(ManifestUnknown):
        await store.get_manifest(REPOSITORY, Tag("none"))
    lookups = store.monitoring.work.lookups
    assert (lookups.manifest_hits, lookups.manifest_misses) == (2, 2)
    assert (lookups.blob_size_hits, lookups.blob_size_misses) == (2, 1)
    assert (store.monitoring.work.turn_waits, store.monitoring.work.turn_wait_seconds) == (0, 0.0)


async def test_a_writer_that_waits_for_another_process_is_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, is_waiting = [1000.0], threading.Event()

    def monotonic() -> float:
        seconds = now[0]
        is_waiting.set()
        return seconds

    async with Store.open(folder) as one_process, Store.open(folder) as other:
        monkeypatch.setattr(generation, "time", SimpleNamespace(monotonic=monotonic))
        with other.services.catalog.generation.turn():
            writing = asyncio.create_task(put_blob(one_process, b"content"))
            await until(is_waiting.is_set)
            now[0] += 3
            assert not writing.done()
        await writing
        assert one_process.monitoring.work.turn_waits == 1
        assert one_process.monitoring.work.turn_wait_seconds == 3


async def test_the_probe_leaves_nothing(folder: Path) -> None:
    filesystem = WatchedFilesystem(folder)
    async with Store.open(folder, filesystem=filesystem) as store:
        filesystem.calls.clear()
        await store.monitoring.probe_volume()
        assert [what for what, _ in filesystem.calls] == ["create", "write", "remove"]
        assert upload_files(folder) == []


@pytest.mark.parametrize("what", ["create", "write", "remove"])
@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EIO, StorageFault)])
async def test_the_probe_finds_what_does_not_work(
    folder: Path, what: str, number: int, kind: type[StorageFault]
) -> None:
    filesystem = WatchedFilesystem(folder)

    def fault(call: str, _path: str) -> None:
        if call == what:
            raise OSError(number, "broken")

    async with Store.open(folder, filesystem=filesystem) as store:
        filesystem.fault = fault
        with pytest.raises(kind, match="cannot write, read and remove a small file: broken"):
            await store.monitoring.probe_volume()


async def test_the_probe_finds_a_disk_that_lies(folder: Path) -> None:
    class Lying(Filesystem):
        def write(self, descriptor: int, content: bytes | bytearray, offset: int) -> None:
            super().write(descriptor, bytes(len(content)), offset)

    async with Store.open(folder, filesystem=Lying()) as store:
        with pytest.raises(StorageDamaged):
            await store.monitoring.probe_volume()
        assert upload_files(folder) == []


async def test_room_that_is_kept_free(folder: Path) -> None:
    async with Store.open(folder) as store:
        await store.monitoring.require_room()
    async with Store.open(folder, kept_free=KeptFree(2**62)) as store:
        with pytest.raises(StorageFull, match=r"are kept free \(storage.least_free_bytes\); fix: "):
            await store.monitoring.require_room()


async def test_the_probe_of_the_catalog(store: Store, folder: Path) -> None:
    await store.monitoring.probe_catalog()
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as spoiler:
        spoiler.execute("DROP TABLE tags")
    with pytest.raises(CatalogFault, match="cannot read the catalog: it lacks tables or columns"):
        await store.monitoring.probe_catalog()


async def test_the_probe_of_a_catalog_that_another_process_keeps_locked(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "_PROBE_TIMEOUT_SECONDS", 0)
    with closing(sqlite3.connect(folder / "catalog.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogFault, match=rf"another process keeps {folder}/catalog.sqlite locked; fix: "):
            await store.monitoring.probe_changes()
        await store.monitoring.probe_catalog()  # reads go on
        other.execute("ROLLBACK")
    await store.monitoring.probe_changes()


async def test_the_probe_of_a_catalog_that_is_gone(store: Store, folder: Path) -> None:
    folder.rename(folder.with_name("moved"))
    with pytest.raises(StorageFault, match=rf"No such file or directory: {folder}/catalog.sqlite"):
        await store.monitoring.probe_changes()
