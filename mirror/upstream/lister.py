"""Listing an upstream (distribution-spec, "Listing Tags", "Listing Referrers"; distribution's catalog).

Registries differ in the order of their lists and in what they make of ``n`` and ``last`` (docker-registry 2.8 gives all
tags at once, and its catalog in the order of its folders). So a list is read to its end, sorted, and the page cut here.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestUnknown, NameInvalid, NotFound, RepositoryUnknown, Unsupported, UpstreamLied
from mirror.oci.manifest import parse_json_object
from mirror.oci.names import Repository, Tag
from mirror.registry.port import Page
from mirror.upstream.exchange import Answer, Request
from mirror.upstream.session import UpstreamSession
from mirror.wire.pagination import PageRequest, parse_next_link
from mirror.wire.referrers import fallback_tag
from mirror.wire.routes import CatalogRoute, ManifestRoute, ReferrersRoute, TagsRoute
from mirror.wire.scopes import CATALOG, repository_scope

Item = TypeVar("Item")

_MOST_PAGES = 10_000
_MOST_ENTRIES = 1_000_000
_MAX_PAGE_BYTES = 16 * 1024 * 1024
# What docker-registry 2.8 gives at most; it refuses to be asked for more.
_ASKED_FOR = PageRequest(limit=1000)
# A registry that has the API never answers 404 there (distribution-spec, "Listing Referrers"); it may be given it.
_NO_API_SECONDS = 600.0
_JSON = {"Accept": "application/json"}
_INDEX = {"Accept": "application/vnd.oci.image.index.v1+json"}


class UpstreamLister:
    """Implements :class:`mirror.registry.port.Lister`; raises also as :meth:`UpstreamSession.send`."""

    _no_api_until_seconds = -math.inf

    def __init__(self, session: UpstreamSession) -> None:
        self._session = session

    @property
    def keeps_referrers_under_tags(self) -> bool:
        """Whether it has said lately that it has no API for referrers, so that only tags can lead to them."""
        return self._session.clock.monotonic_seconds() < self._no_api_until_seconds

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        request = Request("GET", CatalogRoute(_ASKED_FOR).url(), (str(CATALOG),), _JSON)
        return _cut(await self._names(request, "repositories", Repository.parse, NotFound), page)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        scopes = (repository_scope(repository, "pull"),)
        request = Request("GET", TagsRoute(repository, _ASKED_FOR).url(), scopes, _JSON)
        return _cut(await self._names(request, "tags", Tag.parse, RepositoryUnknown), page)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        scopes = (repository_scope(repository, "pull"),)
        found = None
        if not self.keeps_referrers_under_tags:
            request = Request("GET", ReferrersRoute(repository, subject, artifact_type).url(), scopes, _INDEX)
            try:
                found = await self._referrers(request, NotFound)
            except (NotFound, Unsupported) as error:
                if error.detail.get("code") != "NAME_UNKNOWN":
                    self._no_api_until_seconds = self._session.clock.monotonic_seconds() + _NO_API_SECONDS
        if found is None:
            tagged = Request("GET", ManifestRoute(repository, fallback_tag(subject)).url(), scopes, _INDEX, counts=True)
            try:
                found = await self._referrers(tagged, ManifestUnknown)
            except NotFound:
                found = {}
        kept = {key: value for key, value in found.items() if artifact_type in {None, value.artifact_type}}
        cut = _cut(kept, page)
        return Page(tuple(kept[digest] for digest in cut.entries), cut.more)

    async def _names(
        self, request: Request, key: str, parse: Callable[[str], Item], missing: type[NotFound]
    ) -> set[Item]:
        found: set[Item] = set()
        async for answer, body in self._pages(request, missing):
            with self._session.disbelieving(answer):
                texts = _strings(parse_json_object(body, f"list of {key}").get(key))
            if texts is None:
                raise answer.blame(UpstreamLied, f"its list of {key} is not a list of names")
            found.update(_usable(texts, parse))
            if len(found) > _MOST_ENTRIES:
                raise answer.blame(UpstreamLied, f"it lists more than {_MOST_ENTRIES} {key}")
        return found

    async def _referrers(self, request: Request, missing: type[NotFound]) -> dict[Digest, Descriptor]:
        found: dict[Digest, Descriptor] = {}
        async for answer, body in self._pages(request, missing):
            with self._session.disbelieving(answer):
                listed = parse_json_object(body, "list of referrers").get("manifests")
                if not isinstance(listed, list | None):
                    raise answer.blame(UpstreamLied, "its list of referrers is not a list")
                descriptors = [Descriptor.from_json(item, "manifests") for item in listed or ()]
            found |= {descriptor.digest: descriptor for descriptor in descriptors}
            if len(found) > _MOST_ENTRIES:
                raise answer.blame(UpstreamLied, f"it lists more than {_MOST_ENTRIES} referrers")
        return found

    async def _pages(self, request: Request, missing: type[NotFound]) -> AsyncIterator[tuple[Answer, bytes]]:
        """Every page of a list. ``Link`` is followed on the list's own path only."""
        path = urlsplit(request.url).path
        url: str | None = request.url
        seen: set[str] = set()
        while url is not None:
            if url in seen or len(seen) >= _MOST_PAGES:
                raise self._session.lied(f"its pages of {path} do not end")
            seen.add(url)
            page = Request(request.method, url, request.scopes, request.headers)
            answer, body = await self._session.read(page, _MAX_PAGE_BYTES, expect={200}, missing=missing)
            yield answer, body
            url = parse_next_link(answer.headers.get("Link"))
            if url is not None and urlsplit(url).path not in {"", path}:
                raise answer.blame(UpstreamLied, f"its next page is said to be at {url[:200]!r}, another path")
            if url is not None and not url.startswith("/"):
                url = path + url


def _strings(value: Any) -> list[str] | None:
    """A JSON list of strings, null being an empty one; None for anything else."""
    if value is None:
        return []
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _usable(texts: Iterable[str], parse: Callable[[str], Item]) -> Iterable[Item]:
    """Names in the grammar. Others cannot be asked for by anybody, so they are left out."""
    for text in texts:
        try:
            yield parse(text)
        except NameInvalid:
            continue


def _cut(found: Iterable[Item], page: PageRequest) -> Page[Item]:
    following = sorted((item for item in found if page.last is None or str(item) > page.last), key=str)
    return Page(tuple(following[: page.size]), more=0 < page.size < len(following))
