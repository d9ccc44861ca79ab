"""The digest of files that were not hashed while they came: by another process, or by another algorithm."""

from __future__ import annotations

import asyncio
from typing import Final

from mirror.oci import Digest
from mirror.store.storage_threads import in_thread
from mirror.store.uploads.running_hashes import RunningHash
from mirror.store.uploads.upload_writer import UploadWriter

#: What is read in one hop into a thread, so that others have their turn in between.
STEP_BYTES: Final = 8 * 1024 * 1024
#: Files that are read at the same time: fewer than there are threads.
_AT_ONCE: Final = 2


class Rehashing:
    """Reads whole files in steps, a few files at a time."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def digest(self, receiving: UploadWriter, algorithm: str) -> Digest:
        """The digest of all bytes that are held. Raises StorageFault."""
        running = RunningHash(algorithm)
        async with self._turns:
            while await in_thread("read an upload", receiving.hash_on, running, STEP_BYTES):
                pass
        return running.digest
