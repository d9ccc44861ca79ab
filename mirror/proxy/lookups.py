"""Manifests at the upstreams: fetched for the first time, or asked whether they are still the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from mirror.oci.digest import Digest
from mirror.oci.errors import (
    ManifestInvalid,
    ManifestUnknown,
    MirrorError,
    NotFound,
    RepositoryUnknown,
    UpstreamFault,
    UpstreamLied,
    UpstreamUnreachable,
)
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.proxy.outcomes import Outcome, Outcomes
from mirror.proxy.routes import Route
from mirror.registry.origins import IncompleteManifests, Origin, Origins
from mirror.registry.port import Reader
from mirror.runtime.clock import Clock

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class PullMemory:
    """The records of pull-through.

    Attributes:
        origins: where tags and digests came from.
        incomplete: manifests whose content is not all here.
    """

    origins: Origins
    incomplete: IncompleteManifests


class Lookups:
    """Asks upstreams, and keeps what they answer.

    Args:
        local: what is here already.
        memory: what is remembered of it.
        clock: tells the time of day.
        outcomes: told what became of it.

    Attributes:
        troubled: names of upstreams that could not be reached when they were last asked.
    """

    def __init__(self, local: Reader, memory: PullMemory, clock: Clock, outcomes: Outcomes) -> None:
        self.troubled: set[str] = set()
        self._local = local
        self._memory = memory
        self._clock = clock
        self._outcomes = outcomes

    async def held(self, repository: Repository, digest: Digest) -> Manifest | None:
        """A manifest that is here, complete or not."""
        try:
            return await self._local.get_manifest(repository, digest)
        except NotFound:
            incomplete = await self._memory.incomplete.incomplete(repository, digest)
        if incomplete is not None:
            return incomplete
        try:  # it may have become complete between the two looks
            return await self._local.get_manifest(repository, digest)
        except NotFound:
            return None

    async def fetch(self, repository: Repository, target: Tag | Digest, routes: Iterable[Route]) -> Manifest:
        """Fetch a manifest from the first upstream that has it.

        Raises:
            ManifestUnknown: no upstream has it. RepositoryUnknown: nor such a repository.
            UpstreamFault: none of those that answered has it, and this is what became of the first of the others.
        """
        failure: UpstreamFault | None = None
        missing: type[NotFound] = RepositoryUnknown
        for route in routes:
            try:
                manifest = await self._get(route, target)
                await self._keep(repository, manifest, route, target)
            except NotFound as error:
                missing = missing if isinstance(error, RepositoryUnknown) else ManifestUnknown
                continue
            except UpstreamFault as error:
                failure = failure or error
                continue
            self._outcomes.manifest(Outcome.FETCHED)
            return manifest
        message = f"no manifest {target} of {repository} is here, and no upstream has it"
        raise failure or missing(message, name=repository, reference=target)

    async def revalidate(
        self, repository: Repository, tag: Tag, origin: Origin, routes: Iterable[Route], may_move: Callable[[], bool]
    ) -> Manifest:
        """Ask whether a tag is still what it was, and fetch what it is now where it is not.

        Args:
            repository, tag: its name here.
            origin: what it was, and where.
            routes: the upstreams. One that comes later takes over from the tag's own only where that has it no more.
            may_move: whether somebody waits for the answer still. Who was told the old one must not find another
                when he asks a second time.

        Raises:
            ManifestUnknown: it is no longer at any upstream.
            UpstreamFault: its upstream failed.
        """
        try:
            for route in routes:
                try:
                    return await self._compared(repository, tag, origin, route, may_move)
                except NotFound:
                    continue
                except UpstreamFault:
                    if (route.upstream.name, route.repository) == (origin.upstream, origin.source):
                        raise
            gone = ManifestUnknown(f"no upstream has {repository}:{tag} any more", name=repository, reference=tag)
            self._outcomes.failed(origin.upstream, gone)
            raise gone
        except (UpstreamFault, NotFound):
            await self._memory.origins.record_origin(repository, tag, replace(origin, asked_at=self._clock.now()))
            raise

    async def asked_in_vain(self, repository: Repository, tag: Tag, origin: Origin) -> None:
        """An upstream has not answered in time: for a while it is not hoped for an answer, nor asked about the tag."""
        self.troubled.add(origin.upstream)
        await self._memory.origins.record_origin(repository, tag, replace(origin, asked_at=self._clock.now()))

    async def _compared(
        self, repository: Repository, tag: Tag, origin: Origin, route: Route, may_move: Callable[[], bool]
    ) -> Manifest:
        upstream = route.upstream
        found = await self.asked(route, upstream.registry.resolve(route.repository, tag))
        manifest = await self.held(repository, found.digest)
        if manifest is not None and found.digest == origin.digest:
            now = self._clock.now()
            confirmed = Origin(upstream.name, route.repository, found.digest, checked_at=now, asked_at=now)
            await self._memory.origins.record_origin(repository, tag, confirmed)
            self._outcomes.manifest(Outcome.REVALIDATED)
            return manifest
        if manifest is None:
            manifest = await self._get(route, found.digest)
        if not may_move():
            raise UpstreamUnreachable(f"upstream {upstream.name} told too late that {repository}:{tag} has moved")
        await self._keep(repository, manifest, route, tag)
        self._outcomes.moved(repository, tag, upstream.name, origin.digest, manifest.digest)
        self._outcomes.manifest(Outcome.MOVED)
        return manifest

    async def _get(self, route: Route, target: Tag | Digest) -> Manifest:
        return await self.asked(route, route.upstream.registry.get_manifest(route.repository, target))

    async def _keep(self, repository: Repository, manifest: Manifest, route: Route, target: Tag | Digest) -> None:
        now = self._clock.now()
        origin = Origin(route.upstream.name, route.repository, manifest.digest, checked_at=now, asked_at=now)
        tag = target if isinstance(target, Tag) else None
        try:
            await self._memory.incomplete.keep_incomplete(repository, manifest, origin, tag)
        except ManifestInvalid as error:
            raise self._blamed(route, error) from error

    async def asked(self, route: Route, answer: Awaitable[Given]) -> Given:
        """What an upstream answers, or the error that tells whose fault it is that there is none."""
        name = route.upstream.name
        try:
            given = await answer
        except NotFound:
            self.troubled.discard(name)
            raise
        except MirrorError as error:
            fault = self._blamed(route, error)
            if isinstance(fault, UpstreamUnreachable):
                self.troubled.add(name)
            raise fault from error
        self.troubled.discard(name)
        return given

    def _blamed(self, route: Route, error: MirrorError) -> UpstreamFault:
        name = route.upstream.name
        fault = error if isinstance(error, UpstreamFault) else UpstreamLied(f"upstream {name}: {error}", **error.detail)
        self._outcomes.failed(name, fault)
        return fault
