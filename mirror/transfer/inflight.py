"""One download for each digest, whoever asks for it, in whichever process; many readers, each at its own speed.

::

    readers ──▶ Inflight ──▶ Download (a task) ──claim──▶ appends to the file, from the first source that gives it
       ▲                        │
       │                        └──no claim──▶ another process has it: watch the file grow, try to claim it again
       └──── the file, as it grows

A writer that dies lets go of its claim, and whoever waits in another process goes on where the file ends. The end of a
blob is held back from readers until its digest is known to be right.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.registry.port import Blob, ReadWriter
from mirror.runtime.retry_policy import RetryPolicy
from mirror.transfer.download import Download
from mirror.transfer.growing import GrowingBlob
from mirror.transfer.spool import Spool
from mirror.transfer.wanted import Stored, Wanted, Witness
from mirror.wire.ranges import RangeRequest, Span

#: While a source fails. A line that is gone for half a minute is waited for.
_RETRY: Final = RetryPolicy(attempts=None, longest_delay_seconds=4.0, total_seconds=30.0)
#: Downloads of one upstream that are fetched at the same time, each with a folder and open files.
MOST_FETCHED: Final = 128


class Inflight:
    """All downloads of this process.

    Args:
        local: where blobs go.
        spool: where they lie meanwhile; shared with the other processes.
        tasks: owns the downloads.
        witness: told what becomes of them.
        stored: called when a blob is in a repository.
        finish: whether a download goes on when nobody waits for it any more.
        retry: how long one is gone on with that has begun.
    """

    def __init__(
        self,
        local: ReadWriter,
        spool: Spool,
        tasks: asyncio.TaskGroup,
        witness: Witness,
        stored: Stored,
        *,
        finish: bool = True,
        retry: RetryPolicy = _RETRY,
    ) -> None:
        self._local = local
        self._spool = spool
        self._tasks = tasks
        self._witness = witness
        self._stored = stored
        self._finish = finish
        self._retry = retry
        self._places: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MOST_FETCHED))
        self._running: dict[Digest, tuple[Download, asyncio.Task[None]]] = {}

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._running)

    def find(self, repository: Repository, digest: Digest) -> Wanted | None:
        """A blob that is on its way to a repository, so that it may be asked for again without looking it up."""
        running = self._running.get(digest)
        return None if running is None else running[0].wanted.get(repository)

    @asynccontextmanager
    async def open(self, wanted: Wanted, part: RangeRequest | None = None) -> AsyncIterator[Blob]:
        """Open a blob that is not here yet, or the part of it that is asked for.

        It begins to come, or has begun because somebody else wants it, and goes on when this reader leaves.

        Raises:
            RangeInvalid: none of ``part`` exists.
            BlobUnknown: no source has it.
            UpstreamFault: the sources that may have it failed. While iterating as well, and StorageFault.
        """
        span = Span(0, wanted.size_bytes) if part is None else part.resolve(wanted.size_bytes)
        with self._joined(wanted) as download:
            await download.growth.begun()
            partial = download.growth.partial
            if partial is not None:
                yield GrowingBlob(download.growth, partial, span)
                return
        # It was here already, in another repository.
        await self._local.mount_blob(wanted.repository, wanted.digest, None)
        async with self._local.open_blob(wanted.repository, wanted.digest, part) as blob:
            yield blob

    @contextmanager
    def _joined(self, wanted: Wanted) -> Iterator[Download]:
        download, task = self._running.get(wanted.digest) or self._begin(wanted)
        if download.growth.has_failed:  # it is about to end
            download, task = self._begin(wanted)
        download.also(wanted)
        download.readers += 1
        try:
            yield download
        finally:
            download.readers -= 1
            if not download.readers:
                if task.done():
                    download.close()
                elif not self._finish and not download.growth.is_right:  # else it has only to be stored
                    self._forget(wanted.digest, download)
                    task.cancel()

    def _begin(self, wanted: Wanted) -> tuple[Download, asyncio.Task[None]]:
        download = Download(
            wanted,
            self._local,
            self._spool,
            witness=self._witness,
            stored=self._stored,
            retry=self._retry,
            places=self._places[wanted.sources[0].upstream if wanted.sources else ""],
        )
        task = self._tasks.create_task(download.run())
        self._running[wanted.digest] = download, task
        task.add_done_callback(lambda _task: self._ended(wanted.digest, download))
        return download, task

    def _ended(self, digest: Digest, download: Download) -> None:
        self._forget(digest, download)
        if not download.readers:
            download.close()

    def _forget(self, digest: Digest, download: Download) -> None:
        if digest in self._running and self._running[digest][0] is download:
            del self._running[digest]
