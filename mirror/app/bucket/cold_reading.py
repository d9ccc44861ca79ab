"""Cold content of a serving process: one download of each digest over all processes, with many readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from mirror.oci import Descriptor, Digest, Repository
from mirror.oci.errors import MirrorError, StorageDamaged, UpstreamFault, UpstreamProtocolError, UpstreamUnreachable
from mirror.oci.media_types import OCTET_STREAM
from mirror.oci.remote_storage_errors import BucketFault, BucketUnreachable
from mirror.registry.port import Blob
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.store.bucket.cache_budget import CacheBudget
from mirror.store.bucket.object_source import ObjectSource
from mirror.store.bucket.stored_objects import StoredObjects
from mirror.store.content.blob_files import BlobStorage
from mirror.store.registry import Store
from mirror.store.storage_threads import in_thread
from mirror.transfer.active_downloads import ActiveDownloads
from mirror.transfer.blob_request import BlobRequest, MakeRoom, Source
from mirror.transfer.partial_store import PartialStore
from mirror.wire.ranges import RangeRequest

if TYPE_CHECKING:  # imported with a bucket only
    from mirror.store.bucket.bucket import BucketAccess

_LOG = structlog.get_logger(__name__)
#: Name of the bucket where downloads name their upstream.
_BUCKET: Final = "bucket"
#: Looking at the disk costs one call of the system, looking at the cache one for each file.
_PERIOD_SECONDS: Final = 5.0
_PERIODS_OF_THE_BUDGET: Final = 12


class CachedBlobs:
    """The files of the data folder, for downloads of content that the catalog has already.

    Implements :class:`mirror.transfer.blob_request.LocalBlobs`.
    """

    def __init__(self, blobs: BlobStorage) -> None:
        self._blobs = blobs

    async def mount_blob(
        self, _repository: Repository, digest: Digest, _source: Repository | None
    ) -> Descriptor | None:
        """Return the descriptor of a blob if its file is there."""
        size_bytes = await in_thread(f"look for {digest}", self._blobs.find_size, digest)
        return None if size_bytes is None else Descriptor(OCTET_STREAM, digest, size_bytes)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        """Open the file of a blob."""
        found = await self.mount_blob(repository, digest, None)
        async with self._blobs.open(digest, size_bytes or 0 if found is None else found.size_bytes, part) as blob:
            yield blob


class WrongObjects:
    """Notes objects with wrong bytes. The bucket counts bytes and failures itself.

    Implements :class:`mirror.transfer.blob_request.DownloadObserver`.
    """

    def __init__(self, suspect: Callable[[Digest], None]) -> None:
        self._suspect = suspect

    def received(self, upstream: str, repository: Repository, size_bytes: int) -> None:
        """Do nothing."""

    def failed(self, upstream: str, error: MirrorError) -> None:
        """Have an object examined that has another size or digest."""
        digest = error.detail.get("expected") or error.detail.get("digest")
        if isinstance(error, UpstreamProtocolError) and digest:
            self._suspect(Digest.parse(digest))


async def _stored(_repository: Repository, _digest: Digest) -> None:
    """Do nothing: the catalog had the content all the time."""


class ColdDownloads:
    """Implements :class:`mirror.store.content.cold_content.ColdContent` by shared downloads (ADR 10).

    Args:
        blobs: the files of the data folder.
        partials: the leases of cold content.
        objects: the objects of the bucket.
        tasks: owner of the downloads.
        make_room: frees space in the cache.
    """

    def __init__(
        self,
        blobs: BlobStorage,
        partials: PartialStore,
        objects: StoredObjects,
        tasks: asyncio.TaskGroup,
        make_room: MakeRoom,
    ) -> None:
        self._blobs = blobs
        self._source = ObjectSource(objects)
        self._downloads = ActiveDownloads(
            CachedBlobs(blobs), partials, tasks, WrongObjects(self._suspect), _stored, make_room=make_room
        )

    @asynccontextmanager
    async def open(
        self, repository: Repository, digest: Digest, size_bytes: int, part: RangeRequest | None
    ) -> AsyncIterator[Blob]:
        """Open content as the protocol defines."""
        async with AsyncExitStack() as stack:
            try:
                opening = self._downloads.open(self._request(repository, digest, size_bytes), part)
                blob = await stack.enter_async_context(opening)
            except (UpstreamFault, StorageDamaged) as error:
                raise self._fault(digest, error) from error
            yield blob

    async def fetch(self, repository: Repository, digest: Digest, size_bytes: int) -> None:
        """Bring content into the data folder as the protocol defines."""
        request = self._request(repository, digest, size_bytes)
        try:
            async with self._downloads.open(request) as blob:
                async for _ in blob:
                    pass
                await self._downloads.settle(request)
        except (UpstreamFault, StorageDamaged) as error:
            raise self._fault(digest, error) from error

    def _request(self, repository: Repository, digest: Digest, size_bytes: int) -> BlobRequest:
        return BlobRequest(repository, digest, size_bytes, (Source(_BUCKET, self._source, repository),))

    def _suspect(self, digest: Digest) -> None:
        self._source.suspect(digest)
        self._blobs.suspects.add(digest)

    def _fault(self, digest: Digest, error: MirrorError) -> MirrorError:
        if isinstance(error, UpstreamUnreachable):
            return BucketUnreachable(error.message, **error.detail)
        self._suspect(digest)
        return StorageDamaged(f"{digest} cannot be read from the bucket: {error.message}", digest=digest)


@asynccontextmanager
async def reading_cold(store: Store) -> AsyncIterator[None]:
    """Let a store read cold content by shared downloads during the block. Do nothing without a bucket."""
    objects, budget, partials = store.objects, store.cache_budget, store.cold_downloads
    if objects is None or budget is None or partials is None:
        yield
        return
    async with BackgroundTasks() as tasks:
        cold, before = store.services.cold, store.services.cold.content
        cold.content = ColdDownloads(store.services.blobs, partials, objects, tasks, make_room=budget.make_room)
        try:
            yield
        finally:
            cold.content = before


async def require_own_bucket(store: Store) -> None:
    """Check that the bucket is that of the catalog, before the server serves.

    A bucket that is not reachable now does not keep the server from serving what is in its cache. The check is made up
    for before the first write.

    Raises:
        ConfigurationFault: the bucket is that of another site.
    """
    if store.objects is not None:
        try:
            await store.objects.require_site()
        except BucketFault as error:
            _LOG.error("the bucket cannot be used; only cached content is served", error=str(error))


def bucket_chores(store: Store) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """Return the background work on the bucket and its cache; none without a bucket."""
    budget, objects = store.cache_budget, store.objects
    if budget is None or objects is None:
        return []
    return [partial(_keep_cache, budget), partial(_look_at_rules, objects.bucket.access)]


async def _look_at_rules(access: BucketAccess) -> None:
    from mirror.app.bucket.lifecycle_check import warn_about_left_parts  # obstore is imported with a bucket only

    await warn_about_left_parts(access)


async def _keep_cache(budget: CacheBudget) -> None:
    rounds = 0
    while True:
        try:
            await (budget.relieve() if rounds % _PERIODS_OF_THE_BUDGET else budget.keep_within())
        except MirrorError as error:
            # The next round tries again. A failed round must not end the budget for good.
            _LOG.error("cached files could not be evicted", error=str(error), **error.detail)
        rounds += 1
        await asyncio.sleep(_PERIOD_SECONDS)
