"""Removable media, as the system tells them apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mirror.bundle.export.output.removable_media import is_removable


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
