"""Reading of a whole list from an upstream, page by page, within bounds and without blocking the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Generator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from mirror.oci import Descriptor, Digest
from mirror.oci.errors import ManifestInvalid, NotFound, UpstreamProtocolError
from mirror.runtime.concurrency.cooperative_sort import sort_cooperatively
from mirror.runtime.concurrency.threads import stepped
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.upstream.limits.upstream_policy import ListBounds
from mirror.wire.json_elements import elements
from mirror.wire.pagination import parse_next_link

Item = TypeVar("Item")

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
            request: request for the first page.
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
            if not all(isinstance(text, str) for text in texts):
                raise ManifestInvalid(f"its list of {key} is not a list of names")
            found.update(filter(is_valid, texts))

        await self._read(reading, request, key, missing=missing, bounds=self._bounds, take=take)
        await self._in_order(reading, found, str)

    async def referrers(self, reading: ListReading[Descriptor], request: Request, missing: type[NotFound]) -> None:
        """Read a list of referrers and sort the referrers by digest.

        A list over the bounds is read as far as they allow, because anybody who may attach content to a manifest can
        make it that long. Other arguments and errors are those of :meth:`names`.
        """
        found: dict[Digest, Descriptor] = {}

        def take(listed: list[Any]) -> None:
            descriptors = [Descriptor.from_json(item, "manifests") for item in listed]
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
    ) -> None:
        remedy = self._remedy(bounds)
        async for answer, body in self._pages(reading, request, missing, bounds):
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
        self, reading: ListReading[Item], request: Request, missing: type[NotFound], bounds: ListBounds
    ) -> AsyncIterator[tuple[Answer, bytes]]:
        """Yield every page of a list. Follow ``Link`` only on the path of the list."""
        path = urlsplit(request.url).path
        url: str | None = request.url
        seen: set[str] = set()
        clock = self._session.clock
        remedy = self._remedy(bounds)
        until_seconds = clock.monotonic_seconds() + bounds.seconds
        while url is not None:
            if url in seen:
                raise self._session.protocol_error(f"its pages of {path} do not end: {url[:200]!r} is repeated")
            if reading.pages >= bounds.pages:
                raise self._session.protocol_error(
                    f"its list at {path} has more than {bounds.pages} pages; {remedy}", bound="pages"
                )
            if clock.monotonic_seconds() > until_seconds:
                raise self._session.protocol_error(
                    f"its list at {path} has not ended within {bounds.seconds:g} s; {remedy}", bound="seconds"
                )
            seen.add(url)
            page = Request(request.method, url, request.scopes, request.headers, counts=request.counts)
            try:
                answer, body = await self._session.read(page, bounds.page_bytes, expect={200}, missing=missing)
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
            yield answer, body
            url = parse_next_link(answer.headers.get("Link"))
            if url is not None and urlsplit(url).path not in {"", path}:
                raise answer.error(UpstreamProtocolError, f"its link to the next page, {url[:200]!r}, has another path")
            if url is not None and not url.startswith("/"):
                url = path + url

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
