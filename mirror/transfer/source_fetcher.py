"""Fetching of one blob from the sources that may have it."""

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
    """Asks the sources of a blob for its missing bytes.

    Args:
        request: names the blob and its first sources.
        progress: progress of the download.
        observer: receiver of received bytes and failures.
        retry: bounds on the retries while sources fail.

    Attributes:
        upstream: name of the upstream which last delivered bytes. Empty if no upstream has.
    """

    def __init__(
        self, request: BlobRequest, progress: DownloadProgress, observer: DownloadObserver, retry: RetryPolicy
    ) -> None:
        self.upstream = ""
        self._repository = request.repository
        self._digest = request.digest
        self._progress = progress
        self._observer = observer
        self._retry = retry
        self._sources = dict.fromkeys(request.sources)

    def add(self, sources: Iterable[Source]) -> None:
        """Add sources. They are asked after the earlier ones."""
        self._sources |= dict.fromkeys(sources)

    async def fetch_rest(self, lease: DownloadLease, begin: Callable[[DownloadLease], None]) -> None:
        """Ask the sources in order, and repeatedly, until the missing bytes have been received.

        Args:
            lease: lease to append the bytes to.
            begin: called when a source answers, so readers may begin.

        Raises:
            UpstreamFault, NotFound: no source delivers the missing bytes.
        """
        loop = asyncio.get_running_loop()
        failures, delays, heard_at = 0, self._retry.delays(), loop.time()
        while True:
            before = lease.offset
            error = await self._ask_sources(lease, begin)
            if error is None:
                return
            # Only failures without progress in between count: a line that breaks often may still deliver the blob.
            if lease.offset > before:
                failures, delays, heard_at = 0, self._retry.delays(), loop.time()
            failures, delay_seconds = failures + 1, next(delays)
            # If no reader got a byte yet, fail at once: the client may have another registry to ask.
            begun = self._progress.partial is not None
            elapsed_seconds = loop.time() + delay_seconds - heard_at
            if not begun or not error.temporary or not self._retry.allows_another(failures, elapsed_seconds):
                raise error
            await asyncio.sleep(delay_seconds)

    async def _ask_sources(self, lease: DownloadLease, begin: Callable[[DownloadLease], None]) -> MirrorError | None:
        """Ask each source once. Returns None if all missing bytes were received, else the most serious error."""
        worst: MirrorError | None = None
        for source in tuple(self._sources):
            before = lease.offset
            try:
                await self._fetch_from(source, lease, begin)
                if lease.offset == self._progress.size_bytes:
                    return None
                raise UpstreamProtocolError(
                    f"upstream {source.upstream}: {self._digest} ended after {lease.offset} of "
                    f"{self._progress.size_bytes} bytes"
                )
            except (UpstreamFault, NotFound) as error:
                # A missing blob is an answer, not a failure of the upstream.
                if not isinstance(error, NotFound):
                    self._observer.failed(source.upstream, error)
                # Bytes of a source that violates the protocol cannot be trusted. No other source may continue them.
                if isinstance(error, UpstreamProtocolError) and lease.offset > before:
                    self._progress.fail(error)
                    await lease.drop()
                    raise
                # A failed source may have the blob, so its error is worth more than "not found" of another source.
                if worst is None or (isinstance(worst, NotFound) and not isinstance(error, NotFound)):
                    worst = error
        return worst or BlobUnknown(f"no upstream has {self._digest}", digest=self._digest)

    async def _fetch_from(self, source: Source, lease: DownloadLease, begin: Callable[[DownloadLease], None]) -> None:
        part = RangeRequest(lease.offset, None) if lease.offset else None
        size_bytes = self._progress.size_bytes
        async with source.registry.open_blob(source.repository, self._digest, part, size_bytes) as content:
            if content.size_bytes != size_bytes:
                raise UpstreamProtocolError(
                    f"upstream {source.upstream} offers {self._digest} with {content.size_bytes} bytes, "
                    f"but its manifest says {size_bytes} bytes",
                    digest=self._digest,
                )
            self.upstream = source.upstream
            begin(lease)
            # The lease verifies the whole blob at the end. Verifying here as well would hash the bytes twice and hold
            # each piece back until the next one arrives.
            chunks: AsyncIterator[bytes] = content.unverified() if isinstance(content, Unverified) else aiter(content)
            taken = count_chunks(
                chunks, lambda count: self._observer.received(source.upstream, self._repository, count)
            )
            await lease.append(taken, self._progress.update)
