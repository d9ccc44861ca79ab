"""Requests for manifests to upstreams: first fetches and revalidations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from mirror.oci import Digest, Manifest, Repository, Tag, errors
from mirror.proxy.left_out_members import left_out_members, require_taken
from mirror.proxy.proxy_routes import ProxyRoute
from mirror.proxy.pull_metrics import PullMetrics, PullOutcome
from mirror.records.absent_content import AbsentContents
from mirror.records.origins import IncompleteManifests, Origin, Origins
from mirror.registry.port import Reader
from mirror.runtime.clock import Clock

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class PullRecords:
    """Records of pull-through.

    Attributes:
        origins: origins of tags and digests.
        incomplete: manifests whose blobs have not all arrived.
        absent: content that manifests name and their repositories lack for a known reason.
    """

    origins: Origins
    incomplete: IncompleteManifests
    absent: AbsentContents


class UpstreamLookups:
    """Requests manifests from upstreams and stores them.

    Args:
        local: reader of the store.
        records: records of pull-through.
        clock: source of the current time.
        outcomes: counter of the outcomes of pulls.

    Attributes:
        unreachable: names of upstreams that could not be reached at the last request.
    """

    def __init__(self, local: Reader, records: PullRecords, clock: Clock, outcomes: PullMetrics) -> None:
        self.unreachable: set[str] = set()
        self._local = local
        self._records = records
        self._clock = clock
        self._outcomes = outcomes

    async def find_local(self, repository: Repository, digest: Digest) -> Manifest | None:
        """Return a complete or incomplete manifest of the store; None if there is none."""
        try:
            return await self._local.get_manifest(repository, digest)
        except errors.NotFound:
            incomplete = await self._records.incomplete.incomplete(repository, digest)
        if incomplete is not None:
            return incomplete
        try:  # the manifest may have become complete between the two reads
            return await self._local.get_manifest(repository, digest)
        except errors.NotFound:
            return None

    async def fetch(self, repository: Repository, target: Tag | Digest, routes: Iterable[ProxyRoute]) -> Manifest:
        """Fetch a manifest from the first upstream that has it.

        Raises:
            ManifestUnknown: no upstream has the manifest, or ``platforms`` of the proxy rules leaves the manifest out.
            RepositoryUnknown: no upstream has the repository.
            UpstreamFault: no upstream returned the manifest, and at least one failed. This is the first failure.
        """
        failure: errors.UpstreamFault | None = None
        missing: type[errors.NotFound] = errors.RepositoryUnknown
        left_out: errors.LeftOut | None = None
        for route in routes:
            try:
                await self._require_taken(repository, target, route)
                manifest = await self._get(route, target)
                await self._store(repository, manifest, route, target)
            except errors.LeftOut as error:
                left_out = error
                continue
            except errors.NotFound as error:
                missing = missing if isinstance(error, errors.RepositoryUnknown) else errors.ManifestUnknown
                continue
            except errors.UpstreamFault as error:
                failure = failure or error
                continue
            self._outcomes.manifest(PullOutcome.FETCHED)
            return manifest
        message = f"neither the mirror nor an upstream has the manifest {target} of {repository}"
        if failure is None and left_out is None and isinstance(target, Digest):
            await self._records.incomplete.gave_up(repository, target)
        raise failure or left_out or missing(message, name=repository, reference=target)

    async def _require_taken(self, repository: Repository, target: Tag | Digest, route: ProxyRoute) -> None:
        if isinstance(target, Digest) and route.platforms is not None:
            absent = await self._records.absent.absent_content(repository, digest=target)
            require_taken(repository, target, absent, route)

    async def revalidate(
        self,
        repository: Repository,
        tag: Tag,
        origin: Origin,
        routes: Iterable[ProxyRoute],
        is_awaited: Callable[[], bool],
    ) -> Manifest:
        """Ask whether a tag still points to the same manifest, and fetch the new manifest if the tag has moved.

        Args:
            repository: local repository.
            tag: the tag.
            origin: origin of the local copy.
            routes: routes to upstreams. A later upstream is used only if the upstream of the origin no longer has the
                tag.
            is_awaited: returns True while a caller waits for the answer. A caller that was served the old manifest must
                not get a new one at its second request, so a moved tag is not stored after that.

        Raises:
            ManifestUnknown: no upstream has the tag any more.
            UpstreamFault: the upstream of the origin failed.
        """
        try:
            for route in routes:
                try:
                    return await self._revalidate_at(repository, tag, origin, route, is_awaited)
                except errors.NotFound:
                    continue
                except errors.UpstreamFault:
                    # A tag changes its upstream only if its own upstream no longer has it, and a failure does not
                    # say so.
                    if (route.upstream.name, route.repository) == (origin.upstream, origin.source):
                        raise
            gone = errors.ManifestUnknown(
                f"no upstream has {repository}:{tag} any more", name=repository, reference=tag
            )
            self._outcomes.failed(origin.upstream, gone)
            raise gone
        except (errors.UpstreamFault, errors.NotFound):
            # Recorded for all workers: none of them asks about this tag again before ``retry_after`` has passed.
            await self._records.origins.record_origin(repository, tag, replace(origin, asked_at=self._clock.now()))
            raise

    async def note_timeout(self, repository: Repository, tag: Tag, origin: Origin) -> None:
        """Record that an upstream did not answer in time.

        Callers do not wait for this upstream until it has answered again.
        """
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
            # If the setting has changed since the index was stored, the index still waits for what is now left out.
            left_out = left_out_members(repository, manifest, route)
            if left_out and await self._records.incomplete.awaited(repository, left_out[0].digest) is not None:
                await self._store(repository, manifest, route, tag)
            self._outcomes.manifest(PullOutcome.REVALIDATED)
            return manifest
        if manifest is None:
            manifest = await self._get(route, found.digest)
        # The caller was served the old manifest and may still be installing it.
        if not is_awaited():
            raise errors.UpstreamUnreachable(
                f"upstream {upstream.name} answered too late that {repository}:{tag} has moved"
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
        left_out = left_out_members(repository, manifest, route)
        try:
            await self._records.incomplete.keep_incomplete(repository, manifest, origin, tag, left_out)
        except errors.ManifestInvalid as error:  # refused by the store: the upstream is at fault, not the client
            raise self._as_upstream_fault(route, error) from error

    async def ask(self, route: ProxyRoute, answer: Awaitable[Given]) -> Given:
        """Await the answer of an upstream and record whether the upstream is reachable.

        Raises:
            NotFound: the upstream does not have the content.
            UpstreamFault: the request failed. Any other MirrorError is converted to an UpstreamProtocolError.
        """
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
        fault = error
        if not isinstance(fault, errors.UpstreamFault):
            # The answer to a request is an error that names the upstream already.
            what = str(error) if "upstream" in error.detail else f"upstream {name}: {error}"
            fault = errors.UpstreamProtocolError(what, **error.detail)
        self._outcomes.failed(name, fault)
        return fault
