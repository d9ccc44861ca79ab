"""Lists of an upstream (distribution-spec, "Listing Tags", "Listing Referrers"; distribution's catalog).

Registries differ in the order of their lists and in the meaning of ``n`` and ``last``. docker-registry 2.8 returns all
tags at once, and its catalog in folder order. Therefore a list is read to its end and sorted, and its pages are cut
here.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import ClientFault, ManifestUnknown, NotFound, RepositoryUnknown, Unsupported, UpstreamRefused
from mirror.registry.port import Page
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.error_advice import without_fix
from mirror.upstream.head_requests import HeadRequests
from mirror.upstream.http.exchange import Request
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.upstream.limits.upstream_policy import ListBounds
from mirror.upstream.list_cache import ListCache
from mirror.upstream.list_paging import PAGE_SIZE, ListReader, ListReading
from mirror.wire.auth.scopes import CATALOG, repository_scope
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers_fallback import fallback_tag
from mirror.wire.routes import CatalogRoute, ManifestRoute, ReferrersRoute, TagsRoute

Item = TypeVar("Item")

_ASKED_FOR = PageRequest(limit=PAGE_SIZE)
# A registry with a referrers API never answers 404 (distribution-spec, "Listing Referrers"). After a 404, the API is
# tried again in ten minutes, because an upgrade may add the API.
_NO_API_SECONDS = 600.0
_JSON = {"Accept": "application/json"}
_INDEX = {"Accept": "application/vnd.oci.image.index.v1+json"}
# Pages up to this length are cut in the event loop. A thread would cost more.
_LIGHT_PAGE = 1000


class UpstreamLister:
    """The listing part of an upstream. Implements :class:`mirror.registry.port.Lister`.

    Also raises the errors of :meth:`UpstreamSession.send`.

    Args:
        session: session with the upstream.
        tasks: owns the running reads of lists, which continue after their callers have left.
        bounds: bounds of a list of names.
        manifest_heads: HEAD requests for manifests.
    """

    _no_api_until_seconds = -math.inf

    def __init__(
        self, session: UpstreamSession, tasks: asyncio.TaskGroup, bounds: ListBounds, manifest_heads: HeadRequests
    ) -> None:
        self._session = session
        self._manifest_heads = manifest_heads
        self._lists = ListReader(session, bounds)
        self._known = ListCache(tasks, session.clock, lambda: session.changes, bounds.entries)

    @property
    def keeps_referrers_under_tags(self) -> bool:
        """True if the upstream recently reported no referrers API. Referrers are then found by their tag only."""
        return self._session.clock.monotonic_seconds() < self._no_api_until_seconds

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        request = Request("GET", CatalogRoute(_ASKED_FOR).url(), (str(CATALOG),), _JSON)
        try:
            names = await self._names(request, "repositories", Repository.is_valid, NotFound)
        except (UpstreamRefused, ClientFault) as error:
            refusal = without_fix(error).removesuffix(".")
            raise type(error)(
                f"{refusal}; the upstream does not list its repositories, which a pattern in 'from:' needs; "
                f"fix: name each repository, such as from: {self._session.name}/NAME",
                **error.detail,
            ) from error
        return await _page(names, page, Repository)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        scopes = (repository_scope(repository, "pull"),)
        request = Request("GET", TagsRoute(repository, _ASKED_FOR).url(), scopes, _JSON)
        names = await self._names(request, "tags", Tag.is_valid, RepositoryUnknown)
        return await _page(names, page, Tag)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        url = ReferrersRoute(repository, subject, artifact_type).url()
        read = partial(self._read_referrers, repository, subject, url)
        reading: ListReading[Descriptor] = await self._known.get(url, read)

        # The filter is optional for a registry, so it is applied here as well.
        kept = {str(entry.digest): entry for entry in reading.entries if artifact_type in {None, entry.artifact_type}}
        return replace(await _page(tuple(kept), page, kept.__getitem__), shortened=reading.shortened)

    async def _names(
        self, request: Request, key: str, is_valid: Callable[[str], bool], missing: type[NotFound]
    ) -> Sequence[str]:
        async def read(reading: ListReading[str]) -> None:
            await self._lists.names(reading, request, key, is_valid, missing)

        reading: ListReading[str] = await self._known.get(request.url, read)
        return reading.entries

    async def _read_referrers(
        self, repository: Repository, subject: Digest, url: str, reading: ListReading[Descriptor]
    ) -> None:
        """Read the referrers of a manifest from the API, or without an API from the index under the fallback tag."""
        scopes = (repository_scope(repository, "pull"),)
        if not self.keeps_referrers_under_tags:
            try:
                return await self._lists.referrers(reading, Request("GET", url, scopes, _INDEX), NotFound)
            except (NotFound, Unsupported) as error:
                # An unknown repository says nothing about the API.
                if error.detail.get("code") != "NAME_UNKNOWN":
                    self._no_api_until_seconds = self._session.clock.monotonic_seconds() + _NO_API_SECONDS
        tagged = Request("HEAD", ManifestRoute(repository, fallback_tag(subject)).url(), scopes, _INDEX)

        async def read_by_get() -> bool:
            await self._lists.referrers(reading, replace(tagged, method="GET", counts=True), ManifestUnknown)
            return True

        try:
            # Most manifests have no referrers, and upstreams count the GET of a manifest.
            is_read = await self._manifest_heads.find(
                tagged, ManifestUnknown, lambda _: False, read_by_get, is_rare=True
            )
            if not is_read:
                await read_by_get()
        except NotFound:
            reading.entries.clear()


async def _page(names: Sequence[str], page: PageRequest, entry: Callable[[str], Item]) -> Page[Item]:
    """Return a page of a sorted list. ``entry`` converts a name to an entry."""
    start = 0 if page.last is None else bisect_right(names, page.last)
    cut = names[start : start + page.size]
    more = 0 < page.size < len(names) - start
    if len(cut) <= _LIGHT_PAGE:
        return Page(tuple(map(entry, cut)), more)
    return Page(await in_thread(lambda: tuple(map(entry, cut))), more)
