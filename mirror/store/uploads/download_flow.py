"""The bytes of a download on their way to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from mirror.store.storage_threads import begin_in_thread
from mirror.store.uploads.running_hashes import RunningHash
from mirror.store.uploads.upload_writer import PIECE_BYTES, UploadWriter

#: Longest time that bytes wait to be written together with later ones. After a pause of this length the next bytes are
#: written at once.
_GATHERING_SECONDS: Final = 0.02


class DownloadFlow:
    """Writes chunks in a thread: at once after a pause, else gathered for :data:`_GATHERING_SECONDS` or 1 MiB."""

    def __init__(self, receiving: UploadWriter, running: RunningHash | None, on_progress: Callable[[], object]) -> None:
        self._receiving = receiving
        self._running = running
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()
        self._chunks: list[bytes] = []
        self._gathered_bytes = 0
        self._hop: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun_at = -_GATHERING_SECONDS

    async def add(self, chunk: bytes) -> None:
        """Take a chunk. Raises StorageFault or StorageFull if an earlier chunk could not be written."""
        self._chunks.append(chunk)
        self._gathered_bytes += len(chunk)
        if self._gathered_bytes >= PIECE_BYTES:
            await self._settle()
            self._begin()
        elif self._hop is None:
            self._schedule()
        elif self._hop.done():
            await self._settle()  # raises the error of a failed write
            self._schedule()

    async def finish(self) -> None:
        """Write the gathered chunks. Raises as :meth:`add`."""
        await self._settle()
        if self._chunks:
            self._begin()
            await self._settle()

    async def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        hop, self._hop = self._hop, None
        if hop is not None:
            await hop

    def _schedule(self) -> None:
        if self._timer is None and self._chunks:
            # At most one write per interval. After a pause `at` is now.
            at = max(self._begun_at + _GATHERING_SECONDS, self._loop.time())
            self._timer = self._loop.call_at(at, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._hop is None:
            self._begin()

    def _begin(self) -> None:
        chunks, self._chunks, self._gathered_bytes = self._chunks, [], 0
        self._begun_at = self._loop.time()
        self._hop = begin_in_thread("store a download", self._receiving.write, chunks, self._running)
        self._hop.add_done_callback(self._written)

    def _written(self, hop: asyncio.Future[None]) -> None:
        if hop.cancelled() or hop.exception() is not None:
            return  # the next add() or finish() raises the error
        if self._hop is hop:
            self._hop = None
            self._schedule()
        self._on_progress()
