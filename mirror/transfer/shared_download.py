"""Download of one blob: fetched under a lease, or followed while another process fetches the blob."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from mirror.oci import Repository, errors
from mirror.runtime.error_advice import without_fix
from mirror.runtime.retry_policy import RetryPolicy
from mirror.transfer.blob_request import BlobRequest, DownloadObserver, LocalBlobs, MakeRoom, Stored
from mirror.transfer.download_progress import DownloadProgress
from mirror.transfer.partial_store import DownloadLease, PartialBlob, PartialStore
from mirror.transfer.source_fetcher import SourceFetcher

_LOG = structlog.get_logger(__name__)

#: Longest pause between two checks of the size of another process's download.
_POLL_SECONDS: Final = 0.01
#: While readers wait for the first bytes, the pause is this share of the time waited so far, to keep latency low.
_POLL_SHARE: Final = 0.2
_FIRST_POLL_SECONDS: Final = 0.001
#: Time without new bytes after which the lease is tried again, because the other process may have died.
_QUIET_SECONDS: Final = 0.05


class SharedDownload:
    """Download of one blob in this process. Requests, also from other repositories, may be added while it runs.

    Args:
        request: first request for the blob.
        local: registry to store the blob in.
        partials: store of the lease and of the partial download.
        observer: receiver of received bytes and failures.
        on_stored: called when a repository holds the blob.
        retry: bounds on the retries while sources fail.
        make_room: frees space for a blob that does not fit.
        slots: limit of simultaneous downloads. No lease is held while waiting for a slot.

    Attributes:
        progress: progress of the download.
        readers: number of readers, including readers waiting for the first bytes.
        requests: requests for the blob, by target repository.
    """

    def __init__(
        self,
        request: BlobRequest,
        local: LocalBlobs,
        partials: PartialStore,
        *,
        observer: DownloadObserver,
        on_stored: Stored,
        retry: RetryPolicy,
        make_room: MakeRoom,
        slots: asyncio.Semaphore,
    ) -> None:
        self.progress = DownloadProgress(request.size_bytes)
        self.readers = 0
        self._digest = request.digest
        self._local = local
        self._partials = partials
        self._observer = observer
        self._on_stored = on_stored
        self._make_room = make_room
        self._slots = slots
        self._has_slot = False
        self.requests = {request.repository: request}
        self._fetcher = SourceFetcher(request, self.progress, observer, retry)
        self._watched: PartialBlob | None = None
        self._started_at = asyncio.get_running_loop().time()

    def add(self, request: BlobRequest) -> None:
        """Add a request, which may name another repository and other sources.

        Raises:
            UpstreamProtocolError: an earlier request states another size.
        """
        if request.size_bytes != self.progress.size_bytes:
            raise errors.UpstreamProtocolError(
                f"manifests state two sizes for {self._digest}: {self.progress.size_bytes} and "
                f"{request.size_bytes} bytes",
                digest=self._digest,
            )
        self.requests[request.repository] = request
        self._fetcher.add(request.sources)

    async def run(self) -> None:
        """Download the blob. Failures are passed to the readers. Raises only CancelledError."""
        try:
            while not await self._attempt():
                pass
            await self._mount_for_all()
        except asyncio.CancelledError:
            self.progress.fail(errors.Busy(f"the download of {self._digest} was stopped; received bytes are kept"))
            raise
        except errors.MirrorError as error:
            _LOG.warning("download failed", digest=str(self._digest), kind=type(error).__name__, error=str(error))
            self.progress.fail(error)
        except Exception as error:  # noqa: BLE001 - a bug here must not end the task group and all other downloads
            _LOG.error("download failed unexpectedly", digest=str(self._digest), exc_info=error)
            # The text of an unexpected error is for the log, not for clients.
            self.progress.fail(errors.MirrorError(f"the download of {self._digest} failed; the log has the cause"))
        finally:
            if self._has_slot:
                self._slots.release()

    def close(self) -> None:
        """Close the file from which readers read."""
        if self._watched is not None:
            self._watched.close()

    async def _attempt(self) -> bool:
        """Fetch the blob, or follow another process for a while. Returns True if the blob is stored."""
        first = next(iter(self.requests))
        lease = await self._partials.claim_download(first, self._digest)
        if lease is None:
            await self._follow_other_process()
            return False
        try:
            # Under the lease: another process may have stored the blob before it released the lease.
            if await self._mount(first):
                await self._use_stored(lease)
                return True
            await self._require_current()
            # Fetch only with a slot. Without a free one, release the lease first and wait below: a waiting download
            # must not keep other processes from fetching the blob.
            if self._has_slot or not self._slots.locked():
                await self._acquire_slot()
                return await self._fetch(lease)
        finally:
            await lease.release()
        await self._acquire_slot()
        # A download that has not begun is pointless once all its readers have left.
        if not self.readers:
            raise errors.Busy(f"the download of {self._digest} was given up before it began: no client waits for it")
        return False

    async def _acquire_slot(self) -> None:
        if not self._has_slot:
            await self._slots.acquire()
            self._has_slot = True

    async def _follow_other_process(self) -> None:
        """Follow the download of another process until the process seems to have ended."""
        if self._watched is None:
            self._watched = await self._partials.watch_download(self._digest)
        await self._require_current()
        loop = asyncio.get_running_loop()
        grown_at = loop.time()
        quiet_seconds = _QUIET_SECONDS if self._watched else 0.0
        while True:
            seen_bytes = self._watched_bytes
            await asyncio.sleep(self._poll_seconds(loop.time()))
            if self._watched is not None and self._watched_bytes != seen_bytes:
                grown_at = loop.time()
                # Readers may begin only when the file grows: the bytes left by an earlier download may be all that
                # ever arrives.
                self.progress.open(self._watched)
            elif loop.time() - grown_at >= quiet_seconds:
                return

    def _poll_seconds(self, now: float) -> float:
        if self.progress.partial is not None:
            return _POLL_SECONDS
        return min(max((now - self._started_at) * _POLL_SHARE, _FIRST_POLL_SECONDS), _POLL_SECONDS)

    @property
    def _watched_bytes(self) -> int:
        return 0 if self._watched is None else self._watched.size_bytes

    async def _require_current(self) -> None:
        """Fail if readers received bytes which turned out to be wrong. No other bytes may follow for these readers."""
        if self._watched is None or await self._watched.is_current():
            return
        if self.progress.partial is not None:
            raise errors.UpstreamProtocolError(
                f"the content downloaded for {self._digest} has another digest and was dropped", digest=self._digest
            )
        self._watched.close()
        self._watched = None

    async def _use_stored(self, lease: DownloadLease) -> None:
        """End the download of a blob which another process or repository has stored meanwhile."""
        # Readers of a partial file can only finish if the file became the stored blob.
        partial = self.progress.partial
        whole = partial is None or (partial.size_bytes == self.progress.size_bytes and await partial.is_current())
        await lease.drop()
        if not whole:
            raise errors.Busy(f"{self._digest} was stored by another request during the download; fix: try again")
        self.progress.complete()

    async def _mount(self, repository: Repository) -> bool:
        found = await self._local.mount_blob(repository, self._digest, None)
        if found is not None and found.size_bytes != self.progress.size_bytes:
            raise errors.UpstreamProtocolError(
                f"{self._digest} has {found.size_bytes} bytes, not {self.progress.size_bytes}", digest=self._digest
            )
        return found is not None

    async def _fetch(self, lease: DownloadLease) -> bool:
        """Fetch the missing bytes and store the blob. Returns True if the blob is stored."""
        size_bytes = self.progress.size_bytes
        # An earlier download left more bytes than the blob has, so they cannot be its content.
        if lease.offset > size_bytes:
            await lease.drop()
            return False
        await self._expect(lease)
        resumed = lease.offset > 0
        if lease.offset < size_bytes:
            await self._fetcher.fetch_rest(lease, self._open)
        try:
            await lease.verify()
        except errors.DigestInvalid as error:
            fault = self._mismatch_error(error, resumed=resumed)
            # Stop the readers first: none may read on while the bytes are dropped.
            self.progress.fail(fault)
            await lease.drop()
            raise fault from error
        # Readers get the end of the verified blob without waiting for the disk.
        self._open(lease)
        self.progress.complete()
        await lease.commit()
        return True

    async def _expect(self, lease: DownloadLease) -> None:
        """Keep space for the blob. Content that was pulled through, and that nobody has pulled for long, gives way."""
        size_bytes = self.progress.size_bytes
        try:
            await lease.expect(size_bytes)
        except errors.StorageFull:
            if not await self._make_room(size_bytes - lease.offset):
                raise
            await lease.expect(size_bytes)

    def _mismatch_error(self, error: errors.DigestInvalid, *, resumed: bool) -> errors.MirrorError:
        """Make the error for a wrong digest. Nobody knows the source of bytes left by an earlier download."""
        if resumed:
            return errors.Busy(
                f"{without_fix(error)}; a part is from an earlier download, so all bytes were dropped; fix: try again"
            )
        upstream = self._fetcher.upstream
        mismatch = errors.UpstreamProtocolError(f"upstream {upstream or '(none was asked)'}: {error}", **error.detail)
        if upstream:  # empty for a blob of 0 bytes, which is fetched from no source
            self._observer.failed(upstream, mismatch)
        return mismatch

    def _open(self, lease: DownloadLease) -> None:
        """Let readers begin."""
        if self._watched is None:
            self._watched = lease.partial()
        self.progress.open(self._watched)

    async def _mount_for_all(self) -> None:
        """Mount the blob into every requesting repository."""
        shared: set[Repository] = set()
        while waiting := [each for each in self.requests if each not in shared]:
            for repository in waiting:
                # The first repository got the blob by the commit or by the mount before it. Requests may be added
                # while this loop waits, hence the outer loop.
                if shared:
                    await self._mount(repository)
                shared.add(repository)
                await self._on_stored(repository, self._digest)
