"""``PullThroughRegistry``: fetches content that the store does not hold from an upstream, stores it and serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestBlobUnknown, NotFound, UpstreamFault
from mirror.oci.media_types import OCTET_STREAM
from mirror.proxy.freshness import Freshness
from mirror.proxy.merged_lists import MergedLists
from mirror.proxy.proxy_routes import ProxyRoute, Routes, is_missing, online
from mirror.proxy.pull_metrics import PullMetrics, PullOutcome
from mirror.proxy.pulled_blobs import PulledBlobs
from mirror.proxy.pulled_manifests import UPSTREAM_TIMEOUT_SECONDS, PulledManifests
from mirror.proxy.upstream_lookups import PullRecords, UpstreamLookups
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Blob, Page, Registry
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.transfer.active_downloads import ActiveDownloads
from mirror.transfer.blob_request import BlobRequest
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest


class PullThroughRegistry(DelegatingRegistry):
    """Implements :class:`mirror.registry.port.Registry`.

    Pushed content takes precedence over content of mirror rules, which takes precedence over pulled-through content. A
    repository that was pushed to is never looked for at an upstream. Nothing is ever written to an upstream.

    A read raises an UpstreamFault if the store lacks the content and an upstream failed. It raises NotFound instead if
    the upstream refused access, or if the repository has the same name at the upstream. Engines request such names from
    a registry in their ``registry-mirrors``, and ask their next registry after a 404 only.

    Args:
        inner: the store.
        records: records of pull-through.
        routes: routes from repositories to upstreams.
        downloads: downloads of blobs.
        tasks: task group that owns the requests to upstreams.
        clock: source of the current time.
        freshness: durations for which earlier answers are trusted.
        outcomes: counter of the outcomes of pulls.
        timeout_seconds: maximum wait for an upstream that revalidates a manifest in the store.
    """

    def __init__(
        self,
        inner: Registry,
        records: PullRecords,
        routes: Routes,
        downloads: ActiveDownloads,
        tasks: asyncio.TaskGroup,
        *,
        clock: Clock,
        freshness: Freshness,
        outcomes: PullMetrics,
        timeout_seconds: float = UPSTREAM_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(inner)
        self._records = records
        self._routes = routes
        self._downloads = downloads
        self._outcomes = outcomes
        lookups = UpstreamLookups(inner, records, clock, outcomes)
        self._manifests = PulledManifests(
            inner,
            records,
            lookups,
            tasks,
            clock=clock,
            freshness=freshness,
            outcomes=outcomes,
            timeout_seconds=timeout_seconds,
        )
        self._blobs = PulledBlobs(records, lookups, clock=clock, freshness=freshness)
        self._requests: SharedTasks[tuple[Repository, Digest], BlobRequest | None] = SharedTasks()
        self._sizes: SharedTasks[tuple[Repository, Digest], int] = SharedTasks()
        self._lists = MergedLists(inner, lookups, timeout_seconds)

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        routes = self._routes.of(repository)
        if not routes:
            return await self.inner.resolve(repository, target)
        # Fetches the whole manifest. A client that has the manifest already may request its blobs next, and these can
        # be served only if the manifest is known here.
        return (await self._manifests.get(repository, target, routes)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        routes = self._routes.of(repository)
        if not routes:
            return await self.inner.get_manifest(repository, target)
        return await self._manifests.get(repository, target, routes)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        """See the port. No upstream is asked, because a client begins a push with this request and must not wait."""
        try:
            return await self.inner.stat_blob(repository, digest)
        except BlobUnknown:
            # A blob that an incomplete manifest names can be fetched, and its size is known from the manifest.
            reachable = online(self._routes.of(repository))
            size_bytes = await self._blobs.size_bytes(repository, digest) if reachable else None
            if size_bytes is None:
                raise
            return Descriptor(OCTET_STREAM, digest, size_bytes)

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        """See the port. Upstreams are asked for a blob that no manifest held here names."""
        try:
            return await self.stat_blob(repository, digest)
        except BlobUnknown:
            routes = self._routes.of(repository)
            if not routes:
                raise
        with _missing_as_unknown(repository, digest, routes):
            size_bytes = await self._sizes.run(
                (repository, digest), lambda: self._blobs.pullable_bytes(repository, digest, routes)
            )
        return Descriptor(OCTET_STREAM, digest, size_bytes)

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        routes = self._routes.of(repository)
        if not routes:
            return self.inner.open_blob(repository, digest, part, size_bytes)
        return self._open_blob(repository, digest, part, routes)

    @asynccontextmanager
    async def _open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None, routes: tuple[ProxyRoute, ...]
    ) -> AsyncIterator[Blob]:
        async with AsyncExitStack() as stack:
            try:
                with _missing_as_unknown(repository, digest, routes):
                    request = await self._blob_request(repository, digest, routes)
                    if request is None:
                        blob = await stack.enter_async_context(self.inner.open_blob(repository, digest, part))
                    else:
                        blob = await stack.enter_async_context(self._downloads.open(request, part))
            except BlobUnknown as error:
                failed = isinstance(error.__cause__, UpstreamFault)
                self._outcomes.blob(PullOutcome.FAILED if failed else PullOutcome.MISSED)
                raise
            except UpstreamFault:
                self._outcomes.blob(PullOutcome.FAILED)
                raise
            self._outcomes.blob(PullOutcome.FETCHED if request else PullOutcome.SERVED)
            yield blob

    async def _blob_request(
        self, repository: Repository, digest: Digest, routes: tuple[ProxyRoute, ...]
    ) -> BlobRequest | None:
        """Return the request for a blob; None if the store holds the blob. Concurrent callers share the look-up."""

        async def look_up() -> BlobRequest | None:
            try:
                await self.inner.stat_blob(repository, digest)
            except BlobUnknown:
                return await self._blobs.request(repository, digest, routes)
            return None

        return self._downloads.find(repository, digest) or await self._requests.run((repository, digest), look_up)

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        """See the port. Blobs that were found by :meth:`stat_blob`, and that are not here yet, are fetched."""
        try:
            return await self.inner.put_manifest(repository, manifest, tags)
        except ManifestBlobUnknown:
            if not await self._fetch_found_blobs(repository, manifest):
                raise
        return await self.inner.put_manifest(repository, manifest, tags)

    async def _fetch_found_blobs(self, repository: Repository, manifest: Manifest) -> bool:
        """Fetch the blobs of a manifest that an incomplete manifest names too. Return False if others are missing."""
        routes = self._routes.of(repository)
        for digest in dict.fromkeys(blob.digest for blob in manifest.blobs) if routes else ():
            try:
                await self.stat_blob(repository, digest)
            except BlobUnknown:
                return False  # the client was told so, and did not push the blob
            request = await self._blob_request(repository, digest, routes)
            if request is not None:
                await self._downloads.settle(request)
        return bool(routes)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await self._delete(repository, tag, partial(self.inner.delete_tag, repository, tag))

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self._delete(repository, digest, partial(self.inner.delete_manifest, repository, digest))

    async def _delete(
        self, repository: Repository, target: Tag | Digest, delete: Callable[[], Awaitable[None]]
    ) -> None:
        """Delete content and forget its origin. The next pull fetches the content again."""
        forgotten = await self._records.origins.forget(repository, target)
        try:
            await delete()
        except NotFound:
            # An incomplete manifest is in the records alone, so the store does not know it.
            if not forgotten:
                raise

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        return await self._lists.tags(repository, page, await self._routes_of_list(repository))

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        routes = await self._routes_of_list(repository)
        return await self._lists.referrers(repository, subject, artifact_type, page, routes)

    async def _routes_of_list(self, repository: Repository) -> tuple[ProxyRoute, ...]:
        routes = online(self._routes.of(repository))
        return () if routes and await self._records.origins.is_ours(repository) else routes


@contextmanager
def _missing_as_unknown(repository: Repository, digest: Digest, routes: tuple[ProxyRoute, ...]) -> Iterator[None]:
    """Turn a failure of an upstream that is answered as missing content into BlobUnknown."""
    try:
        yield
    except UpstreamFault as error:
        if not is_missing(error, repository, routes):
            raise
        raise BlobUnknown(f"{repository} has no blob {digest}: {error}", name=repository, digest=digest) from error
