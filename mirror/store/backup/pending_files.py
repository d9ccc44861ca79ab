"""Files that are written under other names, synced together, and then get their names. All calls block."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from mirror.store.content.filesystem import Filesystem

#: Files, and bytes, that are synced together. The first sync of several makes most of the others cheap.
_MOST_FILES: Final = 64
_MOST_BYTES: Final = 64 * 1024 * 1024


class PendingFiles:
    """Files that are not durable yet. Leaving the block without :meth:`finish` leaves no file without its name.

    Args:
        filesystem: changes the files.
    """

    def __init__(self, filesystem: Filesystem) -> None:
        self._filesystem = filesystem
        self._waiting: list[tuple[int, Path, Path]] = []
        self._waiting_bytes = 0
        self._folders: set[Path] = set()

    def __enter__(self) -> PendingFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for descriptor, partial, _ in self._waiting:
            os.close(descriptor)
            with suppress(OSError):
                self._filesystem.remove(partial)

    def add(self, descriptor: int, partial: Path, file: Path, size_bytes: int) -> None:
        """Take over a written file, with its open descriptor. Raises OSError."""
        self._waiting.append((descriptor, partial, file))
        self._waiting_bytes += size_bytes
        if len(self._waiting) >= _MOST_FILES or self._waiting_bytes >= _MOST_BYTES:
            self._settle()

    def finish(self) -> None:
        """Make all files durable under their names. Raises OSError."""
        self._settle()
        folders, self._folders = self._folders, set()
        for folder in folders:
            sync_folder(self._filesystem, folder)

    def _settle(self) -> None:
        for descriptor, _, _ in self._waiting:
            self._filesystem.sync(descriptor)
        while self._waiting:
            descriptor, partial, file = self._waiting[-1]
            self._filesystem.rename(partial, file)
            self._waiting.pop()
            os.close(descriptor)
            self._folders.add(file.parent)
        self._waiting_bytes = 0


def sync_folder(filesystem: Filesystem, folder: Path) -> None:
    """Make the names in a folder durable, if its file system can do that. Raises OSError."""
    try:
        filesystem.sync_folder(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems for drives sync no folders
            raise
