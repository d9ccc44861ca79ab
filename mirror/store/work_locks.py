"""Locks of long work: one process at a time may run a mirror rule, or a job of the storage, on a data folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mirror.oci.errors import Busy
from mirror.runtime.concurrency.threads import await_or_release
from mirror.runtime.files import private_files
from mirror.store.storage_threads import begin_in_thread

_PAUSES_SECONDS = (0.02, 0.1)


class WorkLocks:
    """One lock for each piece of work, a file in ``locks/`` of the data folder.

    The kernel releases the lock of a process that dies.

    Args:
        root: the data folder.
        prefix: beginning of the names of the files.
        described: the work in errors, with a place for its name.
    """

    def __init__(self, root: Path, prefix: str, described: str) -> None:
        self._folder = root / "locks"
        self._prefix = prefix
        self._described = described

    @asynccontextmanager
    async def __call__(self, name: str) -> AsyncIterator[None]:
        """Hold a lock during the block.

        Args:
            name: the name of the work: letters, digits and ``._-``.

        Raises:
            Busy: another process holds the lock.
            StorageFault: the file cannot be opened.
        """
        async with self._opened(name, _open) as descriptor:
            # is_held() holds the lock for a moment, so a busy lock is tried again before it counts as held.
            for pause_seconds in (*_PAUSES_SECONDS, None):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if pause_seconds is None:
                        raise Busy(
                            f"{self._described.format(name)} is being run by another process; "
                            "fix: wait for it, or stop it",
                            work=name,
                        ) from error
                    await asyncio.sleep(pause_seconds)
            yield

    async def is_held(self, name: str) -> bool:
        """Return True if a process holds a lock. Raises StorageFault if the file cannot be opened."""
        if not self._file(name).exists():  # not created here, because the data folder may be read-only
            return False
        async with self._opened(name, _open_existing) as descriptor:
            try:
                # A shared lock: two processes that ask at the same time do not see each other.
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @asynccontextmanager
    async def _opened(self, name: str, opened: Callable[[Path], int]) -> AsyncIterator[int]:
        described = self._described.format(name)
        opening = begin_in_thread(f"open the lock of {described}", opened, self._file(name))
        descriptor = await await_or_release(opening, release=os.close)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _file(self, name: str) -> Path:
        return self._folder / f"{self._prefix}{name}"


class RuleLocks(WorkLocks):
    """The locks of mirror rules.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, "", "mirror rule {}")


class StorageLocks(WorkLocks):
    """The locks of jobs of the storage, such as the collection. The name of no rule begins with a dot.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, ".", "the {}")


def _open(file: Path) -> int:
    private_files.make_folder(file.parent)
    return private_files.open_file(file, os.O_RDWR | os.O_CREAT)


def _open_existing(file: Path) -> int:
    return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
