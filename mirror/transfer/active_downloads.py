"""Shared downloads: one download of a digest among all processes, with many readers, each reading at its own speed.

::

    readers ──▶ ActiveDownloads ──▶ SharedDownload (a task) ──lease──▶ appends to the file, from the first source
       ▲                                  │
       │                                  └──no lease──▶ follows the file of another process, tries the lease again
       └──── the file, as it grows

The lease of a writer is free once the writer has died. Another waiting process then continues at the end of the file.
The end of a blob is held back from readers until the digest is verified (ADR 10).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from mirror.oci import Digest, Repository
from mirror.registry.port import Blob
from mirror.runtime.retry_policy import RetryPolicy
from mirror.transfer.blob_request import BlobRequest, DownloadObserver, LocalBlobs, MakeRoom, Stored, no_room
from mirror.transfer.download_progress import GrowingBlob
from mirror.transfer.partial_store import PartialStore
from mirror.transfer.shared_download import SharedDownload
from mirror.wire.ranges import RangeRequest, Span

#: Retries while the sources of a started download fail. A connection lost for up to 30 s does not end the download.
_RETRY: Final = RetryPolicy(attempts=None, longest_delay_seconds=4.0, total_seconds=30.0)
#: Simultaneous downloads from one upstream. The bound exists because each has a folder and open files.
MOST_FETCHED: Final = 128


class ActiveDownloads:
    """All downloads of this process.

    Args:
        local: registry the blobs are stored in.
        partials: store of leases and partial downloads, shared by all processes.
        tasks: task group that owns the downloads.
        observer: receiver of received bytes and failures.
        on_stored: called when a repository holds a blob.
        finish: True to continue a download after its last reader has left.
        retry: bounds on the retries of a started download while its sources fail.
        make_room: frees space for a blob that does not fit on the disk.
    """

    def __init__(
        self,
        local: LocalBlobs,
        partials: PartialStore,
        tasks: asyncio.TaskGroup,
        observer: DownloadObserver,
        on_stored: Stored,
        *,
        finish: bool = True,
        retry: RetryPolicy = _RETRY,
        make_room: MakeRoom = no_room,
    ) -> None:
        self._local = local
        self._partials = partials
        self._tasks = tasks
        self._observer = observer
        self._on_stored = on_stored
        self._finish = finish
        self._retry = retry
        self._make_room = make_room
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MOST_FETCHED))
        self._running: dict[Digest, tuple[SharedDownload, asyncio.Task[None]]] = {}

    @property
    def count(self) -> int:
        """Number of downloads under way."""
        return len(self._running)

    def find(self, repository: Repository, digest: Digest) -> BlobRequest | None:
        """Return the request of a repository for a blob under download. None if there is no such request."""
        running = self._running.get(digest)
        return None if running is None else running[0].requests.get(repository)

    @asynccontextmanager
    async def open(self, request: BlobRequest, part: RangeRequest | None = None) -> AsyncIterator[Blob]:
        """Open a blob, or a part of a blob, which is not stored yet.

        Starts the download or joins a running one. The download continues when this reader leaves, unless ``finish`` is
        False and this was the last reader.

        Raises:
            RangeInvalid: ``part`` lies outside the blob.
            BlobUnknown: no source has the blob.
            UpstreamFault: the sources that may have the blob failed. Also raised while iterating, as is StorageFault.
        """
        span = Span(0, request.size_bytes) if part is None else part.resolve(request.size_bytes)
        with self._reader(request) as download:
            await download.progress.wait_until_readable()
            partial = download.progress.partial
            if partial is not None:
                yield GrowingBlob(download.progress, partial, span)
                return
        # Nothing was downloaded, because the blob was stored already, in another repository or by another process.
        await self._local.mount_blob(request.repository, request.digest, None)
        async with self._local.open_blob(request.repository, request.digest, part) as blob:
            yield blob

    async def settle(self, request: BlobRequest) -> None:
        """Download a blob, or join its download, and wait until the blob is stored or the download has failed."""
        with self._reader(request):
            await asyncio.wait([self._running[request.digest][1]])

    @contextmanager
    def _reader(self, request: BlobRequest) -> Iterator[SharedDownload]:
        download, task = self._running.get(request.digest) or self._start(request)
        # A failed download stays registered until its task has ended. A new reader starts over instead of getting
        # the old error.
        if download.progress.has_failed:
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
                # A verified blob only has to be stored, so its download is never cancelled.
                elif not self._finish and not download.progress.is_verified:
                    # Forget first: a reader that comes during the cancellation must start a new download.
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
            make_room=self._make_room,
            slots=self._slots[request.sources[0].upstream if request.sources else ""],
        )
        # The application's task group owns the download: no request's cancellation ends it for the other readers.
        task = self._tasks.create_task(download.run())
        self._running[request.digest] = download, task
        task.add_done_callback(lambda _task: self._on_end(request.digest, download))
        return download, task

    def _on_end(self, digest: Digest, download: SharedDownload) -> None:
        self._forget(digest, download)
        if not download.readers:
            download.close()

    def _forget(self, digest: Digest, download: SharedDownload) -> None:
        # A newer download of the same digest may have taken the place of this one.
        if digest in self._running and self._running[digest][0] is download:
            del self._running[digest]
