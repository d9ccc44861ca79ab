"""The download of one blob: fetched under a lease, or followed while another process fetches it."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from mirror.oci import Repository, errors
from mirror.registry.port import ReadWriter
from mirror.runtime.retry_policy import RetryPolicy
from mirror.transfer.blob_request import BlobRequest, DownloadObserver, Stored
from mirror.transfer.download_progress import DownloadProgress
from mirror.transfer.partial_store import DownloadLease, PartialBlob, PartialStore
from mirror.transfer.source_fetcher import SourceFetcher

_LOG = structlog.get_logger(__name__)

#: The longest pause between two looks at the size of another process's download.
_POLL_SECONDS: Final = 0.01
#: The pause is shorter while readers wait for the first bytes: this share of the time that they have waited so far.
_POLL_SHARE: Final = 0.2
_FIRST_POLL_SECONDS: Final = 0.001
#: How long nothing new comes before the lease is tried again: the other process may be gone.
_QUIET_SECONDS: Final = 0.05


class SharedDownload:
    """The download of one blob in this process. More requests may be added while it runs, also of other repositories.

    Args:
        request: the first request for the blob.
        local: the registry that the blob goes to.
        partials: gives the lease of the blob, and keeps what has come.
        observer: told of bytes and failures.
        on_stored: called when a repository has the blob.
        retry: how long the download goes on while its sources fail.
        slots: bound the downloads that fetch at the same time. No lease is held while one waits for a slot.

    Attributes:
        progress: how much has come.
        readers: how many read the blob, or wait to.
        requests: those for the blob, by the repository where it goes.
    """

    def __init__(
        self,
        request: BlobRequest,
        local: ReadWriter,
        partials: PartialStore,
        *,
        observer: DownloadObserver,
        on_stored: Stored,
        retry: RetryPolicy,
        slots: asyncio.Semaphore,
    ) -> None:
        self.progress = DownloadProgress(request.size_bytes)
        self.readers = 0
        self._digest = request.digest
        self._local = local
        self._partials = partials
        self._observer = observer
        self._on_stored = on_stored
        self._slots = slots
        self._has_slot = False
        self.requests = {request.repository: request}
        self._fetcher = SourceFetcher(request, self.progress, observer, retry)
        self._watched: PartialBlob | None = None
        self._started_at = asyncio.get_running_loop().time()

    def add(self, request: BlobRequest) -> None:
        """Add a request, which may name another repository and other sources.

        Raises:
            UpstreamProtocolError: an earlier request gives another size.
        """
        if request.size_bytes != self.progress.size_bytes:
            raise errors.UpstreamProtocolError(
                f"{self._digest} cannot have {request.size_bytes} bytes and {self.progress.size_bytes} as well",
                digest=self._digest,
            )
        self.requests[request.repository] = request
        self._fetcher.add(request.sources)

    async def run(self) -> None:
        """Download the blob. Raises CancelledError only; readers are told of a failure."""
        try:
            while not await self._attempt():
                pass
            await self._mount_for_all()
        except asyncio.CancelledError:
            self.progress.fail(errors.Busy(f"the download of {self._digest} was stopped; what has come of it is kept"))
            raise
        except errors.MirrorError as error:
            _LOG.warning("download failed", digest=str(self._digest), kind=type(error).__name__, error=str(error))
            self.progress.fail(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end everything else
            _LOG.error("download failed unexpectedly", digest=str(self._digest), exc_info=error)
            self.progress.fail(errors.MirrorError(f"the download of {self._digest} failed; the log has the cause"))
        finally:
            if self._has_slot:
                self._slots.release()

    def close(self) -> None:
        """Close the file that readers read from."""
        if self._watched is not None:
            self._watched.close()

    async def _attempt(self) -> bool:
        """Fetch the blob, or follow another process for a while. Returns whether the blob is stored."""
        first = next(iter(self.requests))
        lease = await self._partials.claim_download(first, self._digest)
        if lease is None:
            await self._follow_other_process()
            return False
        try:
            if await self._mount(first):
                await self._use_stored(lease)
                return True
            await self._require_current()
            if self._has_slot or not self._slots.locked():
                await self._acquire_slot()
                return await self._fetch(lease)
        finally:
            await lease.release()
        await self._acquire_slot()
        if not self.readers:
            raise errors.Busy(f"nobody waits for {self._digest} any more, and nothing of it has come")
        return False

    async def _acquire_slot(self) -> None:
        if not self._has_slot:
            await self._slots.acquire()
            self._has_slot = True

    async def _follow_other_process(self) -> None:
        """Follow another process's download until it seems to have ended."""
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
                # Not before the file grows: what an earlier download has left may be all that ever comes.
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
        """Fail where readers were given bytes that turned out to be wrong: no others may follow them."""
        if self._watched is None or await self._watched.is_current():
            return
        if self.progress.partial is not None:
            raise errors.UpstreamProtocolError(
                f"what came as {self._digest} was something else, and was dropped", digest=self._digest
            )
        self._watched.close()
        self._watched = None

    async def _use_stored(self, lease: DownloadLease) -> None:
        """End the download of a blob that is stored already, by another process or in another repository."""
        partial = self.progress.partial
        whole = partial is None or (partial.size_bytes == self.progress.size_bytes and await partial.is_current())
        await lease.drop()
        if not whole:
            raise errors.Busy(f"{self._digest} was stored from elsewhere while it came: ask again")
        self.progress.complete()

    async def _mount(self, repository: Repository) -> bool:
        found = await self._local.mount_blob(repository, self._digest, None)
        if found is not None and found.size_bytes != self.progress.size_bytes:
            raise errors.UpstreamProtocolError(
                f"{self._digest} has {found.size_bytes} bytes, not {self.progress.size_bytes}", digest=self._digest
            )
        return found is not None

    async def _fetch(self, lease: DownloadLease) -> bool:
        """Fetch what is missing, and store the blob. Returns whether it is stored."""
        size_bytes = self.progress.size_bytes
        if lease.offset > size_bytes:
            await lease.drop()
            return False
        resumed = lease.offset > 0
        if lease.offset < size_bytes:
            await self._fetcher.fetch_rest(lease, self._open)
        try:
            await lease.verify()
        except errors.DigestInvalid as error:
            fault = self._mismatch_error(error, resumed=resumed)
            self.progress.fail(fault)
            await lease.drop()
            raise fault from error
        self._open(lease)
        self.progress.complete()
        await lease.commit()
        return True

    def _mismatch_error(self, error: errors.DigestInvalid, *, resumed: bool) -> errors.MirrorError:
        """Make the error for wrong content. Nobody can tell where the bytes of an earlier download came from."""
        if resumed:
            return errors.Busy(f"{error}; an earlier download had left a part of it, so it was dropped: ask again")
        upstream = self._fetcher.upstream
        mismatch = errors.UpstreamProtocolError(f"upstream {upstream or 'unasked'}: {error}", **error.detail)
        if upstream:  # a blob of no bytes is fetched from nobody
            self._observer.failed(upstream, mismatch)
        return mismatch

    def _open(self, lease: DownloadLease) -> None:
        """Let readers begin."""
        if self._watched is None:
            self._watched = lease.partial()
        self.progress.open(self._watched)

    async def _mount_for_all(self) -> None:
        """Mount the blob into every repository that it was requested for."""
        shared: set[Repository] = set()
        while waiting := [each for each in self.requests if each not in shared]:
            for repository in waiting:
                if shared:  # the first has it
                    await self._mount(repository)
                shared.add(repository)
                await self._on_stored(repository, self._digest)
