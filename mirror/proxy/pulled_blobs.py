"""Blobs that are pulled through: the upstreams from which each blob may be fetched."""

from __future__ import annotations

import asyncio

from mirror.oci import Digest, Repository
from mirror.oci.errors import BlobUnknown, NotFound, UpstreamFault
from mirror.proxy.freshness import Freshness, FreshnessStep, decide
from mirror.proxy.negative_cache import NegativeCache
from mirror.proxy.proxy_routes import ProxyRoute, online
from mirror.proxy.upstream_lookups import PullRecords, UpstreamLookups
from mirror.records.origins import Origin
from mirror.runtime.clock import Clock
from mirror.transfer.blob_request import BlobRequest, Source


class PulledBlobs:
    """Finds upstreams for a blob that its repository does not hold.

    Args:
        records: records of pull-through.
        lookups: requests to upstreams.
        clock: source of the current time.
        freshness: duration for which a miss is remembered.
    """

    def __init__(self, records: PullRecords, lookups: UpstreamLookups, *, clock: Clock, freshness: Freshness) -> None:
        self._records = records
        self._lookups = lookups
        self._clock = clock
        self._freshness = freshness
        self._misses = NegativeCache()

    async def size_bytes(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size in bytes of a blob that an incomplete manifest of the repository names.

        Returns:
            None if no manifest names the blob, or if the repository was pushed to and the blob is not fetched for it.
        """
        ours, awaited = await self._ours_and_awaited(repository, digest)
        return None if ours or awaited is None else awaited[0]

    async def pullable_bytes(self, repository: Repository, digest: Digest, routes: tuple[ProxyRoute, ...]) -> int:
        """Return the size in bytes of a blob that an upstream has. Raises the errors of :meth:`request`."""
        sources = () if await self._records.origins.is_ours(repository) else online(routes)
        return (await self._look_up(repository, digest, sources))[1]

    async def request(self, repository: Repository, digest: Digest, routes: tuple[ProxyRoute, ...]) -> BlobRequest:
        """Return the request for a blob: its size, and the upstreams that may have the blob.

        Raises:
            BlobUnknown: the repository was pushed to or is offline, or no upstream has the blob.
            UpstreamFault: no upstream has the blob, and at least one upstream failed.
        """
        ours, awaited = await self._ours_and_awaited(repository, digest)
        # A repository that was pushed to is never looked for at an upstream.
        sources = () if ours else online(routes)
        if awaited is None:
            route, size_bytes = await self._look_up(repository, digest, sources)
            now = self._clock.now()
            # Without an origin, the repository would later count as pushed to because it holds the blob.
            found = Origin(route.upstream.name, route.repository, digest, checked_at=now, asked_at=now)
            await self._records.origins.record_origin(repository, digest, found)
            return BlobRequest(repository, digest, size_bytes, (_source(route),))
        size_bytes, origin = awaited
        # The upstream that had the manifest comes first: it is the most likely one to have the blob.
        ordered = sorted(
            sources, key=lambda each: (each.upstream.name, each.repository) != (origin.upstream, origin.source)
        )
        return BlobRequest(repository, digest, size_bytes, tuple(_source(each) for each in ordered))

    async def _ours_and_awaited(self, repository: Repository, digest: Digest) -> tuple[bool, tuple[int, Origin] | None]:
        """Return True if the repository was pushed to, and size and origin of a blob that a manifest awaits."""
        return await asyncio.gather(
            self._records.origins.is_ours(repository), self._records.incomplete.awaited(repository, digest)
        )

    async def _look_up(
        self, repository: Repository, digest: Digest, routes: tuple[ProxyRoute, ...]
    ) -> tuple[ProxyRoute, int]:
        """Ask upstreams for a blob that no incomplete manifest names. Return its route and its size in bytes."""
        unknown = BlobUnknown(f"{repository} has no blob {digest}", name=repository, digest=digest)
        missed_at, now = self._misses.missed_at(repository, digest), self._clock.now()
        step = decide(digest, None, online=bool(routes), missed_at=missed_at, now=now, freshness=self._freshness)
        if step is FreshnessStep.REFUSE:
            raise unknown
        failure: UpstreamFault | None = None
        for route in routes:
            try:
                found = await self._lookups.ask(route, route.upstream.registry.stat_blob(route.repository, digest))
            except NotFound:
                continue
            except UpstreamFault as error:
                failure = failure or error
                continue
            return route, found.size_bytes
        # An upstream that failed may have the blob, so a failure is not remembered as a miss.
        if failure is None:
            self._misses.remember(repository, digest, now)
        raise failure or unknown


def _source(route: ProxyRoute) -> Source:
    return Source(route.upstream.name, route.upstream.registry, route.repository)
