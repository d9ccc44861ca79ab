"""Locks of mirror rules: one process at a time may run a rule on a data folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mirror.oci.errors import Busy
from mirror.runtime import private_files
from mirror.runtime.concurrency.threads import await_or_release
from mirror.store.storage_threads import begin_in_thread

_PAUSES_SECONDS = (0.02, 0.1)


class RuleLocks:
    """One lock for each mirror rule, a file in ``locks/`` of the data folder.

    The kernel releases the lock of a process that dies.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "locks"

    @asynccontextmanager
    async def __call__(self, rule_name: str) -> AsyncIterator[None]:
        """Hold the lock of a rule during the block.

        Args:
            rule_name: the name of the rule: letters, digits and ``._-``.

        Raises:
            Busy: another process holds the lock.
            StorageFault: the file cannot be opened.
        """
        async with self._opened(rule_name, _open) as descriptor:
            # is_held() holds the lock for a moment, so a busy lock is tried again before it counts as held.
            for pause_seconds in (*_PAUSES_SECONDS, None):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if pause_seconds is None:
                        raise Busy(
                            f"mirror rule {rule_name} is being run by another process; fix: wait for it, or stop it",
                            rule=rule_name,
                        ) from error
                    await asyncio.sleep(pause_seconds)
            yield

    async def is_held(self, rule_name: str) -> bool:
        """Return True if a process holds the lock of a rule. Raises StorageFault if the file cannot be opened."""
        if not (self._folder / rule_name).exists():  # not created here, because the data folder may be read-only
            return False
        async with self._opened(rule_name, _open_existing) as descriptor:
            try:
                # A shared lock: two processes that ask at the same time do not see each other.
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @asynccontextmanager
    async def _opened(self, rule_name: str, opened: Callable[[Path], int]) -> AsyncIterator[int]:
        opening = begin_in_thread(f"open the lock of rule {rule_name}", opened, self._folder / rule_name)
        descriptor = await await_or_release(opening, release=os.close)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _open(file: Path) -> int:
    private_files.make_folder(file.parent)
    return private_files.open_file(file, os.O_RDWR | os.O_CREAT)


def _open_existing(file: Path) -> int:
    return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
