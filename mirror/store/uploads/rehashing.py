"""Digests of files that were not hashed as they came, or were hashed with another algorithm."""

from __future__ import annotations

import asyncio
from typing import Final

from mirror.oci import Digest
from mirror.store.storage_threads import in_thread
from mirror.store.uploads.running_hashes import RunningHash
from mirror.store.uploads.upload_writer import UploadWriter

#: Bytes that are read in one hop into a thread. Other work of the threads has its turn between two steps.
STEP_BYTES: Final = 8 * 1024 * 1024
#: Files that are read at the same time. Fewer than there are threads, which do other work too.
_AT_ONCE: Final = 2


class Rehashing:
    """Hashes whole files in steps, at most :data:`_AT_ONCE` files at a time."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def digest(self, receiving: UploadWriter, algorithm: str) -> Digest:
        """Read all bytes that an upload holds and return their digest. Raises StorageFault."""
        running = RunningHash(algorithm)
        async with self._turns:
            while await in_thread("read an upload", receiving.hash_on, running, STEP_BYTES):
                pass
        return running.digest
