"""Blobs that are pulled through: which may be fetched, and from which upstreams."""

from __future__ import annotations

import asyncio

from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, NotFound, UpstreamFault
from mirror.oci.names import Repository
from mirror.proxy.freshness import Freshness, Step, decide
from mirror.proxy.lookups import Lookups, PullMemory
from mirror.proxy.misses import Misses
from mirror.proxy.routes import Route, online
from mirror.registry.origins import Origin
from mirror.runtime.clock import Clock
from mirror.transfer.wanted import Source, Wanted


class PulledBlobs:
    """Finds the upstreams that may have a blob which its repository does not hold.

    Args:
        memory: what is remembered of what was pulled through.
        lookups: asks upstreams.
        clock: tells the time of day.
        freshness: how long a miss is remembered.
    """

    def __init__(self, memory: PullMemory, lookups: Lookups, *, clock: Clock, freshness: Freshness) -> None:
        self._memory = memory
        self._lookups = lookups
        self._clock = clock
        self._freshness = freshness
        self._misses = Misses()

    async def size_bytes(self, repository: Repository, digest: Digest) -> int | None:
        """The size in bytes of a blob that an incomplete manifest of the repository names; None where none does."""
        awaited = await self._memory.incomplete.awaited(repository, digest)
        return None if awaited is None else awaited[0]

    async def request(self, repository: Repository, digest: Digest, routes: tuple[Route, ...]) -> Wanted:
        """Make the request for a blob: its size, and the upstreams that may have it.

        Raises:
            BlobUnknown: the blob may not be fetched, or no upstream has it.
            UpstreamFault: no upstream could tell.
        """
        ours, awaited = await asyncio.gather(
            self._memory.origins.is_ours(repository), self._memory.incomplete.awaited(repository, digest)
        )
        sources = () if ours else online(routes)
        if awaited is None:
            return await self._look_up(repository, digest, sources)
        size_bytes, origin = awaited
        ordered = sorted(
            sources, key=lambda each: (each.upstream.name, each.repository) != (origin.upstream, origin.source)
        )
        return Wanted(repository, digest, size_bytes, tuple(_source(each) for each in ordered))

    async def _look_up(self, repository: Repository, digest: Digest, routes: tuple[Route, ...]) -> Wanted:
        """Ask the upstreams for a blob that no manifest which was pulled through names."""
        unknown = BlobUnknown(f"{repository} has no blob {digest}", name=repository, digest=digest)
        missed_at, now = self._misses.missed_at(repository, digest), self._clock.now()
        step = decide(digest, None, online=bool(routes), missed_at=missed_at, now=now, freshness=self._freshness)
        if step is Step.REFUSE:
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
            # The origin tells that the repository was not pushed to, when the blob is in it.
            origin = Origin(route.upstream.name, route.repository, digest, checked_at=now, asked_at=now)
            await self._memory.origins.record_origin(repository, digest, origin)
            return Wanted(repository, digest, found.size_bytes, (_source(route),))
        if failure is None:
            self._misses.remember(repository, digest, now)
        raise failure or unknown


def _source(route: Route) -> Source:
    return Source(route.upstream.name, route.upstream.registry, route.repository)
