"""The order in which bytes, names and rows become durable."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event

from mirror.oci import Digest, Manifest
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, manifest_of, push_blob
from tests.support.waiting import until
from tests.unit.store.disks import WatchedFilesystem


@pytest.fixture
def disk(folder: Path) -> WatchedFilesystem:
    return WatchedFilesystem(folder)


@pytest.fixture
async def watched(folder: Path, disk: WatchedFilesystem) -> AsyncIterator[Store]:
    """A store whose file changes and commits are recorded in ``disk.calls``."""
    async with Store.open(folder, filesystem=disk) as store:
        event.listen(store.services.catalog.database.writing, "commit", lambda _: disk.calls.append(("commit", "")))
        disk.calls.clear()
        yield store


def blob_name(folder: Path, digest: Digest) -> tuple[str, str]:
    blob = DataLayout(folder).blob(digest).relative_to(folder)
    return str(blob), str(blob.parent)


def an_index(number: int) -> Manifest:
    body = {"manifests": [], "annotations": {"number": str(number)}}
    return manifest_of(body, "application/vnd.oci.image.index.v1+json")


async def test_a_blob(folder: Path, disk: WatchedFilesystem, watched: Store) -> None:
    pushed = await push_blob(watched, b"x" * 3_000_000)

    blob, shard = blob_name(folder, pushed.digest)
    data = next(path for what, path in disk.calls if what == "write" and path.endswith("/data"))
    steps = [call for call in disk.calls if call[1] in {data, blob, shard, ""}]
    assert [what for what, _ in steps[:2]] == ["create", "write"]
    assert steps[-5:] == [("sync", data), ("rename", blob), ("sync", shard), ("commit", ""), ("remove", data)]


async def test_a_manifest(folder: Path, disk: WatchedFilesystem, watched: Store) -> None:
    pushed = an_index(0)
    await watched.put_manifest(REPOSITORY, pushed)

    blob, shard = blob_name(folder, pushed.digest)
    file = disk.calls[0][1]
    # sync_folder goes through sync, so that the folder shows as synced.
    assert disk.calls == [
        ("create", file),
        ("write", file),
        ("sync", file),
        ("rename", blob),
        ("sync", shard),
        ("commit", ""),
    ]
    assert not (folder / file).exists()


async def test_a_deletion_touches_no_file(disk: WatchedFilesystem, watched: Store) -> None:
    pushed = await push_blob(watched, b"content")
    disk.calls.clear()

    await watched.delete_blob(REPOSITORY, pushed.digest)

    assert disk.calls == [("commit", "")]


async def test_a_new_folder_lasts(folder: Path, tmp_path: Path) -> None:
    disk = WatchedFilesystem(folder)
    async with Store.open(folder, filesystem=disk):
        synced = {path for what, path in disk.calls if what == "sync"}
        assert synced == {".", "blobs", "blobs/sha256", "blobs/sha512", str(tmp_path)}
        assert disk.calls[-1] == ("sync", ".")  # again after the catalog was created


async def test_changes_that_are_committed_together(disk: WatchedFilesystem, watched: Store) -> None:
    """All files are renamed, then all folders are synced, and then comes the one commit."""
    begun, finish = threading.Event(), threading.Event()

    def hold_up(_connection: object) -> None:
        begun.set()
        finish.wait(30)

    manifests = [an_index(number) for number in range(5)]
    holding = asyncio.create_task(watched.services.catalog.write(hold_up))
    await asyncio.to_thread(begun.wait, 30)
    putting = [asyncio.create_task(watched.put_manifest(REPOSITORY, manifest)) for manifest in manifests]
    await until(lambda: len(watched.services.catalog._writer._waiting) >= len(manifests))
    disk.calls.clear()
    finish.set()
    await asyncio.gather(holding, *putting)

    folders = {blob_name(disk.root, manifest.digest)[1] for manifest in manifests}
    expected = [*["rename"] * len(manifests), *["sync"] * len(folders), "commit"]
    assert [what for what, _ in disk.calls] == expected
