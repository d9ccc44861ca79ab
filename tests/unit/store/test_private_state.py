"""A data folder that is used without being changed."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from mirror.oci import Digest, Tag
from mirror.oci.errors import CatalogFault, StorageFull
from mirror.store.content.folder_access import can_write
from mirror.store.private_state import opened_private_state
from mirror.store.registry import Store
from mirror.store.work_locks import RuleLocks
from tests.support.builders import read_blob
from tests.support.served import LAYER, REPOSITORY, TAG, put_plugin


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return mode, time of change and content of everything in a folder."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.stat()
        found[str(path)] = (status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found


async def assert_served(folder: Path) -> None:
    """Read the plugin from a folder, write to every table a visitor causes, and find the folder unchanged."""
    before = snapshot(folder)
    async with opened_private_state(folder) as state:
        async with Store.open(folder, private_state=state) as store:
            manifest = await store.get_manifest(REPOSITORY, TAG)
            assert await read_blob(store, Digest.of(LAYER), REPOSITORY) == LAYER
            await store.records.readings.record_reading(manifest.digest, "1", b"document")
            assert len(await store.token_key()) == 32
            await store.monitoring.probe_reading()
            await store.monitoring.probe_catalog()
        assert state.is_dir()
    assert not state.exists()
    assert snapshot(folder) == before


@pytest.fixture
async def left(folder: Path) -> Path:
    """A data folder whose server has stopped."""
    async with Store.open(folder) as store:
        await put_plugin(store)
        await store.token_key()
    return folder


async def test_a_folder_whose_server_has_stopped(left: Path) -> None:
    assert not list(left.glob("*-wal"))
    await assert_served(left)


@pytest.mark.parametrize("keeps", ["*", "*-wal"], ids=["with its shared memory", "without it"])
async def test_a_snapshot_that_was_taken_of_a_running_server(folder: Path, tmp_path: Path, keeps: str) -> None:
    taken = tmp_path / "snapshot"
    async with Store.open(folder) as store:
        await put_plugin(store)
        shutil.copytree(folder, taken)
    for file in taken.glob("*-shm"):
        if keeps != "*":
            file.unlink()
    assert (taken / "catalog.sqlite-wal").stat().st_size
    async with opened_private_state(taken) as state, Store.open(taken, private_state=state) as store:
        await store.get_manifest(REPOSITORY, TAG)


async def test_beside_a_running_server(folder: Path) -> None:
    async with Store.open(folder) as server:
        await put_plugin(server)
        async with opened_private_state(folder) as state, Store.open(folder, private_state=state) as store:
            await store.get_manifest(REPOSITORY, TAG)
            await put_plugin(server, REPOSITORY, Tag("later"))


async def test_an_older_folder_is_migrated_in_the_copy(old_folder: Path) -> None:
    before = snapshot(old_folder)
    async with opened_private_state(old_folder) as state, Store.open(old_folder, private_state=state) as store:
        assert (await store.monitoring.contents()).manifests
    assert snapshot(old_folder) == before


async def test_an_empty_folder_and_one_that_has_lost_its_catalog(left: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "blobs").mkdir()
    async with opened_private_state(empty) as state, Store.open(empty, private_state=state) as store:
        assert (await store.monitoring.contents()).manifests == 0
    (left / "catalog.sqlite").unlink()
    with pytest.raises(CatalogFault, match="is missing, but the data folder has content"):
        async with opened_private_state(left):
            pass


async def test_looking_for_the_lock_of_a_rule_creates_nothing(left: Path) -> None:
    before = snapshot(left)
    assert not await RuleLocks(left).is_held("nightly")
    assert snapshot(left) == before


async def test_whether_a_folder_can_be_written(left: Path, tmp_path: Path) -> None:
    assert can_write(left)
    assert can_write(tmp_path / "missing")


async def test_a_catalog_of_another_user_cannot_be_written(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = os.access

    def denied(path: Path, mode: int) -> bool:
        # Root may write to every file, so the answer is made here.
        return access(path, mode) and not (path.name == "catalog.sqlite" and mode == os.W_OK)

    monkeypatch.setattr(os, "access", denied)
    assert not can_write(left)


async def test_a_copy_that_does_not_fit_names_its_place(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_paths: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", refuse)
    with pytest.raises(StorageFull, match=r"to \$TMPDIR: No space left on device; fix: "):
        async with opened_private_state(left):
            pass
