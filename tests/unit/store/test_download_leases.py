import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci import Descriptor, Digest, Repository
from mirror.oci.errors import BlobUnknown, DigestInvalid, StorageDamaged, StorageFull
from mirror.oci.media_types import OCTET_STREAM
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import Grace
from mirror.store.content.kept_free import KeptFree
from mirror.store.registry import Store
from mirror.store.uploads.download_leases import StoreDownloadLease
from tests.support.builders import in_chunks, push_blob, read_blob
from tests.support.waiting import until
from tests.unit.store.disks import WatchedFilesystem, no_fault

NAME = Repository("a/plugin")
BLOB = b"0123456789abcdef" * 100_000
DIGEST = Digest.of(BLOB)


def nobody() -> None:
    """Ignore that the download has grown."""


async def claimed(store: Store, digest: Digest = DIGEST) -> StoreDownloadLease:
    claim = await store.downloads.claim_download(NAME, digest)
    assert claim is not None
    return claim


@pytest.fixture
async def other(store: Store, folder: Path) -> AsyncIterator[Store]:
    """Another open store on the folder, which behaves as another process."""
    async with Store.open(folder) as opened:
        yield opened


async def test_what_was_brought_and_verified_is_a_blob(store: Store, folder: Path) -> None:
    claim = await claimed(store)
    await claim.append(in_chunks(BLOB, 70_000), nobody)
    await claim.verify()
    assert (await claim.commit()).size_bytes == len(BLOB)
    await claim.release()
    assert await read_blob(store, DIGEST, NAME) == BLOB
    assert list((folder / "uploads").iterdir()) == []


async def test_what_was_brought_has_the_grace_of_fetched_content(store: Store) -> None:
    claim = await claimed(store)
    await claim.append(in_chunks(BLOB, 70_000), nobody)
    await claim.verify()
    await claim.commit()
    await claim.release()
    assert (await store.records.reviews.waiting(Grace())).reviews == {ReviewCause.FETCHED: 1}


async def test_one_writer_over_all_processes(store: Store, other: Store) -> None:
    claim = await claimed(store)
    await claim.append(in_chunks(BLOB[:1000], 100), nobody)
    assert await other.downloads.claim_download(NAME, DIGEST) is None
    assert await store.downloads.claim_download(Repository("another/name"), DIGEST) is None
    await (await claimed(other, Digest.of(b"something else"))).release()
    await claim.release()
    taken = await claimed(other)
    assert taken.offset == 1000
    await taken.release()


async def test_it_goes_on_where_another_ended(store: Store, other: Store) -> None:
    claim = await claimed(store)
    await claim.append(in_chunks(BLOB[:300_000], 70_000), nobody)
    await claim.release()
    claim = await claimed(other)
    await claim.append(in_chunks(BLOB[300_000:], 70_000), nobody)
    await claim.verify()
    await claim.commit()
    await claim.release()
    assert await read_blob(store, DIGEST, NAME) == BLOB


async def test_what_comes_can_be_read_soon_after_it_came(store: Store, other: Store) -> None:
    claim = await claimed(store)
    more: asyncio.Queue[bytes] = asyncio.Queue()
    grown = asyncio.Event()

    async def coming() -> AsyncIterator[bytes]:
        while piece := await more.get():
            yield piece

    appending = asyncio.create_task(claim.append(coming(), grown.set))
    partial = None
    for number in range(1, 4):
        more.put_nowait(b"x" * 10)
        async with asyncio.timeout(30):
            await grown.wait()
        grown.clear()
        partial = partial or await other.downloads.watch_download(DIGEST)
        assert partial is not None
        assert partial.size_bytes == 10 * number
        assert await partial.read(0, 10 * number) == b"x" * 10 * number
    more.put_nowait(b"")
    await appending
    assert partial is not None
    with pytest.raises(StorageDamaged):
        await partial.read(0, 31)
    partial.close()
    await claim.release()


async def test_what_came_before_an_error_is_kept(store: Store) -> None:
    claim = await claimed(store)

    async def broken() -> AsyncIterator[bytes]:
        yield b"a" * 10
        yield b"b" * 10
        raise ConnectionError("cable")

    with pytest.raises(ConnectionError):
        await claim.append(broken(), nobody)
    assert claim.offset == 20
    grown = asyncio.Event()
    appending = asyncio.create_task(claim.append(silent(), grown.set))
    await until(grown.is_set)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    assert claim.offset == 30
    await claim.release()


async def silent() -> AsyncIterator[bytes]:
    yield b"c" * 10
    await asyncio.Event().wait()


async def test_wrong_content_is_found_out_by_whoever_asks(store: Store, other: Store) -> None:
    claim = await claimed(store)
    await claim.append(in_chunks(b"#" * 1000, 100), nobody)
    with pytest.raises(DigestInvalid):
        await claim.verify()
    await claim.release()
    claim = await claimed(other)
    with pytest.raises(DigestInvalid):
        await claim.verify()
    await claim.drop()
    await claim.release()
    claim = await claimed(store)
    assert claim.offset == 0
    await claim.release()


async def test_who_reads_can_tell_whether_it_was_dropped(store: Store) -> None:
    claim = await claimed(store)
    await claim.append(in_chunks(BLOB, 100_000), nobody)
    kept = await store.downloads.watch_download(DIGEST)
    assert kept is not None
    assert await kept.is_current()
    await claim.verify()
    await claim.commit()
    await claim.release()
    assert await kept.is_current(), "it has become the blob"
    kept.close()

    wrong = Digest.of(b"another")
    claim = await claimed(store, wrong)
    await claim.append(in_chunks(b"#", 1), nobody)
    dropped = await store.downloads.watch_download(wrong)
    assert dropped is not None
    await claim.drop()
    await claim.release()
    await (await claimed(store, wrong)).release()
    assert not await dropped.is_current()
    dropped.close()


async def test_a_lock_that_belongs_to_no_download_any_more_is_no_claim(store: Store, folder: Path) -> None:
    """The holder may end the download between our open and our lock of the file."""
    before = await claimed(store)
    place = folder / "uploads" / f"sha256-{DIGEST.hex}"
    shutil.rmtree(place)
    after = await claimed(store)
    assert not before._receiving.is_of(before._files)
    assert after._receiving.is_of(after._files)
    await before.release()
    assert await store.downloads.claim_download(NAME, DIGEST) is None
    await after.release()


async def test_nobody_watches_what_nobody_has_begun(store: Store) -> None:
    assert await store.downloads.watch_download(DIGEST) is None


async def test_it_expires_unless_somebody_has_it(store: Store, folder: Path) -> None:
    abandoned, working = await claimed(store), await claimed(store, Digest.of(b"another"))
    await abandoned.append(in_chunks(b"begun", 5), nobody)
    await abandoned.release()
    for file in folder.glob("uploads/*/*"):
        os.utime(file, (0, 0))
    assert await store.uploads.expire(timedelta(hours=1)) == 1
    assert await store.downloads.watch_download(DIGEST) is None
    assert [place.name for place in (folder / "uploads").iterdir()] == [f"sha256-{Digest.of(b'another').hex}"]
    await working.release()


async def test_a_client_cannot_reach_it_as_an_upload(store: Store, folder: Path) -> None:
    claim = await claimed(store)
    with pytest.raises(Exception, match="has no upload"):
        await store.resume_upload(NAME, next((folder / "uploads").iterdir()).name)
    await claim.release()


async def test_a_full_disk_is_told_and_nothing_is_held(folder: Path) -> None:
    disk = WatchedFilesystem(folder)

    def full(what: str, _path: str) -> None:
        if what == "write":
            raise OSError(errno.ENOSPC, "no space left on device")

    async with Store.open(folder, filesystem=disk) as store:
        claim = await claimed(store)
        disk.fault = full
        with pytest.raises(StorageFull):
            await claim.append(in_chunks(BLOB, 100_000), nobody)
        await claim.release()
        disk.fault = no_fault
        with pytest.raises(BlobUnknown):
            await store.stat_blob(NAME, DIGEST)


async def test_a_pushed_blob_is_no_obstacle(store: Store) -> None:
    claim = await claimed(store)
    await claim.append(in_chunks(BLOB, 100_000), nobody)
    await push_blob(store, BLOB, NAME)
    await claim.verify()
    await claim.commit()
    await claim.release()
    assert await read_blob(store, DIGEST, NAME) == BLOB


async def test_one_that_nothing_came_of_leaves_nothing(store: Store, folder: Path) -> None:
    await (await claimed(store)).release()
    assert list((folder / "uploads").iterdir()) == []


async def test_one_that_has_ended_takes_nothing_from_the_next_of_its_name(store: Store, other: Store) -> None:
    ended = await claimed(store)
    await ended.drop()
    following = await claimed(other)
    await ended.release()
    await following.append(in_chunks(BLOB, 100_000), nobody)
    await following.verify()
    await following.commit()
    await following.release()
    assert await read_blob(other, DIGEST, NAME) == BLOB


async def test_a_blob_that_does_not_fit_leaves_nothing(store: Store, folder: Path) -> None:
    earlier = await claimed(store)
    await earlier.append(in_chunks(BLOB[:1000], 100), nobody)
    await earlier.release()
    claim = await claimed(store)
    assert claim.offset == 1000
    with pytest.raises(StorageFull, match="do not fit"):
        await claim.expect(2**60)
    assert await store.downloads.claim_download(NAME, DIGEST) is None
    await claim.release()
    assert list((folder / "uploads").iterdir()) == []


async def test_a_download_that_fills_the_disk_leaves_nothing(folder: Path) -> None:
    filesystem = WatchedFilesystem(folder)
    async with Store.open(folder, filesystem=filesystem) as store:
        claim = await claimed(store)
        await claim.append(in_chunks(BLOB[:1000], 100), nobody)

        def full(what: str, _path: str) -> None:
            if what == "write":
                raise OSError(errno.ENOSPC, "No space left on device")

        filesystem.fault = full
        with pytest.raises(StorageFull):
            await claim.append(in_chunks(BLOB[1000:], 100_000), nobody)
        await claim.release()
        assert list((folder / "uploads").iterdir()) == []


async def test_room_for_several_blobs_counts_only_what_is_missing(folder: Path) -> None:
    size_bytes = os.statvfs(folder.parent).f_bavail * os.statvfs(folder.parent).f_frsize
    held, begun = Digest.of(BLOB), Digest.of(b"begun")
    async with Store.open(folder) as store:
        await push_blob(store, BLOB, NAME)
        claim = await claimed(store, begun)
        await claim.append(in_chunks(BLOB, 100_000), nobody)
        await claim.release()
        large = [Descriptor(OCTET_STREAM, held, 2 * size_bytes), Descriptor(OCTET_STREAM, begun, len(BLOB) + 1)]
        await store.downloads.require_room(large)
        with pytest.raises(StorageFull):
            await store.downloads.require_room([*large, Descriptor(OCTET_STREAM, Digest.of(b"new"), 2 * size_bytes)])


async def test_downloads_of_all_processes_are_told_while_they_grow(store: Store, other: Store, folder: Path) -> None:
    assert await other.downloads.under_way() == frozenset()
    claim = await claimed(store)
    await claim.append(in_chunks(BLOB[:1000], 100), nobody)
    assert await other.downloads.under_way() == {str(DIGEST)}
    await claim.release()
    (file,) = folder.glob("uploads/*/data")
    os.utime(file, (0, 0))
    assert await other.downloads.under_way() == frozenset()


async def test_bytes_of_a_blob_that_fits_after_room_was_made_are_kept(tmp_path: Path) -> None:
    left = os.statvfs(tmp_path)
    kept_free = KeptFree(left.f_bavail * left.f_frsize // 2)
    async with Store.open(tmp_path / "data", kept_free=kept_free) as store:
        claim = await claimed(store)
        with pytest.raises(StorageFull):
            await claim.expect(2**60)
        await claim.expect(len(BLOB))
        await claim.append(in_chunks(BLOB[:1000], 100), nobody)
        await claim.release()
        again = await claimed(store)
        assert again.offset == 1000
        await again.release()
