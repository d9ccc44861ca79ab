"""Removable media, as the system tells them apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mirror.bundle.export.output import single_file_output
from mirror.bundle.export.output.removable_media import MOST_FAT_BYTES, is_fat, is_removable
from mirror.bundle.export.output.single_file_output import SingleFileOutput
from mirror.oci.errors import StorageFull


@pytest.mark.parametrize(
    ("device", "flag", "expected"),
    [
        ("devices/pci0/ata1/sda", "0", False),
        ("devices/pci0/ata1/sda", "1", True),
        ("devices/pci0/usb2/2-1/sdb", "0", True),
        ("devices/busb/sdb", "0", False),
    ],
    ids=["disk", "stick", "disk at the USB", "name with usb"],
)
@pytest.mark.parametrize("partition", [True, False], ids=["partition", "whole device"])
def test_a_device_is_removable(tmp_path: Path, device: str, flag: str, expected: bool, partition: bool) -> None:
    disk = tmp_path / device
    place = disk / "part1" if partition else disk
    place.mkdir(parents=True)
    (disk / "removable").write_text(f"{flag}\n")
    number = tmp_path.stat().st_dev
    devices = tmp_path / "block"
    devices.mkdir()
    (devices / f"{os.major(number)}:{os.minor(number)}").symlink_to(place)

    assert is_removable(tmp_path, devices) is expected


def test_a_filesystem_without_a_device_is_not_removable(tmp_path: Path) -> None:
    assert not is_removable(tmp_path, tmp_path / "nothing")


@pytest.mark.parametrize(
    ("filesystem", "expected"), [("vfat", True), ("msdos", True), ("exfat", False), ("ext4", False)]
)
def test_a_filesystem_is_fat(tmp_path: Path, filesystem: str, expected: bool) -> None:
    number = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 999:999 / / rw shared:1 - vfat /dev/root rw\n"
        f"23 22 {os.major(number)}:{os.minor(number)} / {tmp_path} rw - {filesystem} /dev/sdb1 rw\n"
    )

    assert is_fat(tmp_path, mounts) is expected


def test_a_filesystem_that_is_not_listed_is_not_fat(tmp_path: Path) -> None:
    assert not is_fat(tmp_path, tmp_path / "nothing")


async def test_a_file_that_fat_cannot_hold_is_told_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_file_output, "is_fat", lambda _: True)
    async with SingleFileOutput.open(tmp_path / "f.tar") as output:
        output.require_room(1)
        with pytest.raises(StorageFull, match="--split 4095MiB"):
            output.require_room(MOST_FAT_BYTES + 1)
