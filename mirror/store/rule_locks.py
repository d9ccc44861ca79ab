"""Locks that keep a job to one process at a time on a data folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mirror.oci.errors import Busy
from mirror.runtime import private_files
from mirror.runtime.concurrency.threads import await_or_release
from mirror.store.storage_threads import begin_in_thread

_PAUSES_SECONDS = (0.02, 0.1)


class RuleLocks:
    """One lock a mirror rule, in ``locks/`` of the data folder. The kernel drops the lock of a process that dies.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "locks"

    @asynccontextmanager
    async def __call__(self, rule_name: str) -> AsyncIterator[None]:
        """Hold the rule's lock.

        Args:
            rule_name: letters, digits and ``._-``.

        Raises:
            Busy: another process holds it. StorageFault: the file cannot be opened.
        """
        async with self._opened(rule_name) as descriptor:
            # Who asks whether it is held, holds it for a moment.
            for pause_seconds in (*_PAUSES_SECONDS, None):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if pause_seconds is None:
                        raise Busy(
                            f"mirror rule {rule_name} is being run by another process: wait for it, or stop it",
                            rule=rule_name,
                        ) from error
                    await asyncio.sleep(pause_seconds)
            yield

    async def is_held(self, rule_name: str) -> bool:
        """Tell whether a process holds the rule's lock just now. Raises StorageFault: the file cannot be opened."""
        async with self._opened(rule_name) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @asynccontextmanager
    async def _opened(self, rule_name: str) -> AsyncIterator[int]:
        opening = begin_in_thread(f"open the lock of rule {rule_name}", _open, self._folder / rule_name)
        descriptor = await await_or_release(opening, release=os.close)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _open(file: Path) -> int:
    private_files.make_folder(file.parent)
    return private_files.open_file(file, os.O_RDWR | os.O_CREAT)
