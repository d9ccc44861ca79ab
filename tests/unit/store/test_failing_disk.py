"""Each file change fails once in each way: nothing is left half-done, and the next try succeeds."""

import asyncio
import errno
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete

from mirror.oci import Descriptor, Digest, Tag
from mirror.oci.errors import BlobUnknown, NotFound, StorageFault, StorageFull, UploadUnknown
from mirror.registry.streams import single_chunk
from mirror.store.catalog.tables.content_tables import blobs
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from tests.support.builders import OTHER, REPOSITORY, in_chunks, manifest_of, push_blob, read_blob
from tests.unit.store.disks import WatchedFilesystem, blob_files, no_fault, open_files, upload_files

CONTENT = bytes(range(256)) * 12_000
DIGEST = Digest.of(CONTENT)
INDEX = manifest_of({"manifests": []}, "application/vnd.oci.image.index.v1+json")
FAULTS = [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, StorageFault)]


class Push:
    """An action on the store, and a check if it is done."""

    digest = DIGEST

    async def do(self, store: Store) -> None:
        upload = await store.begin_upload(REPOSITORY)
        await upload.append(in_chunks(CONTENT, 100_000))
        await upload.commit(DIGEST)

    async def look(self, store: Store) -> Descriptor:
        return await store.stat_blob(REPOSITORY, DIGEST)


class Bring(Push):
    async def do(self, store: Store) -> None:
        lease = await store.downloads.claim_download(REPOSITORY, DIGEST)
        assert lease is not None
        try:
            await lease.append(single_chunk(CONTENT[lease.offset :]), lambda: None)
            await lease.verify()
            await lease.commit()
        finally:
            await lease.release()


class Put(Push):
    digest = INDEX.digest

    async def do(self, store: Store) -> None:
        await store.put_manifest(REPOSITORY, INDEX, [Tag("latest")])

    async def look(self, store: Store) -> Descriptor:
        return await store.resolve(REPOSITORY, Tag("latest"))


WORK = [Push(), Bring(), Put()]


@pytest.fixture
def disk(folder: Path) -> WatchedFilesystem:
    return WatchedFilesystem(folder)


@pytest.fixture
async def store(folder: Path, disk: WatchedFilesystem) -> AsyncIterator[Store]:
    async with Store.open(folder, filesystem=disk) as opened:
        disk.calls.clear()
        yield opened


def fail_at(disk: WatchedFilesystem, number: int, code: int) -> None:
    """Let one change fail: the one with this number, counted from now."""
    numbers = itertools.count()

    def fault(_what: str, _path: str) -> None:
        if next(numbers) == number:
            raise OSError(code, errno.errorcode[code])

    disk.fault = fault


@pytest.mark.parametrize(("code", "expected"), FAULTS, ids=["ENOSPC", "EDQUOT", "EIO"])
@pytest.mark.parametrize("work", WORK, ids=lambda work: type(work).__name__)
async def test_any_change_that_is_needed_may_fail(
    folder: Path, disk: WatchedFilesystem, store: Store, work: Push, code: int, expected: type[StorageFault]
) -> None:
    await work.do(store)
    needed = [what for what, _ in disk.calls if not what.startswith("remove")]
    assert len(needed) >= 5
    await (store.delete_manifest if isinstance(work, Put) else store.delete_blob)(REPOSITORY, work.digest)
    DataLayout(folder).blob(work.digest).unlink()
    await forget_content(store)

    for number in range(len(needed)):
        fail_at(disk, number, code)
        with pytest.raises(StorageFault) as raised:
            await work.do(store)

        assert type(raised.value) is expected
        assert isinstance(raised.value.__cause__, OSError)
        with pytest.raises(NotFound):
            await work.look(store)
        assert blob_files(folder) == []
        assert open_files(folder / "uploads") == []
        disk.fault = no_fault
        await store.uploads.expire(timedelta(days=-1))
        assert upload_files(folder) == []

    await work.do(store)
    assert (await work.look(store)).digest == work.digest


@pytest.mark.parametrize("work", WORK, ids=lambda work: type(work).__name__)
async def test_tidying_up_may_fail(folder: Path, disk: WatchedFilesystem, store: Store, work: Push) -> None:
    def fault(what: str, _path: str) -> None:
        if what.startswith("remove"):
            raise OSError(errno.EIO, "EIO")

    disk.fault = fault
    await work.do(store)

    assert (await work.look(store)).digest == work.digest
    disk.fault = no_fault
    await store.uploads.expire(timedelta(days=-1))
    assert upload_files(folder) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
async def test_an_append_that_fails_leaves_the_upload_as_it_was(
    disk: WatchedFilesystem, store: Store, code: int
) -> None:
    upload = await store.begin_upload(REPOSITORY)
    await upload.append(single_chunk(CONTENT[:500_000]))
    fail_at(disk, 1, code)  # the second piece

    with pytest.raises(StorageFault):
        await upload.append(in_chunks(CONTENT[500_000:], 100_000))

    upload = await store.resume_upload(REPOSITORY, upload.id)
    assert upload.offset == 500_000
    await upload.append(single_chunk(CONTENT[500_000:]))
    await upload.commit(DIGEST)
    assert await read_blob(store, DIGEST) == CONTENT


async def test_a_client_that_vanishes_from_a_full_disk(disk: WatchedFilesystem, store: Store) -> None:
    async def vanishing() -> AsyncIterator[bytes]:
        yield CONTENT[:1_500_000]
        raise ConnectionResetError

    upload = await store.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"first"))
    fail_at(disk, 0, errno.ENOSPC)

    with pytest.raises(ConnectionResetError):
        await upload.append(vanishing())

    assert upload.offset == (await store.resume_upload(REPOSITORY, upload.id)).offset == 5


async def test_a_caller_that_is_cancelled_while_the_disk_is_full(disk: WatchedFilesystem, store: Store) -> None:
    waiting = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield CONTENT[:1_500_000]
        waiting.set()
        await asyncio.Event().wait()

    upload = await store.begin_upload(REPOSITORY)
    fail_at(disk, 0, errno.ENOSPC)
    task = asyncio.create_task(upload.append(stalling()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert upload.offset == (await store.resume_upload(REPOSITORY, upload.id)).offset == 0


async def test_bytes_that_could_not_be_synced_are_never_tried_again(disk: WatchedFilesystem, store: Store) -> None:
    upload = await store.begin_upload(REPOSITORY)
    await upload.append(single_chunk(CONTENT))
    fail_at(disk, 0, errno.EIO)
    with pytest.raises(StorageFault):
        await upload.commit(DIGEST)

    with pytest.raises(UploadUnknown):
        await upload.commit(DIGEST)


async def test_a_catalog_without_room_leaves_the_upload_to_be_committed_again(folder: Path, store: Store) -> None:
    refused = None
    with store.services.catalog.database.writing.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # as many pages as there are
    for number in range(500):
        content = b"%d" % number * 1000
        upload = await store.begin_upload(REPOSITORY)
        await upload.append(single_chunk(content))
        try:
            await upload.commit(Digest.of(content))
        except StorageFull:
            refused = content
            break
    assert refused is not None
    digest = Digest.of(refused)
    with pytest.raises(BlobUnknown):
        await store.stat_blob(REPOSITORY, digest)
    assert digest.hex not in blob_files(folder)

    with store.services.catalog.database.writing.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    upload = await store.resume_upload(REPOSITORY, upload.id)
    await upload.commit(digest)
    assert await read_blob(store, digest) == refused
    assert upload_files(folder) == []


async def test_a_refused_copy_takes_nothing_from_who_holds_the_content(
    folder: Path, disk: WatchedFilesystem, store: Store
) -> None:
    await push_blob(store, CONTENT, OTHER)
    upload = await store.begin_upload(REPOSITORY)
    await upload.append(single_chunk(CONTENT))
    fail_at(disk, 2, errno.ENOSPC)  # the sync of the folder, after the file was renamed

    with pytest.raises(StorageFull):
        await upload.commit(DIGEST)

    assert await read_blob(store, DIGEST, OTHER) == CONTENT
    assert blob_files(folder) == [DIGEST.hex]


async def forget_content(store: Store) -> None:
    def forget(connection: Connection) -> None:
        connection.execute(delete(blobs))

    await store.services.catalog.write(forget)
