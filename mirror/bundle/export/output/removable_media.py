"""Removable media, such as USB sticks: they are slow, and some lose bytes without a word."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_DEVICES: Final = Path("/sys/dev/block")


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


def _is_set(flag: Path) -> bool:
    with suppress(OSError):
        return flag.read_text().strip() == "1"
    return False
