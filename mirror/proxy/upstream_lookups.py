"""Requests for manifests to upstreams: fetched for the first time, or revalidated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from mirror.oci import Digest, Manifest, Repository, Tag, errors
from mirror.proxy.proxy_routes import ProxyRoute
from mirror.proxy.pull_metrics import PullMetrics, PullOutcome
from mirror.records.origins import IncompleteManifests, Origin, Origins
from mirror.registry.port import Reader
from mirror.runtime.clock import Clock

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class PullRecords:
    """The records of pull-through.

    Attributes:
        origins: where tags and digests came from.
        incomplete: manifests whose content is not all here.
    """

    origins: Origins
    incomplete: IncompleteManifests


class UpstreamLookups:
    """Asks upstreams, and stores what they answer.

    Args:
        local: reads the store.
        records: records of what was pulled through.
        clock: tells the time of day.
        outcomes: counts what becomes of pulls.

    Attributes:
        unreachable: names of upstreams that could not be reached when they were last asked.
    """

    def __init__(self, local: Reader, records: PullRecords, clock: Clock, outcomes: PullMetrics) -> None:
        self.unreachable: set[str] = set()
        self._local = local
        self._records = records
        self._clock = clock
        self._outcomes = outcomes

    async def find_local(self, repository: Repository, digest: Digest) -> Manifest | None:
        """A manifest of the store, complete or not; None where there is none."""
        try:
            return await self._local.get_manifest(repository, digest)
        except errors.NotFound:
            incomplete = await self._records.incomplete.incomplete(repository, digest)
        if incomplete is not None:
            return incomplete
        try:  # it may have become complete between the two looks
            return await self._local.get_manifest(repository, digest)
        except errors.NotFound:
            return None

    async def fetch(self, repository: Repository, target: Tag | Digest, routes: Iterable[ProxyRoute]) -> Manifest:
        """Fetch a manifest from the first upstream that has it.

        Raises:
            ManifestUnknown: no upstream has it. RepositoryUnknown: nor such a repository.
            UpstreamFault: none of those that answered has it, and this is what became of the first of the others.
        """
        failure: errors.UpstreamFault | None = None
        missing: type[errors.NotFound] = errors.RepositoryUnknown
        for route in routes:
            try:
                manifest = await self._get(route, target)
                await self._store(repository, manifest, route, target)
            except errors.NotFound as error:
                missing = missing if isinstance(error, errors.RepositoryUnknown) else errors.ManifestUnknown
                continue
            except errors.UpstreamFault as error:
                failure = failure or error
                continue
            self._outcomes.manifest(PullOutcome.FETCHED)
            return manifest
        message = f"no manifest {target} of {repository} is here, and no upstream has it"
        raise failure or missing(message, name=repository, reference=target)

    async def revalidate(
        self,
        repository: Repository,
        tag: Tag,
        origin: Origin,
        routes: Iterable[ProxyRoute],
        is_awaited: Callable[[], bool],
    ) -> Manifest:
        """Ask whether a tag still points to the same manifest, and fetch the new one where it does not.

        Args:
            repository, tag: its local name.
            origin: where the local copy is from.
            routes: the upstreams. One that comes later takes over from the tag's own only where that has it no more.
            is_awaited: tells whether a caller still waits for the answer. Whoever was served the old manifest must
                not find another one when he asks a second time.

        Raises:
            ManifestUnknown: no upstream has the tag any more.
            UpstreamFault: its upstream failed.
        """
        try:
            for route in routes:
                try:
                    return await self._revalidate_at(repository, tag, origin, route, is_awaited)
                except errors.NotFound:
                    continue
                except errors.UpstreamFault:
                    if (route.upstream.name, route.repository) == (origin.upstream, origin.source):
                        raise
            gone = errors.ManifestUnknown(
                f"no upstream has {repository}:{tag} any more", name=repository, reference=tag
            )
            self._outcomes.failed(origin.upstream, gone)
            raise gone
        except (errors.UpstreamFault, errors.NotFound):
            await self._records.origins.record_origin(repository, tag, replace(origin, asked_at=self._clock.now()))
            raise

    async def note_timeout(self, repository: Repository, tag: Tag, origin: Origin) -> None:
        """Note that an upstream has not answered in time: callers do not wait for it until it has answered again."""
        self.unreachable.add(origin.upstream)
        await self._records.origins.record_origin(repository, tag, replace(origin, asked_at=self._clock.now()))

    async def _revalidate_at(
        self, repository: Repository, tag: Tag, origin: Origin, route: ProxyRoute, is_awaited: Callable[[], bool]
    ) -> Manifest:
        upstream = route.upstream
        found = await self.ask(route, upstream.registry.resolve(route.repository, tag))
        manifest = await self.find_local(repository, found.digest)
        if manifest is not None and found.digest == origin.digest:
            now = self._clock.now()
            confirmed = Origin(upstream.name, route.repository, found.digest, checked_at=now, asked_at=now)
            await self._records.origins.record_origin(repository, tag, confirmed)
            self._outcomes.manifest(PullOutcome.REVALIDATED)
            return manifest
        if manifest is None:
            manifest = await self._get(route, found.digest)
        if not is_awaited():
            raise errors.UpstreamUnreachable(
                f"upstream {upstream.name} told too late that {repository}:{tag} has moved"
            )
        await self._store(repository, manifest, route, tag)
        self._outcomes.moved(repository, tag, upstream.name, origin.digest, manifest.digest)
        self._outcomes.manifest(PullOutcome.MOVED)
        return manifest

    async def _get(self, route: ProxyRoute, target: Tag | Digest) -> Manifest:
        return await self.ask(route, route.upstream.registry.get_manifest(route.repository, target))

    async def _store(self, repository: Repository, manifest: Manifest, route: ProxyRoute, target: Tag | Digest) -> None:
        now = self._clock.now()
        origin = Origin(route.upstream.name, route.repository, manifest.digest, checked_at=now, asked_at=now)
        tag = target if isinstance(target, Tag) else None
        try:
            await self._records.incomplete.keep_incomplete(repository, manifest, origin, tag)
        except errors.ManifestInvalid as error:
            raise self._as_upstream_fault(route, error) from error

    async def ask(self, route: ProxyRoute, answer: Awaitable[Given]) -> Given:
        """Await an answer of an upstream. Raises NotFound, or an UpstreamFault in place of any other error."""
        name = route.upstream.name
        try:
            given = await answer
        except errors.NotFound:
            self.unreachable.discard(name)
            raise
        except errors.MirrorError as error:
            fault = self._as_upstream_fault(route, error)
            if isinstance(fault, errors.UpstreamUnreachable):
                self.unreachable.add(name)
            raise fault from error
        self.unreachable.discard(name)
        return given

    def _as_upstream_fault(self, route: ProxyRoute, error: errors.MirrorError) -> errors.UpstreamFault:
        name = route.upstream.name
        fault = (
            error
            if isinstance(error, errors.UpstreamFault)
            else errors.UpstreamProtocolError(f"upstream {name}: {error}", **error.detail)
        )
        self._outcomes.failed(name, fault)
        return fault
