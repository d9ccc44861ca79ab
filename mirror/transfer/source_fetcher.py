"""Fetching the bytes of one blob from the sources that may have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from mirror.oci.errors import BlobUnknown, MirrorError, NotFound, UpstreamFault, UpstreamProtocolError
from mirror.registry.port import Unverified
from mirror.registry.streams import count_chunks
from mirror.runtime.retry_policy import RetryPolicy
from mirror.transfer.blob_request import BlobRequest, DownloadObserver, Source
from mirror.transfer.download_progress import DownloadProgress
from mirror.transfer.partial_store import DownloadLease
from mirror.wire.ranges import RangeRequest


class SourceFetcher:
    """Asks the sources of a blob for what is missing of it.

    Args:
        request: names the blob and its first sources.
        progress: how much has come.
        observer: told of bytes and failures.
        retry: how long sources are asked again while they fail.

    Attributes:
        upstream: the upstream that gave bytes last; empty: none has yet.
    """

    def __init__(
        self, request: BlobRequest, progress: DownloadProgress, observer: DownloadObserver, retry: RetryPolicy
    ) -> None:
        self.upstream = ""
        self._digest = request.digest
        self._progress = progress
        self._observer = observer
        self._retry = retry
        self._sources = dict.fromkeys(request.sources)

    def add(self, sources: Iterable[Source]) -> None:
        """Add sources, which are asked after the earlier ones."""
        self._sources |= dict.fromkeys(sources)

    async def fetch_rest(self, lease: DownloadLease, begin: Callable[[DownloadLease], None]) -> None:
        """Ask the sources, in their order and again, until one has given the rest.

        Args:
            lease: takes the bytes.
            begin: called when a source answers; readers may begin.

        Raises:
            UpstreamFault, NotFound: no source gives the rest.
        """
        loop = asyncio.get_running_loop()
        failures, delays, heard_at = 0, self._retry.delays(), loop.time()
        while True:
            before = lease.offset
            error = await self._ask_sources(lease, begin)
            if error is None:
                return
            if lease.offset > before:
                failures, delays, heard_at = 0, self._retry.delays(), loop.time()
            failures, delay_seconds = failures + 1, next(delays)
            # What nobody has been given a byte of is told at once: there may be another registry to ask.
            begun = self._progress.partial is not None
            elapsed_seconds = loop.time() + delay_seconds - heard_at
            if not begun or not error.temporary or not self._retry.allows_another(failures, elapsed_seconds):
                raise error
            await asyncio.sleep(delay_seconds)

    async def _ask_sources(self, lease: DownloadLease, begin: Callable[[DownloadLease], None]) -> MirrorError | None:
        """Ask each source once. Returns the error why none of them gave all of the rest; None where one did."""
        worst: MirrorError | None = None
        for source in tuple(self._sources):
            before = lease.offset
            try:
                await self._fetch_from(source, lease, begin)
                if lease.offset == self._progress.size_bytes:
                    return None
                raise UpstreamProtocolError(
                    f"upstream {source.upstream}: {self._digest} ended after {lease.offset} bytes"
                )
            except (UpstreamFault, NotFound) as error:
                if not isinstance(error, NotFound):
                    self._observer.failed(source.upstream, error)
                if isinstance(error, UpstreamProtocolError) and lease.offset > before:
                    self._progress.fail(error)
                    await lease.drop()
                    raise
                if worst is None or (isinstance(worst, NotFound) and not isinstance(error, NotFound)):
                    worst = error
        return worst or BlobUnknown(f"no upstream has {self._digest}", digest=self._digest)

    async def _fetch_from(self, source: Source, lease: DownloadLease, begin: Callable[[DownloadLease], None]) -> None:
        part = RangeRequest(lease.offset, None) if lease.offset else None
        async with source.registry.open_blob(source.repository, self._digest, part) as content:
            if content.size_bytes != self._progress.size_bytes:
                raise UpstreamProtocolError(
                    f"upstream {source.upstream} has {self._digest} with {content.size_bytes} bytes, "
                    f"it should be {self._progress.size_bytes}",
                    digest=self._digest,
                )
            self.upstream = source.upstream
            begin(lease)
            chunks: AsyncIterator[bytes] = content.unverified() if isinstance(content, Unverified) else aiter(content)
            taken = count_chunks(chunks, lambda size_bytes: self._observer.received(source.upstream, size_bytes))
            await lease.append(taken, self._progress.update)
