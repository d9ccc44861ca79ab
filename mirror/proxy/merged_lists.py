"""Lists of a repository that is pulled through: local entries, and those that an upstream lists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import MirrorError, NotFound, RepositoryUnknown
from mirror.proxy.proxy_routes import ProxyRoute
from mirror.proxy.upstream_lookups import UpstreamLookups
from mirror.registry.port import Entry, Lister, Page
from mirror.runtime.concurrency.threads import in_thread
from mirror.wire.pagination import PageRequest

# So many are merged in the event loop: a hop into a thread would cost more.
_LIGHT_ENTRIES = 1000


class MergedLists:
    """Merges the local list of a repository with that of the first upstream which knows it.

    Args:
        local: lists the store.
        lookups: asks upstreams.
        timeout_seconds: the longest wait for an upstream where there is a local list.
    """

    def __init__(self, local: Lister, lookups: UpstreamLookups, timeout_seconds: float) -> None:
        self._local = local
        self._lookups = lookups
        self._timeout_seconds = timeout_seconds

    async def tags(self, repository: Repository, page: PageRequest, routes: Iterable[ProxyRoute]) -> Page[Tag]:
        """Tags of a repository, in order.

        Raises:
            RepositoryUnknown: neither the store nor an upstream has the repository.
            UpstreamFault: the store does not have it, and no upstream could tell.
        """

        def ask(route: ProxyRoute) -> Awaitable[Page[Tag]]:
            return route.upstream.registry.list_tags(route.repository, page)

        try:
            local_page = await self._local.list_tags(repository, page)
        except RepositoryUnknown:
            return await self._list_first(repository, routes, ask)
        return await _merge(local_page, await self._list_in_time(repository, routes, ask), page, str)

    async def referrers(
        self,
        repository: Repository,
        subject: Digest,
        artifact_type: str | None,
        page: PageRequest,
        routes: Iterable[ProxyRoute],
    ) -> Page[Descriptor]:
        """Manifests that refer to ``subject``, ordered by digest. An upstream that fails lists nothing."""

        def ask(route: ProxyRoute) -> Awaitable[Page[Descriptor]]:
            return route.upstream.registry.list_referrers(route.repository, subject, artifact_type, page)

        local_page = await self._local.list_referrers(repository, subject, artifact_type, page)
        upstream_page = await self._list_in_time(repository, routes, ask)
        return await _merge(local_page, upstream_page, page, lambda entry: str(entry.digest))

    async def _list_first(
        self, repository: Repository, routes: Iterable[ProxyRoute], ask: Callable[[ProxyRoute], Awaitable[Page[Entry]]]
    ) -> Page[Entry]:
        failure: MirrorError | None = None
        for route in routes:
            try:
                return await self._lookups.ask(route, ask(route))
            except NotFound:
                continue
            except MirrorError as error:
                failure = failure or error
        raise failure or RepositoryUnknown(f"no repository {repository} is here or upstream", name=repository)

    async def _list_in_time(
        self, repository: Repository, routes: Iterable[ProxyRoute], ask: Callable[[ProxyRoute], Awaitable[Page[Entry]]]
    ) -> Page[Entry]:
        reachable = [route for route in routes if route.upstream.name not in self._lookups.unreachable]
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._list_first(repository, reachable, ask)
        except (MirrorError, TimeoutError):
            return Page(())


async def _merge(
    local_page: Page[Entry], upstream_page: Page[Entry], page: PageRequest, key: Callable[[Entry], str]
) -> Page[Entry]:
    if len(local_page.entries) + len(upstream_page.entries) <= _LIGHT_ENTRIES:
        return _merge_entries(local_page, upstream_page, page, key)
    return await in_thread(_merge_entries, local_page, upstream_page, page, key)


def _merge_entries(
    local_page: Page[Entry], upstream_page: Page[Entry], page: PageRequest, key: Callable[[Entry], str]
) -> Page[Entry]:
    """Make one page of two that begin at the same place. Where both have an entry, the local one counts.

    A page may be shorter than was asked for although more follows. Of the other one, nothing is taken then that comes
    later than its last entry: what lies between is not known.
    """
    entries = {key(entry): entry for entry in (*upstream_page.entries, *local_page.entries)}
    known_to = min(
        (key(each.entries[-1]) for each in (local_page, upstream_page) if each.more and each.entries), default=None
    )
    ordered = [entries[each] for each in sorted(entries) if known_to is None or each <= known_to]
    more = local_page.more or upstream_page.more or len(ordered) > page.size
    return Page(tuple(ordered[: page.size]), more and page.size > 0)
