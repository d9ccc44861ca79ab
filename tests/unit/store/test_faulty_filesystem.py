"""A disk that fails at any call, or at many: acknowledged content is safe, and every change can be repeated.

As on Linux, bytes whose sync failed can still be read, and the next sync of them succeeds, although they are not on the
disk.
"""

import asyncio
import errno
import os
import random
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mirror.oci import Digest
from mirror.oci.errors import StorageFault, StorageFull
from mirror.registry.streams import single_chunk
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_blob, read_blob
from tests.torture.inspection import inspect, leftovers
from tests.unit.store.disks import WatchedFilesystem, no_fault, open_files
from tests.unit.store.story import Story, expire

FAULTS = {errno.ENOSPC: StorageFull, errno.EIO: StorageFault}


class FaultyFilesystem(WatchedFilesystem):
    """A filesystem that fails where ``fault`` says.

    Attributes:
        dropped: inodes of files whose sync has failed and which were not written again since.
        trusted: content that was stored from such a file.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.dropped: set[int] = set()
        self.trusted: list[Path] = []

    def create(self, file: Path) -> int:
        descriptor = super().create(file)
        self.dropped.discard(os.fstat(descriptor).st_ino)
        return descriptor

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        super().truncate(descriptor, size_bytes)
        if size_bytes == 0:
            self.dropped.discard(os.fstat(descriptor).st_ino)

    def sync(self, descriptor: int) -> None:
        # Not synced for real: here the disk fails, but the power stays on.
        try:
            self._note_descriptor("sync", descriptor)
        except OSError:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode):
                self.dropped.add(found.st_ino)
            raise

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        if target.stat().st_ino in self.dropped:
            self.trusted.append(target)

    def fail_from(self, number: int, code: int, calls: int = 1) -> None:
        """Let a number of successive calls fail, beginning at a call counted from now."""
        first = len(self.calls) + number

        def fault(what: str, _path: str) -> None:
            # The call has been recorded already. Truncation never fails here: the store is not made for a disk that
            # refuses to sync, to remove and to truncate a file one after the other, and then works again.
            if first < len(self.calls) <= first + calls and what != "truncate":
                raise OSError(code, os.strerror(code))

        self.fault = fault


@pytest.fixture
def disk(folder: Path) -> FaultyFilesystem:
    return FaultyFilesystem(folder)


@pytest.fixture
async def store(folder: Path, disk: FaultyFilesystem) -> AsyncIterator[Store]:
    async with Store.open(folder, filesystem=disk) as opened:
        disk.calls.clear()
        yield opened


async def tell(store: Store, disk: FaultyFilesystem, story: Story, expected: type[StorageFault]) -> int:
    """Run a story to its end, and repeat each step that the disk made fail. Returns the number of failures."""
    said = 0
    for name, do, change in story.steps():
        try:
            await do(store)
        except StorageFault as fault:
            assert type(fault) is expected, name
            assert isinstance(fault.__cause__, OSError)
            assert os.strerror(fault.__cause__.errno or 0) in str(fault)
            said += 1
            disk.fault = no_fault
            story.known.found(await story.look(store))
            assert open_files(disk.root / "uploads") == []
            await do(store)
        if change is not None:
            story.known.done(change)
    story.known.found(await story.look(store))
    assert disk.trusted == []
    return said


@pytest.mark.parametrize("calls", [1, 10_000], ids=["once", "until it is mended"])
async def test_each_call_of_a_life_fails(
    folder: Path, disk: FaultyFilesystem, store: Store, calls: int, whole: bool
) -> None:
    code, other = FAULTS if calls == 1 else reversed(FAULTS)
    assert await tell(store, disk, Story(0), StorageFault) == 0
    kinds = {what for what, _ in disk.calls}
    assert kinds == {"make_folder", "create", "write", "sync", "rename", "remove", "remove_folder"}

    stride = 1 if whole else 2
    chosen = range(0 if calls == 1 else stride - 1, len(disk.calls), stride)
    needed = sum(not disk.calls[number][0].startswith("remove") for number in chosen)
    said = 0
    for number in chosen:
        code, other = other, code
        disk.fail_from(number, code, calls)
        said += await tell(store, disk, Story(number + 1), FAULTS[code])
        disk.fault = no_fault
        await expire(store)
        assert leftovers(folder) == []

    inspect(folder)
    assert said >= needed  # failures of clean-up calls need not be reported


@pytest.mark.parametrize("seed", range(2))
async def test_any_call_may_fail_while_many_are_at_work(
    folder: Path, disk: FaultyFilesystem, store: Store, seed: int
) -> None:
    chances = random.Random(seed)

    def fault(what: str, _path: str) -> None:
        if what != "truncate" and chances.random() < 0.1:
            code = chances.choice(list(FAULTS))
            raise OSError(code, os.strerror(code))

    async def tell_stubbornly(story: Story) -> int:
        said = 0
        for _, do, change in story.steps():
            if do is expire:
                continue  # expiry would remove the sessions that other steps use
            while True:
                try:
                    await do(store)
                    break
                except StorageFault:
                    said += 1
                    story.known.found(await story.look(store))
            if change is not None:
                story.known.done(change)
        story.known.found(await story.look(store))
        return said

    disk.fault = fault
    said = await asyncio.gather(*(tell_stubbornly(Story(number)) for number in range(4)))
    assert sum(said) > 10
    disk.fault = no_fault
    assert disk.trusted == []
    await expire(store)
    assert leftovers(folder) == []
    inspect(folder)


@pytest.mark.parametrize("code", FAULTS, ids=lambda code: errno.errorcode[code])
async def test_the_opening_fails(folder: Path, code: int) -> None:
    async with Store.open(folder, filesystem=(disk := FaultyFilesystem(folder))) as store:
        kept = await push_blob(store, b"kept")
    calls = [call for call in disk.calls if call[0] != "remove_folder"]
    opening = next(number for number, (_, path) in enumerate(calls) if path.startswith("uploads/"))

    for number in [*range(8), *range(8, opening - 8, 101), *range(opening - 8, opening)]:
        disk = FaultyFilesystem(folder)
        disk.fail_from(number, code)
        with pytest.raises(StorageFault) as raised:
            async with Store.open(folder, filesystem=disk):
                pass
        assert type(raised.value) is FAULTS[code]
        assert open_files(folder) == []

    async with Store.open(folder) as store:
        assert await read_blob(store, kept.digest) == b"kept"


async def test_a_folder_that_was_not_synced_is_changed_again(
    folder: Path, disk: FaultyFilesystem, store: Store
) -> None:
    """A second sync alone proves nothing. The name has to be written once more."""
    content = b"x" * 100_000
    blob = DataLayout(folder).blob(Digest.of(content))
    name, shard = (str(path.relative_to(folder)) for path in (blob, blob.parent))
    upload = await store.begin_upload(REPOSITORY)
    await upload.append(single_chunk(content))
    disk.fault = once(("sync", shard))
    with pytest.raises(StorageFault):
        await upload.commit(Digest.of(content))

    disk.calls.clear()
    await upload.commit(Digest.of(content))
    assert [call for call in disk.calls if call[1] in {name, shard}] == [("rename", name), ("sync", shard)]


def once(call: tuple[str, str]) -> Callable[[str, str], None]:
    """Let a call fail the first time."""
    left = [call]

    def fault(what: str, path: str) -> None:
        if (what, path) in left:
            left.remove(call)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    return fault
