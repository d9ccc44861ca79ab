"""Request for a backup, and the report of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from mirror.store.backup.backup_document import BackupDocument


class ByteProgress(Protocol):
    """Receives the progress of work on bytes, in any thread."""

    def expect(self, total_bytes: int) -> None:
        """Receive a number of bytes that the work has to do, beside earlier ones."""
        ...

    def advance(self, size_bytes: int) -> None:
        """Receive a number of bytes that are done."""
        ...


class CopyMethod(StrEnum):
    """The way in which content came into a backup."""

    #: A copy of the bytes.
    COPY = "copy"
    #: A copy that shares its bytes on the disk until one of both changes.
    REFLINK = "reflink"
    #: The same file under another name.
    HARD_LINK = "hard link"


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """Request for a backup.

    Attributes:
        program: version of the program.
        hard_link: True to link files instead of copying them.
        verify: True to read again what an earlier backup has copied.
        replace: True to replace a backup of another data folder.
    """

    program: str
    hard_link: bool = False
    verify: bool = False
    replace: bool = False


@dataclass(slots=True)
class BackupReport:
    """Report of a backup.

    Attributes:
        document: the document of the complete backup; None before that.
        written: number of blobs that were copied, by method.
        written_bytes: their size.
        kept: number of blobs that an earlier backup had.
        repaired: number of blobs of an earlier backup that were damaged, and copied again.
        removed: number of blobs of an earlier backup that the catalog no longer has.
        damaged: problems of content that the data folder no longer has as it was stored, by digest.
        on_same_disk: True if the backup is on the file system of the data folder.
    """

    document: BackupDocument | None = None
    written: dict[CopyMethod, int] = field(default_factory=dict)
    written_bytes: int = 0
    kept: int = 0
    repaired: int = 0
    removed: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    on_same_disk: bool = False

    @property
    def problems(self) -> Mapping[str, str]:
        """The problems in the order of the digests."""
        return dict(sorted(self.damaged.items()))
