"""Removable media, such as USB sticks: they are slow, and some lose bytes without a word."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_DEVICES: Final = Path("/sys/dev/block")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_FAT: Final = frozenset({"vfat", "msdos"})
#: Largest file on FAT32, the filesystem of most USB sticks.
MOST_FAT_BYTES: Final = 2**32 - 1


def is_removable(folder: Path, devices: Path = _DEVICES) -> bool:
    """Return True if a folder is on a removable medium, as far as the system tells.

    Args:
        folder: the folder.
        devices: folder of the system with a link for each block device.
    """
    with suppress(OSError):
        number = folder.stat().st_dev
        device = (devices / f"{os.major(number)}:{os.minor(number)}").resolve(strict=True)
        # A disk at the USB says "not removable", and a partition has the file in the folder of its disk.
        flags = [each / "removable" for each in (device, device.parent)]
        return any(part.startswith("usb") for part in device.parts) or any(_is_set(flag) for flag in flags)
    return False


def is_fat(folder: Path, mounts: Path = _MOUNTS) -> bool:
    """Return True if a folder is on a FAT filesystem, which holds no files beyond :data:`MOST_FAT_BYTES`.

    Args:
        folder: the folder.
        mounts: file of the system with a line for each mounted filesystem.
    """
    with suppress(OSError, IndexError):
        number = folder.stat().st_dev
        for line in mounts.read_text(errors="replace").splitlines():
            mount, _, filesystem = line.partition(" - ")
            if mount.split()[2] == f"{os.major(number)}:{os.minor(number)}":
                return filesystem.split()[0] in _FAT
    return False


def _is_set(flag: Path) -> bool:
    with suppress(OSError):
        return flag.read_text().strip() == "1"
    return False
