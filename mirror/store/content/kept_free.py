"""The part of the disk that new content must leave free. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeptFree:
    """The part of the disk that new content must leave free.

    Attributes:
        size_bytes: number of bytes.
        inodes: number of inodes. On a small disk it is at most a tenth of all inodes.
    """

    size_bytes: int = 0
    inodes: int = 0
