"""Manifests that are pulled through: served, confirmed, fetched, or served although they cannot be confirmed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestUnknown, NotFound, UpstreamFault
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.proxy.freshness import Copy, Freshness, Step, decide
from mirror.proxy.lookups import Lookups, PullMemory
from mirror.proxy.misses import Misses
from mirror.proxy.outcomes import Outcome, Outcomes
from mirror.proxy.routes import Route, is_missing, online
from mirror.registry.origins import Origin
from mirror.registry.port import Reader
from mirror.registry.staleness import StaleManifest, Staleness
from mirror.runtime.clock import Clock
from mirror.runtime.flights import Flights, landed

#: How long whoever can be served what is here waits for an upstream to confirm it.
PATIENCE_SECONDS: Final = 1.0


class PulledManifests:
    """Gives manifests.

    Args:
        local: what is here.
        memory: what is remembered of what was pulled through.
        lookups: asks upstreams.
        tasks: owns what is asked.
        clock: tells the time of day.
        freshness: how long what is known stays good.
        outcomes: told what becomes of pulls.
        patience_seconds: how long whoever can be served what is here waits for an upstream to confirm it.
    """

    def __init__(
        self,
        local: Reader,
        memory: PullMemory,
        lookups: Lookups,
        tasks: asyncio.TaskGroup,
        *,
        clock: Clock,
        freshness: Freshness,
        outcomes: Outcomes,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._local = local
        self._memory = memory
        self._lookups = lookups
        self._clock = clock
        self._freshness = freshness
        self._outcomes = outcomes
        self._patience_seconds = patience_seconds
        self._flights: Flights[tuple[Repository, Tag | Digest], Manifest] = Flights(tasks)
        self._misses = Misses()
        self._given_up: set[tuple[Repository, Tag]] = set()

    async def get(self, repository: Repository, target: Tag | Digest, routes: tuple[Route, ...]) -> Manifest:
        """A manifest; a :class:`StaleManifest` where it could not be confirmed.

        Args:
            repository, target: its name here.
            routes: where it may come from.

        Raises:
            ManifestUnknown, RepositoryUnknown: it is not here, and is not at an upstream or must seem so.
            UpstreamFault: it is not here, and an upstream failed.
        """
        origin = await self._memory.origins.origin(repository, target) if isinstance(target, Tag) else None
        held = await self._held(repository, target, origin)
        step = decide(
            target,
            None if held is None else Copy(origin),
            online=bool(online(routes)),
            missed_at=self._misses.at(repository, target),
            now=self._clock.now(),
            freshness=self._freshness,
        )
        if held is None:
            return await self._fetched(repository, target, step, routes)
        if step is Step.SERVE or origin is None or isinstance(target, Digest):
            self._outcomes.manifest(Outcome.SERVED)
            return held
        if step is Step.REVALIDATE and not await self._memory.origins.is_ours(repository):
            return await self._confirmed(repository, target, origin, held, online(routes))
        why = "it could not be confirmed a short while ago" if online(routes) else "no upstream is to be asked"
        return await self._stale(repository, target, origin, held, why)

    async def _held(self, repository: Repository, target: Tag | Digest, origin: Origin | None) -> Manifest | None:
        if origin is not None:
            return await self._lookups.held(repository, origin.digest)
        if isinstance(target, Digest):
            return await self._lookups.held(repository, target)
        try:
            return await self._local.get_manifest(repository, target)
        except NotFound:
            return None

    async def _fetched(
        self, repository: Repository, target: Tag | Digest, step: Step, routes: tuple[Route, ...]
    ) -> Manifest:
        if step is Step.REFUSE or await self._memory.origins.is_ours(repository):
            self._outcomes.manifest(Outcome.MISSED)
            return await self._local.get_manifest(repository, target)  # which says what is missing
        fetch = partial(self._lookups.fetch, repository, target, online(routes))
        try:
            return await landed(self._flights.join((repository, target), fetch))
        except NotFound:
            self._misses.remember(repository, target, self._clock.now())
            self._outcomes.manifest(Outcome.MISSED)
            raise
        except UpstreamFault as error:
            self._outcomes.manifest(Outcome.FAILED)
            if not is_missing(error, repository, routes):
                raise
            message = f"{repository} has no manifest {target}: {error}"
            raise ManifestUnknown(message, name=repository, reference=target) from error

    async def _confirmed(
        self, repository: Repository, tag: Tag, origin: Origin, held: Manifest, routes: tuple[Route, ...]
    ) -> Manifest:
        key = repository, tag

        def may_move() -> bool:
            return key not in self._given_up

        ask = partial(self._lookups.revalidate, repository, tag, origin, routes, may_move)
        flight = self._flights.join(key, ask)
        # Of an upstream that was not there a moment ago nobody hopes for an answer; it is asked all the same.
        patience_seconds = 0 if origin.upstream in self._lookups.troubled else self._patience_seconds
        try:
            return await landed(flight, patience_seconds)
        except TimeoutError:
            why = f"upstream {origin.upstream} has not answered in time"
            if may_move():
                self._given_up.add(key)
                flight.add_done_callback(lambda _flight: self._given_up.discard(key))
                await self._lookups.asked_in_vain(repository, tag, origin)
        except (UpstreamFault, NotFound) as error:
            why = str(error)
        return await self._stale(repository, tag, origin, held, why)

    async def _stale(self, repository: Repository, tag: Tag, origin: Origin, held: Manifest, why: str) -> Manifest:
        """What is served of a tag that cannot be confirmed: the last one that is here with all that it needs."""
        self._outcomes.manifest(Outcome.STALE)
        try:
            manifest = await self._local.get_manifest(repository, tag)
        except NotFound:
            manifest = held
        age = self._clock.now() - origin.checked_at
        return StaleManifest.of(manifest, Staleness(max(int(age.total_seconds()), 0), why))
