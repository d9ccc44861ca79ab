"""One download for each digest in all processes, with many readers, each at its own speed.

::

    readers ──▶ ActiveDownloads ──▶ SharedDownload (a task) ──lease──▶ appends to the file, from the first source
       ▲                                  │
       │                                  └──no lease──▶ follows the file of another process, tries the lease again
       └──── the file, as it grows

The lease of a writer that dies is free, and another process that waits goes on where the file ends. The end of a blob
is held back from readers until its digest is verified.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from mirror.oci import Digest, Repository
from mirror.registry.port import Blob, ReadWriter
from mirror.runtime.retry_policy import RetryPolicy
from mirror.transfer.blob_request import BlobRequest, DownloadObserver, Stored
from mirror.transfer.download_progress import GrowingBlob
from mirror.transfer.partial_store import PartialStore
from mirror.transfer.shared_download import SharedDownload
from mirror.wire.ranges import RangeRequest, Span

#: While a source fails. A line that is gone for half a minute is waited for.
_RETRY: Final = RetryPolicy(attempts=None, longest_delay_seconds=4.0, total_seconds=30.0)
#: Downloads of one upstream that are fetched at the same time, each with a folder and open files.
MOST_FETCHED: Final = 128


class ActiveDownloads:
    """All downloads of this process.

    Args:
        local: the registry that blobs go to.
        partials: gives leases, and keeps what has come; shared by all processes.
        tasks: owns the downloads.
        observer: told of bytes and failures.
        on_stored: called when a repository has a blob.
        finish: whether a download goes on when its last reader has left.
        retry: how long a download that has begun goes on while its sources fail.
    """

    def __init__(
        self,
        local: ReadWriter,
        partials: PartialStore,
        tasks: asyncio.TaskGroup,
        observer: DownloadObserver,
        on_stored: Stored,
        *,
        finish: bool = True,
        retry: RetryPolicy = _RETRY,
    ) -> None:
        self._local = local
        self._partials = partials
        self._tasks = tasks
        self._observer = observer
        self._on_stored = on_stored
        self._finish = finish
        self._retry = retry
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MOST_FETCHED))
        self._running: dict[Digest, tuple[SharedDownload, asyncio.Task[None]]] = {}

    @property
    def count(self) -> int:
        """Downloads under way."""
        return len(self._running)

    def find(self, repository: Repository, digest: Digest) -> BlobRequest | None:
        """The request of a repository for a blob that is being downloaded for it; None where there is none."""
        running = self._running.get(digest)
        return None if running is None else running[0].requests.get(repository)

    @asynccontextmanager
    async def open(self, request: BlobRequest, part: RangeRequest | None = None) -> AsyncIterator[Blob]:
        """Open a blob that is not stored yet, or a part of it.

        The download begins, or has begun for another reader, and goes on when this reader leaves.

        Raises:
            RangeInvalid: none of ``part`` exists.
            BlobUnknown: no source has it.
            UpstreamFault: the sources that may have it failed. While iterating as well, and StorageFault.
        """
        span = Span(0, request.size_bytes) if part is None else part.resolve(request.size_bytes)
        with self._reader(request) as download:
            await download.progress.wait_until_readable()
            partial = download.progress.partial
            if partial is not None:
                yield GrowingBlob(download.progress, partial, span)
                return
        # Another repository had the blob already.
        await self._local.mount_blob(request.repository, request.digest, None)
        async with self._local.open_blob(request.repository, request.digest, part) as blob:
            yield blob

    @contextmanager
    def _reader(self, request: BlobRequest) -> Iterator[SharedDownload]:
        download, task = self._running.get(request.digest) or self._start(request)
        if download.progress.has_failed:  # that download is about to end
            download, task = self._start(request)
        download.add(request)
        download.readers += 1
        try:
            yield download
        finally:
            download.readers -= 1
            if not download.readers:
                if task.done():
                    download.close()
                elif not self._finish and not download.progress.is_verified:  # else the blob has only to be stored
                    self._forget(request.digest, download)
                    task.cancel()

    def _start(self, request: BlobRequest) -> tuple[SharedDownload, asyncio.Task[None]]:
        download = SharedDownload(
            request,
            self._local,
            self._partials,
            observer=self._observer,
            on_stored=self._on_stored,
            retry=self._retry,
            slots=self._slots[request.sources[0].upstream if request.sources else ""],
        )
        task = self._tasks.create_task(download.run())
        self._running[request.digest] = download, task
        task.add_done_callback(lambda _task: self._on_end(request.digest, download))
        return download, task

    def _on_end(self, digest: Digest, download: SharedDownload) -> None:
        self._forget(digest, download)
        if not download.readers:
            download.close()

    def _forget(self, digest: Digest, download: SharedDownload) -> None:
        if digest in self._running and self._running[digest][0] is download:
            del self._running[digest]
