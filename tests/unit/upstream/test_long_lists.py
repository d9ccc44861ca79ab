"""Lists longer than any real one: the part that is read, the number of requests, and fairness to other tasks."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from mirror.oci import Tag
from mirror.oci.errors import NotFound, UpstreamProtocolError
from mirror.upstream.http.exchange import Request
from mirror.upstream.limits.upstream_policy import ListBounds
from mirror.upstream.list_paging import REFERRER_BOUNDS, ListReader, ListReading
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.pagination import PageRequest
from tests.support.clocks import HandClock
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.waiting import until
from tests.unit.upstream.conftest import QUICK
from tests.unit.upstream.content import (
    CATALOG,
    MANIFEST_DIGEST,
    REFERRERS,
    REPOSITORY,
    ROOT,
    TAG,
    TAG_PATH,
    TAGS,
    descriptor,
    index,
    tags,
)

LONG = [f"v1.0.{number:05}" for number in range(20_000)]
SMALL = ListBounds(entries=1000, pages=5, page_bytes=64 * 1024, whole_bytes=200_000, seconds=60)
ALL = PageRequest()


@asynccontextmanager
async def bounded(server: ScriptedServer, lists: ListBounds, clock: HandClock) -> AsyncIterator[UpstreamRegistry]:
    policy = replace(QUICK, lists=lists)
    async with UpstreamRegistry.open(
        name="hub", url=server.url, plain_http=True, policy=policy, clock=clock
    ) as upstream:
        yield upstream


def paged(server: ScriptedServer, *pages: list[str]) -> None:
    """Script a list of tags in pages, each with a link to the next."""
    line = TAGS
    for number, names in enumerate(pages, 1):
        path = f"{ROOT}/tags/list?p={number}"
        server.on(line, tags(*names, link=f"<{path}>; rel=next" if number < len(pages) else None))
        line = f"GET {path}"


async def test_the_event_loop_has_its_turns_while_a_list_is_read(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    """Counts the names that are checked between two rounds of the event loop."""
    server.on(TAGS, tags(*LONG))
    turns = 0
    looked_at: Counter[int] = Counter()

    async def ticking() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def is_valid(_: str) -> bool:
        looked_at[turns] += 1
        return True

    reading: ListReading[str] = ListReading()
    request = Request("GET", TAGS.removeprefix("GET "), ())
    ticker = asyncio.create_task(ticking())
    try:
        await ListReader(upstream._session, ListBounds()).names(reading, request, "tags", is_valid, NotFound)
    finally:
        ticker.cancel()
        await asyncio.gather(ticker, return_exceptions=True)
    assert (reading.entries, looked_at.total()) == (LONG, len(LONG))
    assert max(looked_at.values()) <= 1024


@pytest.mark.parametrize(
    "names",
    [
        [f"v{number}" for number in range(1001)],
        ["../outside"] * 1001,
        ["again"] * 1001,
        ["a", *["-"] * 500, *["a"] * 500],
    ],
    ids=["names", "outside the grammar", "repeated", "all of it"],
)
async def test_every_name_counts(server: ScriptedServer, names: list[str]) -> None:
    server.on(TAGS, tags(*names))
    server.on(CATALOG, Reply(200, json.dumps({"repositories": names}).encode()))
    async with bounded(server, SMALL, HandClock()) as upstream:
        with pytest.raises(
            UpstreamProtocolError, match=r"more than 1000 tags; .* raise upstreams\.hub\.limits\.list_entries"
        ):
            await upstream.list_tags(REPOSITORY, ALL)
        with pytest.raises(UpstreamProtocolError, match="more than 1000 repositories"):
            await upstream.list_repositories(ALL)


async def test_names_count_over_all_pages(server: ScriptedServer) -> None:
    paged(server, ["a"] * 600, ["a"] * 400)
    async with bounded(server, SMALL, HandClock()) as upstream:
        assert (await upstream.list_tags(REPOSITORY, ALL)).entries == (Tag("a"),)
    paged(server, ["a"] * 600, ["a"] * 401)
    async with bounded(server, SMALL, HandClock()) as upstream:
        with pytest.raises(UpstreamProtocolError, match="more than 1000 tags"):
            await upstream.list_tags(REPOSITORY, ALL)


async def test_pages_are_counted(server: ScriptedServer) -> None:
    paged(server, *([str(number)] for number in range(6)))
    async with bounded(server, SMALL, HandClock()) as upstream:
        with pytest.raises(UpstreamProtocolError, match="more than 5 pages"):
            await upstream.list_tags(REPOSITORY, ALL)
    assert len(server.seen) == 5


async def test_bytes_are_counted_over_all_pages(server: ScriptedServer) -> None:
    paged(server, *([letter * 60_000] for letter in "abcde"))
    async with bounded(server, SMALL, HandClock()) as upstream:
        with pytest.raises(UpstreamProtocolError, match="longer than 200000 bytes in all"):
            await upstream.list_tags(REPOSITORY, ALL)
    assert len(server.seen) == 4


async def test_it_may_not_take_for_ever(server: ScriptedServer) -> None:
    paged(server, ["a"], ["b"])
    clock = HandClock()
    async with bounded(server, replace(SMALL, seconds=-1), clock) as upstream:
        with pytest.raises(UpstreamProtocolError, match="has not ended within"):
            await upstream.list_tags(REPOSITORY, ALL)
    assert server.seen == []


async def test_referrers_are_counted(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    """A list over the bounds gives what could be read, because whoever may attach content can make it that long."""
    server.on(REFERRERS, Reply(200, index(*[descriptor(1)] * (REFERRER_BOUNDS.entries + 1))))
    page = await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, ALL)
    assert (len(page.entries), page.shortened) == (1, True)


async def test_a_page_of_referrers_that_is_too_long_is_left_out(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    next_page = {"Link": f"<{ROOT}/referrers/{MANIFEST_DIGEST}?p=2>; rel=next"}
    first = index(descriptor(1))
    server.on(REFERRERS, Reply(200, first, next_page))
    too_long = Reply(200, first + b" " * REFERRER_BOUNDS.page_bytes)
    server.on(f"GET {ROOT}/referrers/{MANIFEST_DIGEST}?p=2", too_long)
    page = await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, ALL)
    assert (len(page.entries), page.shortened) == (1, True)


async def test_one_page_after_the_other_costs_one_list(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(TAGS, tags(*LONG))
    listed: list[Tag] = []
    page = await upstream.list_tags(REPOSITORY, PageRequest(limit=7000))
    while page.more:
        listed += page.entries
        page = await upstream.list_tags(REPOSITORY, PageRequest(limit=7000, last=str(page.entries[-1])))
    listed += page.entries
    assert [tag.name for tag in listed] == LONG
    assert server.lines == [TAGS]


async def test_who_asks_at_the_same_time_costs_one_list(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(TAGS, tags(*LONG))
    pages = await asyncio.gather(*(upstream.list_tags(REPOSITORY, PageRequest(limit=1)) for _ in range(20)))
    assert {page.entries for page in pages} == {(Tag(LONG[0]),)}
    assert server.lines == [TAGS]


async def test_a_long_list_is_read_again_after_a_minute(server: ScriptedServer) -> None:
    server.on(TAGS, tags(*LONG))
    clock = HandClock()
    async with bounded(server, ListBounds(), clock) as upstream:
        for seconds, asked in ((0, 1), (59, 1), (2, 2)):
            clock.advance(seconds=seconds)
            await upstream.list_tags(REPOSITORY, ALL)
            assert len(server.lines) == asked


async def test_a_short_list_is_asked_for_each_time(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(TAGS, tags("a"), tags("a", "b"))
    await upstream.list_tags(REPOSITORY, ALL)
    assert len((await upstream.list_tags(REPOSITORY, ALL)).entries) == 2


async def test_what_was_changed_through_us_is_seen_at_once(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(TAGS, tags(*LONG), tags(*LONG[1:]))
    server.on(f"DELETE {TAG_PATH}", Reply(202))
    await upstream.list_tags(REPOSITORY, ALL)
    await upstream.delete_tag(REPOSITORY, TAG)
    assert (await upstream.list_tags(REPOSITORY, ALL)).entries[0] == Tag(LONG[1])


async def test_a_list_too_long_is_not_read_again_for_each_who_asks(server: ScriptedServer) -> None:
    server.on(TAGS, tags(*LONG))
    clock = HandClock()
    async with bounded(server, replace(ListBounds(), entries=1000), clock) as upstream:
        for _ in range(3):
            with pytest.raises(UpstreamProtocolError, match="more than 1000 tags"):
                await upstream.list_tags(REPOSITORY, PageRequest(limit=1))
        assert server.lines == [TAGS]
        clock.advance(seconds=61)
        with pytest.raises(UpstreamProtocolError, match="more than 1000 tags"):
            await upstream.list_tags(REPOSITORY, PageRequest(limit=1))
    assert server.lines == [TAGS, TAGS]


async def test_nor_is_a_page_too_long(server: ScriptedServer) -> None:
    server.on(TAGS, tags("x" * 70_000))
    async with bounded(server, SMALL, HandClock()) as upstream:
        for _ in range(3):
            with pytest.raises(UpstreamProtocolError, match="longer than 65536 bytes"):
                await upstream.list_tags(REPOSITORY, ALL)
    assert server.lines == [TAGS]


async def test_a_list_is_read_to_its_end_although_nobody_waits(server: ScriptedServer) -> None:
    server.on(TAGS, tags(*LONG))
    async with bounded(server, ListBounds(), HandClock()) as upstream:
        asking = asyncio.create_task(upstream.list_tags(REPOSITORY, ALL))
        await until(lambda: server.lines == [TAGS])
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert len((await upstream.list_tags(REPOSITORY, ALL)).entries) == 10_000
    assert server.lines == [TAGS]


async def test_no_more_is_remembered_than_one_list_may_hold(server: ScriptedServer) -> None:
    other = type(REPOSITORY)("other/plugin")
    others = "GET /v2/other/plugin/tags/list?n=1000"
    server.on(TAGS, tags(*LONG))
    server.on(others, tags(*LONG))
    async with bounded(server, replace(ListBounds(), entries=30_000), HandClock()) as upstream:
        for repository in (REPOSITORY, other, other, REPOSITORY):
            await upstream.list_tags(repository, ALL)
    assert server.lines == [TAGS, others, TAGS]
