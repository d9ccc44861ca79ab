"""What stands in a plugin's root filesystem, one thing at a time, in the order in which it is read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class EntryKind(Enum):
    """What an entry is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    HARD_LINK = "hard link"
    DEVICE = "device"
    PIPE = "pipe"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        path: as it is written there; bytes outside UTF-8 are surrogates.
        kind: what it is.
        mode: permission bits.
        size_bytes: of its content; 0 for everything but files.
        target: of a link, as it is written; of a hard link, a path from the root.
    """

    path: str
    kind: EntryKind
    mode: int
    size_bytes: int = 0
    target: str = ""


class EntryWatcher(Protocol):
    """Told of entries as they pass: for each ``begin``, then ``content`` any number of times, then ``end``."""

    def begin(self, entry: Entry) -> None:
        """An entry begins."""
        ...

    def content(self, buffer: bytes, start: int, stop: int) -> None:
        """Bytes of its content: those from ``start`` to ``stop`` of a buffer that is not to be kept."""
        ...

    def end(self) -> None:
        """The entry has passed as a whole."""
        ...
