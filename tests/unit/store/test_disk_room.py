"""Space for new content, with the figures of disks of all kinds."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from mirror.oci.errors import DoesNotFit, StorageFault, StorageFull
from mirror.store.content.disk_room import DiskRoom
from mirror.store.content.kept_free import KeptFree

MIB = 1024 * 1024
FOLDER = Path("/data")


@dataclass(eq=False)
class Disk:
    """Figures of a disk."""

    free_bytes: int = 100 * MIB
    free_inodes: int = 5_000
    inodes: int = 100_000

    def measure(self, folder: Path) -> os.statvfs_result:
        assert folder == FOLDER
        blocks = self.free_bytes // 4096
        # bsize, frsize, blocks, bfree, bavail, files, ffree, favail, flag, namemax. Root may use more than others.
        figures = (4096, 4096, 10**6, blocks + 10**5, blocks, self.inodes, self.free_inodes + 50, self.free_inodes)
        return os.statvfs_result((*figures, 0, 255))


@dataclass(eq=False)
class File:
    """A file that is written."""

    size_bytes: int = 0


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def room(disk: Disk) -> DiskRoom:
    return DiskRoom(FOLDER, KeptFree(64 * MIB, 1000), disk.measure)


@pytest.mark.parametrize(("size_bytes", "fits"), [(0, True), (36 * MIB, True), (36 * MIB + 1, False), (2**60, False)])
def test_content_leaves_the_kept_part_free(room: DiskRoom, size_bytes: int, fits: bool) -> None:
    if fits:
        room.require(size_bytes)
        return
    with pytest.raises(StorageFull) as told:
        room.require(size_bytes)
    for part in ("do not fit: 100.0 MiB are free on the disk of the data folder", "64.0 MiB are kept free", "fix: "):
        assert part in told.value.message
    assert told.value.detail["free_bytes"] == str(100 * MIB)


@pytest.mark.parametrize(("free_bytes", "kind"), [(64 * MIB, DoesNotFit), (64 * MIB - 4096, StorageFull)])
def test_large_content_is_told_from_a_full_disk(room: DiskRoom, disk: Disk, free_bytes: int, kind: type) -> None:
    disk.free_bytes = free_bytes
    with pytest.raises(StorageFull) as told:
        room.require(1)
    assert type(told.value) is kind


def test_nothing_fits_on_a_disk_below_the_kept_part(room: DiskRoom, disk: Disk) -> None:
    disk.free_bytes = 64 * MIB - 4096
    with pytest.raises(StorageFull, match=r"^64.0 MiB are free"):
        room.require()


def test_uploads_at_the_same_time_share_the_space(room: DiskRoom, disk: Disk) -> None:
    first, second = File(), File(5 * MIB)
    with room.promised(first, 20 * MIB):
        room.require(16 * MIB)
        with pytest.raises(StorageFull, match=r"17.0 MiB do not fit: .*, 20.0 MiB of them for other"):
            room.require(17 * MIB)
        room.require(36 * MIB, first)  # the space is promised to this very file
        with pytest.raises(StorageFull):
            room.promise(second, 22 * MIB)  # 17 MiB are missing
        first.size_bytes, disk.free_bytes = 12 * MIB, 88 * MIB
        room.require(16 * MIB)  # 24 MiB beside the kept part, 8 MiB of them promised
        with pytest.raises(StorageFull):
            room.require(16 * MIB + 1)
        room.promise(second, 21 * MIB)
    room.end(second)
    room.require(24 * MIB)


@pytest.mark.parametrize(
    ("inodes", "free_inodes", "fits"),
    [
        (100_000, 1_003, True),
        (100_000, 1_002, False),
        (2_000, 203, True),
        (2_000, 202, False),
        (0, 0, True),
        (100_000, 0, False),
    ],
    ids=["enough", "too few", "tenth of a small disk", "less than a tenth", "no fixed number", "none"],
)
def test_inodes_are_kept_too(room: DiskRoom, disk: Disk, inodes: int, free_inodes: int, fits: bool) -> None:
    disk.inodes, disk.free_inodes = inodes, free_inodes
    if fits:
        room.require()
        return
    with pytest.raises(StorageFull, match=rf"^{free_inodes} of {inodes} inodes .* fix: "):
        room.require()


def test_a_disk_that_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="cannot measure the disk"):
        DiskRoom(tmp_path / "missing", KeptFree()).require()


@pytest.mark.parametrize(("size_bytes", "missing"), [(0, 0), (36 * MIB, 0), (36 * MIB + 1, 1), (100 * MIB, 64 * MIB)])
def test_the_room_that_content_lacks_is_told(room: DiskRoom, size_bytes: int, missing: int) -> None:
    assert room.missing_bytes(size_bytes) == missing


def test_space_promised_to_others_is_missing_too(room: DiskRoom) -> None:
    with room.promised(File(), 30 * MIB):
        assert room.missing_bytes(16 * MIB) == 10 * MIB


def test_a_margin_is_a_small_part_of_the_disk(room: DiskRoom, disk: Disk) -> None:
    margin_bytes = 10**6 * 4096 // 50
    assert room.missing_bytes() == margin_bytes - 36 * MIB
    disk.free_bytes = 64 * MIB + margin_bytes + 4096
    assert room.missing_bytes() == 0


def test_too_few_inodes_are_missing_room(room: DiskRoom, disk: Disk) -> None:
    disk.free_bytes, disk.free_inodes = 1000 * MIB, 1002
    assert room.missing_bytes(1) == 1
