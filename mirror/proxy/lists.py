"""Lists of a name that is pulled through: what is here, and what its upstreams list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import MirrorError, NotFound, RepositoryUnknown
from mirror.oci.names import Repository, Tag
from mirror.proxy.lookups import Lookups
from mirror.proxy.routes import Route
from mirror.registry.port import Entry, Lister, Page
from mirror.runtime.threads import in_thread
from mirror.wire.pagination import PageRequest

# Merged at once: a hop into a thread would cost more.
_LIGHT_ENTRIES = 1000


class Lists:
    """Merges lists. Of the upstreams, the first one that knows the name counts.

    Args:
        local: what is here.
        lookups: asks upstreams.
        patience_seconds: how long an upstream is waited for where there is something here already.
    """

    def __init__(self, local: Lister, lookups: Lookups, patience_seconds: float) -> None:
        self._local = local
        self._lookups = lookups
        self._patience_seconds = patience_seconds

    async def tags(self, repository: Repository, page: PageRequest, routes: Iterable[Route]) -> Page[Tag]:
        """Tags of a repository, in order.

        Raises:
            RepositoryUnknown: it is neither here nor at an upstream.
            UpstreamFault: it is not here, and no upstream could tell.
        """

        def ask(route: Route) -> Awaitable[Page[Tag]]:
            return route.upstream.registry.list_tags(route.repository, page)

        try:
            here = await self._local.list_tags(repository, page)
        except RepositoryUnknown:
            return await self._first(repository, routes, ask)
        return await _together(here, await self._in_time(repository, routes, ask), page, str)

    async def referrers(
        self,
        repository: Repository,
        subject: Digest,
        artifact_type: str | None,
        page: PageRequest,
        routes: Iterable[Route],
    ) -> Page[Descriptor]:
        """Manifests that refer to ``subject``, ordered by digest. An upstream that fails lists nothing."""

        def ask(route: Route) -> Awaitable[Page[Descriptor]]:
            return route.upstream.registry.list_referrers(route.repository, subject, artifact_type, page)

        here = await self._local.list_referrers(repository, subject, artifact_type, page)
        there = await self._in_time(repository, routes, ask)
        return await _together(here, there, page, lambda entry: str(entry.digest))

    async def _first(
        self, repository: Repository, routes: Iterable[Route], ask: Callable[[Route], Awaitable[Page[Entry]]]
    ) -> Page[Entry]:
        failure: MirrorError | None = None
        for route in routes:
            try:
                return await self._lookups.asked(route, ask(route))
            except NotFound:
                continue
            except MirrorError as error:
                failure = failure or error
        raise failure or RepositoryUnknown(f"no repository {repository} is here or upstream", name=repository)

    async def _in_time(
        self, repository: Repository, routes: Iterable[Route], ask: Callable[[Route], Awaitable[Page[Entry]]]
    ) -> Page[Entry]:
        reachable = [route for route in routes if route.upstream.name not in self._lookups.troubled]
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await self._first(repository, reachable, ask)
        except (MirrorError, TimeoutError):
            return Page(())


async def _together(
    here: Page[Entry], there: Page[Entry], page: PageRequest, key: Callable[[Entry], str]
) -> Page[Entry]:
    if len(here.entries) + len(there.entries) <= _LIGHT_ENTRIES:
        return _merged(here, there, page, key)
    return await in_thread(_merged, here, there, page, key)


def _merged(here: Page[Entry], there: Page[Entry], page: PageRequest, key: Callable[[Entry], str]) -> Page[Entry]:
    """Two pages that begin at the same place as one. Where both have an entry, it is the one that is here.

    A page may be shorter than was asked for although more follows. Of the other one, nothing is taken then that comes
    later than its last entry: what lies between is not known.
    """
    entries = {key(entry): entry for entry in (*there.entries, *here.entries)}
    known_to = min((key(each.entries[-1]) for each in (here, there) if each.more and each.entries), default=None)
    ordered = [entries[each] for each in sorted(entries) if known_to is None or each <= known_to]
    more = here.more or there.more or len(ordered) > page.size
    return Page(tuple(ordered[: page.size]), more and page.size > 0)
