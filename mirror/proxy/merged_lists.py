"""Lists of pulled-through repositories: local entries merged with those of an upstream."""

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

# Pages up to this total length are merged in the event loop, because the switch to a thread would cost more.
_LIGHT_ENTRIES = 1000


class MergedLists:
    """Merges the local list of a repository with the list of the first upstream that knows the repository.

    Args:
        local: lister of the store.
        lookups: requests to upstreams.
        timeout_seconds: maximum wait for an upstream if there is a local list.
    """

    def __init__(self, local: Lister, lookups: UpstreamLookups, timeout_seconds: float) -> None:
        self._local = local
        self._lookups = lookups
        self._timeout_seconds = timeout_seconds

    async def tags(self, repository: Repository, page: PageRequest, routes: Iterable[ProxyRoute]) -> Page[Tag]:
        """Return one page of the tags of a repository, in order.

        Raises:
            RepositoryUnknown: neither the store nor an upstream has the repository.
            UpstreamFault: the store does not have the repository, and an upstream failed.
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
        """Return one page of the manifests that refer to ``subject``, ordered by digest.

        Entries of an upstream that fails are left out, and the page says so.
        """

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
        raise failure or RepositoryUnknown(
            f"neither the mirror nor an upstream has a repository {repository}", name=repository
        )

    async def _list_in_time(
        self, repository: Repository, routes: Iterable[ProxyRoute], ask: Callable[[ProxyRoute], Awaitable[Page[Entry]]]
    ) -> Page[Entry]:
        # Only an upstream that answered the last request is waited for, because there is a local list to serve.
        named = list(routes)
        reachable = [route for route in named if route.upstream.name not in self._lookups.unreachable]
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._list_first(repository, reachable, ask)
        except NotFound:
            return Page((), is_partial=len(reachable) < len(named))
        except (MirrorError, TimeoutError):
            return Page((), is_partial=True)


async def _merge(
    local_page: Page[Entry], upstream_page: Page[Entry], page: PageRequest, key: Callable[[Entry], str]
) -> Page[Entry]:
    if len(local_page.entries) + len(upstream_page.entries) <= _LIGHT_ENTRIES:
        return _merge_entries(local_page, upstream_page, page, key)
    return await in_thread(_merge_entries, local_page, upstream_page, page, key)


def _merge_entries(
    local_page: Page[Entry], upstream_page: Page[Entry], page: PageRequest, key: Callable[[Entry], str]
) -> Page[Entry]:
    """Merge two pages that begin at the same position. A local entry replaces an upstream entry with the same key.

    A page may be shorter than requested although more entries follow. Entries after the last one of a short page are
    then left out, because entries of that list in between are unknown.
    """
    entries = {key(entry): entry for entry in (*upstream_page.entries, *local_page.entries)}
    # Up to this key both lists are complete.
    known_to = min(
        (key(each.entries[-1]) for each in (local_page, upstream_page) if each.more and each.entries), default=None
    )
    ordered = [entries[each] for each in sorted(entries) if known_to is None or each <= known_to]
    more = local_page.more or upstream_page.more or len(ordered) > page.size
    return Page(tuple(ordered[: page.size]), more and page.size > 0, is_partial=upstream_page.is_partial)
