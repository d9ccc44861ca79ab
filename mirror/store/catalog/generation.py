"""The count of changes to the catalog, shared by all processes through a mapped file, and the lock of the writers.

A writer holds the lock of the file during its transaction, and makes the count odd while it commits. A reader takes the
count and then reads the catalog. If the count was even, the result is valid as long as the count stays the same. A
writer that dies leaves the count odd. Nothing is cached then until the next writer makes the count even again. A
process that opens the store is such a writer.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from mirror.runtime.concurrency.threads import await_or_release
from mirror.runtime.files import private_files
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import begin_in_thread

_COUNT_BYTES = 8


class Generation:
    """One process's view of the count. Made by :meth:`open`.

    Attributes:
        waits: number of turns of this process that had to wait for another process.
        wait_seconds: total time of these waits.
    """

    def __init__(self, descriptor: int, count: memoryview) -> None:
        self._descriptor = descriptor
        # An aligned native 64-bit item. The processor reads and writes it in one piece, so readers need no lock.
        self._count = count
        # flock() does not keep threads of one process apart, because they share the descriptor. This lock does.
        self._turn = threading.Lock()
        self.waits = 0
        self.wait_seconds = 0.0

    @classmethod
    @asynccontextmanager
    async def open(cls, file: Path) -> AsyncIterator[Generation]:
        """Open the file of the count. Create it if it does not exist.

        Raises:
            StorageFault, StorageFull: the file cannot be opened or created.
        """
        opening = begin_in_thread("open the generation file", _open, file)
        descriptor = await await_or_release(opening, release=os.close)
        try:
            with mmap.mmap(descriptor, _COUNT_BYTES) as mapped, memoryview(mapped) as whole, whole.cast("Q") as count:
                yield cls(descriptor, count)
        finally:
            os.close(descriptor)

    @property
    def current(self) -> int:
        """The count. Odd while a change is being committed."""
        return self._count[0]

    @property
    def settled(self) -> int | None:
        """The count, or None while it is odd."""
        count = self._count[0]
        return None if count & 1 else count

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only writer over all processes during the block. Call this in a thread only, because waiting blocks.

        Raises:
            StorageFault: the file cannot be locked.
        """
        with self._turn:
            with storage_faults("lock the catalog"):
                self._lock()
            try:
                if self._count[0] & 1:
                    self._count[0] += 1  # the last writer died while it committed
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Make the count odd while a change becomes visible. Only inside :meth:`turn`."""
        self._count[0] += 1
        try:
            yield
        finally:
            self._count[0] += 1

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # held by another process: measure the wait
            asked_seconds = time.monotonic()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self.waits += 1
            self.wait_seconds += time.monotonic() - asked_seconds


def _open(file: Path) -> int:
    descriptor = private_files.open_file(file, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_size < _COUNT_BYTES:
            # Written, not extended by truncation: on a full disk, the first write to a hole in a mapped file would kill
            # the process (SIGBUS).
            os.pwrite(descriptor, bytes(_COUNT_BYTES), 0)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
