"""Reading of a whole list from an upstream, page by page, within bounds and without blocking the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Generator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

import structlog

from mirror.oci import Descriptor, Digest
from mirror.oci.errors import ClientFault, ManifestInvalid, NotFound, UpstreamProtocolError
from mirror.runtime.concurrency.cooperative_sort import sort_cooperatively
from mirror.runtime.concurrency.threads import stepped
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.upstream.limits.upstream_policy import ListBounds
from mirror.wire.json_elements import elements
from mirror.wire.pagination import parse_next_link

_LOG = structlog.get_logger(__name__)

Item = TypeVar("Item")

#: Size of the pages to request: the largest of docker-registry 2.8, which rejects requests for more.
PAGE_SIZE: Final = 1000
# Codes of errors that say nothing about n.
_NAME_CODES: Final = frozenset({"NAME_UNKNOWN", "NAME_INVALID"})

# Pages up to this size, in bytes, and lists up to this length are processed in the event loop, because a thread would
# cost more.
_LIGHT_BYTES: Final = 16 * 1024
_LIGHT_ENTRIES: Final = 2048
#: Bounds of a list of referrers. A manifest has some tens of referrers at most. Without a referrers API the list is an
#: index, so a page has at most the size of a manifest.
REFERRER_BOUNDS: Final = ListBounds(
    entries=10_000, pages=200, page_bytes=4 * 1024 * 1024, whole_bytes=16 * 1024 * 1024, seconds=600
)


@dataclass(slots=True)
class ListReading(Generic[Item]):
    """The part of a list that has been read.

    Attributes:
        entries: the entries in order, without duplicates.
        count: number of entries received, including omitted and repeated entries.
        pages: number of pages received.
        received_bytes: size of all pages, in bytes.
        shortened: True if the list is longer than its bounds, and ``entries`` has only what was read.
    """

    entries: list[Item] = field(default_factory=list)
    count: int = 0
    pages: int = 0
    received_bytes: int = 0
    shortened: bool = False


class ListReader:
    """A reader of the lists of one upstream.

    Args:
        session: session with the upstream.
        bounds: bounds of a list of names.
    """

    def __init__(self, session: UpstreamSession, bounds: ListBounds) -> None:
        self._session = session
        self._bounds = bounds
        self._is_page_size_accepted = True

    async def names(
        self,
        reading: ListReading[str],
        request: Request,
        key: str,
        is_valid: Callable[[str], bool],
        missing: type[NotFound],
    ) -> None:
        """Read a list of names to its end and sort the names in ASCII order.

        Invalid names are omitted, because no client can request them. They count towards the bounds.

        Args:
            reading: receives the result.
            request: request for the first page, with ``n`` set to :data:`PAGE_SIZE`.
            key: JSON member that contains the names.
            is_valid: returns True if a name is valid.
            missing: error class for a 404.

        Raises:
            UpstreamProtocolError: the answer is not a list of names, or the list exceeds the bounds. ``reading`` then
                holds the counts up to the error.
            MirrorError: as :meth:`UpstreamSession.send`.
        """
        found: set[str] = set()

        def take(texts: list[Any]) -> None:
            names = [text for text in texts if text is not None]  # some registries list deleted tags as null
            if not all(isinstance(name, str) for name in names):
                raise ManifestInvalid(f"its list of {key} is not a list of names")
            found.update(filter(is_valid, names))

        await self._read(reading, request, key, missing=missing, bounds=self._bounds, take=take, asked=PAGE_SIZE)
        await self._in_order(reading, found, str)

    async def referrers(self, reading: ListReading[Descriptor], request: Request, missing: type[NotFound]) -> None:
        """Read a list of referrers and sort the referrers by digest.

        A list over the bounds is read as far as they allow, because anybody who may attach content to a manifest can
        make it that long. Other arguments and errors are those of :meth:`names`.
        """
        found: dict[Digest, Descriptor] = {}

        def take(listed: list[Any]) -> None:
            descriptors = [Descriptor.from_json(item, "manifests") for item in listed if item is not None]
            found.update((descriptor.digest, descriptor) for descriptor in descriptors)

        try:
            await self._read(reading, request, "manifests", missing=missing, bounds=REFERRER_BOUNDS, take=take)
        except UpstreamProtocolError as error:
            if "bound" not in error.detail and "limit_bytes" not in error.detail:
                raise
            reading.shortened = True
        await self._in_order(reading, found.values(), lambda entry: str(entry.digest))

    async def _read(
        self,
        reading: ListReading[Item],
        request: Request,
        key: str,
        *,
        missing: type[NotFound],
        bounds: ListBounds,
        take: Callable[[list[Any]], None],
        asked: int | None = None,
    ) -> None:
        remedy = self._remedy(bounds)
        async for answer, body in self._pages(reading, request, missing, bounds, asked):
            with self._session.as_upstream_error(answer):
                async for count in _stepped(_taken(body, key, take), light=len(body) <= _LIGHT_BYTES):
                    reading.count += count
                    if reading.count > bounds.entries:
                        raise answer.error(
                            UpstreamProtocolError,
                            f"it lists more than {bounds.entries} {key}; {remedy}",
                            bound="entries",
                        )

    async def _pages(
        self,
        reading: ListReading[Item],
        request: Request,
        missing: type[NotFound],
        bounds: ListBounds,
        asked: int | None,
    ) -> AsyncIterator[tuple[Answer, bytes]]:
        """Yield every page of a list. Of a link to the next page, only the query is used, and only on our own URL."""
        path = request.url.partition("?")[0]
        url, page_size = (request.url, asked) if asked is None or self._is_page_size_accepted else (path, None)
        seen_urls: set[str] = set()
        seen_pages: set[int] = set()
        clock = self._session.clock
        remedy = self._remedy(bounds)
        until_seconds = clock.monotonic_seconds() + bounds.seconds
        while True:
            if reading.pages >= bounds.pages:
                raise self._session.protocol_error(
                    f"its list at {path} has more than {bounds.pages} pages; {remedy}", bound="pages"
                )
            if clock.monotonic_seconds() > until_seconds:
                raise self._session.protocol_error(
                    f"its list at {path} has not ended within {bounds.seconds:g} s; {remedy}", bound="seconds"
                )
            try:
                answer, body = await self._page(replace(request, url=url), bounds, missing)
            except ClientFault as error:
                # A registry may refuse n, as distribution does above its limit.
                if page_size is None or reading.pages > 0 or error.detail.get("code") in _NAME_CODES:
                    raise
                url, page_size = path, None
                answer, body = await self._page(replace(request, url=url), bounds, missing)
                self._is_page_size_accepted = False
            except UpstreamProtocolError as error:
                if "limit_bytes" in error.detail:  # a page that is too long counts as read, so the error is cached
                    reading.received_bytes += bounds.page_bytes
                raise
            reading.pages += 1
            reading.received_bytes += len(body)
            if reading.received_bytes > bounds.whole_bytes:
                raise answer.error(
                    UpstreamProtocolError,
                    f"its list is longer than {bounds.whole_bytes} bytes in all; {remedy}",
                    bound="bytes",
                )
            seen_urls.add(url)
            count = reading.count
            yield answer, body
            count = reading.count - count
            link = parse_next_link(", ".join(answer.all_of("Link")))
            if link is None:
                return
            following = path + "".join(link.partition("?")[1:])
            is_stuck = following == url or (count > 0 and hash(body) in seen_pages)
            if is_stuck and count == page_size:
                # The upstream ignores the place from which the page was requested, so the rest cannot be read.
                raise self._session.protocol_error(f"its pages of {path} do not end: a page of {count} is repeated")
            if is_stuck or following in seen_urls:
                _LOG.warning("upstream repeats a page of a list", upstream=self._session.name, path=path)
                return
            seen_pages.add(hash(body))
            url = following

    async def _page(self, page: Request, bounds: ListBounds, missing: type[NotFound]) -> tuple[Answer, bytes]:
        return await self._session.read(page, bounds.page_bytes, expect={200}, missing=missing)

    def _remedy(self, bounds: ListBounds) -> str:
        if bounds is REFERRER_BOUNDS:
            return "the rest of the referrers of this manifest is ignored, because no real manifest has as many"
        setting = f"upstreams.{self._session.name}.limits.list_entries"
        return f"single tags can still be pulled; fix: raise {setting} if the list is meant to be that long"

    async def _in_order(self, reading: ListReading[Item], found: Collection[Item], key: Callable[[Item], str]) -> None:
        async for some in _stepped(sort_cooperatively(found, key), light=len(found) <= _LIGHT_ENTRIES):
            reading.entries += some


def _taken(body: bytes, key: str, take: Callable[[list[Any]], None]) -> Generator[int, None, None]:
    for some in elements(body, key, f"list of {key}"):
        take(some)
        yield len(some)


async def _stepped(steps: Generator[Item, None, None], *, light: bool) -> AsyncIterator[Item]:
    """Iterate a generator, with each step in a thread, or without threads if ``light``."""
    if light:
        for piece in steps:
            yield piece
        return
    async with aclosing(stepped(steps)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            yield piece
