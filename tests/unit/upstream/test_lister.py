"""Lists of registries that deviate from the specification, cut into pages that follow it."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from mirror.oci import Repository, Tag
from mirror.oci.errors import ClientFault, MirrorError, RepositoryUnknown, UpstreamProtocolError, UpstreamRefused
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.pagination import PageRequest
from tests.support.clocks import HandClock
from tests.support.scripted_server import Reply, ScriptedServer
from tests.unit.upstream.content import (
    CATALOG,
    DESCRIBED,
    FALLBACK,
    FALLBACK_HEAD,
    MANIFEST,
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


async def test_every_page_is_read_and_sorted(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(TAGS, tags("b", "10", link=f'<{ROOT}/tags/list?n=2&last=b>; rel="next"'))
    server.on(
        f"GET {ROOT}/tags/list?n=2&last=b", tags("9", "B", link=f"<{server.url}{ROOT}/tags/list?token=x>; rel=next")
    )
    server.on(f"GET {ROOT}/tags/list?token=x", tags("a", link='<?token=y>; rel="next"'))
    server.on(f"GET {ROOT}/tags/list?token=y", tags("b"))
    page = await upstream.list_tags(REPOSITORY, PageRequest())
    assert [tag.name for tag in page.entries] == ["10", "9", "B", "a", "b"]
    assert not page.more
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("request_", "names", "more"),
    [
        (PageRequest(), ["a", "b", "c"], False),
        (PageRequest(limit=2), ["a", "b"], True),
        (PageRequest(limit=2, last="b"), ["c"], False),
        (PageRequest(last="aa"), ["b", "c"], False),
        (PageRequest(limit=0), [], False),
        (PageRequest(last="c"), [], False),
    ],
)
async def test_pages_are_cut_here(
    server: ScriptedServer, upstream: UpstreamRegistry, request_: PageRequest, names: list[str], more: bool
) -> None:
    server.on(TAGS, tags("c", "a", "b"))
    page = await upstream.list_tags(REPOSITORY, request_)
    assert ([tag.name for tag in page.entries], page.more) == (names, more)


@pytest.mark.parametrize("body", [b'{"name": "x", "tags": null}', b'{"name": "x"}', b'{"tags": []}'])
async def test_no_tags(server: ScriptedServer, upstream: UpstreamRegistry, body: bytes) -> None:
    server.on(TAGS, Reply(200, body))
    assert (await upstream.list_tags(REPOSITORY, PageRequest())).entries == ()


async def test_names_that_nobody_can_ask_for_are_left_out(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(TAGS, tags("1.0", "../../etc", "x" * 129, ""))
    server.on(CATALOG, Reply(200, b'{"repositories": ["Upper", "a/b", "../x"]}'))
    assert (await upstream.list_tags(REPOSITORY, PageRequest())).entries == (Tag("1.0"),)
    assert (await upstream.list_repositories(PageRequest())).entries == (Repository("a/b"),)


@pytest.mark.parametrize(
    "link",
    [
        "</v2/other/tags/list?last=a>",
        "</tags/list?last=a>",
        "<tags/list?last=a>",
        "<?last=a>",
        f"<{ROOT}/tags/list/?last=a>",
        f"<https://evil.example{ROOT}/tags/list?last=a>",
        f"<https://user:password@evil.example:1{ROOT}/tags/list?last=a#x>",
        f"<//evil.example{ROOT}/tags/list?last=a>",
        "<file:///etc/passwd?last=a>",
    ],
    ids=lambda link: link.replace("/", "|"),
)
async def test_of_a_link_only_the_query_is_used(server: ScriptedServer, upstream: UpstreamRegistry, link: str) -> None:
    server.on(TAGS, tags("a", link=f"{link}; rel=next"))
    server.on(f"GET {ROOT}/tags/list?last=a", tags("b"))
    assert (await upstream.list_tags(REPOSITORY, PageRequest())).entries == (Tag("a"), Tag("b"))


async def test_null_is_no_tag(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(TAGS, Reply(200, b'{"name": "x", "tags": [null, "a", null, "b", null]}'))
    server.on(REFERRERS, Reply(200, b'{"manifests": [null]}'))
    assert (await upstream.list_tags(REPOSITORY, PageRequest())).entries == (Tag("a"), Tag("b"))
    assert (await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, PageRequest())).entries == ()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, b'{"errors": [{"code": "PAGINATION_NUMBER_INVALID", "message": "invalid number"}]}'),
        Reply(400),
        Reply(404, b"404 page not found"),
        Reply(416),
    ],
    ids=["distribution", "400", "404", "416"],
)
async def test_a_page_size_that_is_refused_is_not_sent_again(
    server: ScriptedServer, upstream: UpstreamRegistry, reply: Reply
) -> None:
    whole = f"GET {ROOT}/tags/list"
    server.on(TAGS, reply)
    server.on(whole, tags("a", link="<?last=a>; rel=next"))
    server.on(f"{whole}?last=a", tags("b"))
    server.on("GET /v2/_catalog", Reply(200, b'{"repositories": ["a/b"]}'))
    for _ in range(2):
        assert len((await upstream.list_tags(REPOSITORY, PageRequest())).entries) == 2
    assert (await upstream.list_repositories(PageRequest())).entries == (Repository("a/b"),)
    assert [line for line in server.lines if "n=" in line] == [TAGS]


@pytest.mark.parametrize("code", ["NAME_UNKNOWN", "NAME_INVALID"])
async def test_an_unknown_name_says_nothing_of_the_page_size(
    server: ScriptedServer, upstream: UpstreamRegistry, code: str
) -> None:
    server.on(TAGS, Reply(404, b'{"errors": [{"code": "%b", "message": ""}]}' % code.encode()))
    with pytest.raises(MirrorError):
        await upstream.list_tags(REPOSITORY, PageRequest())
    assert server.lines == [TAGS]


async def test_a_page_size_is_sent_again_if_the_list_fails_without_it(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(TAGS, Reply(404), tags("a"))
    server.on(f"GET {ROOT}/tags/list", Reply(404))
    with pytest.raises(RepositoryUnknown):
        await upstream.list_tags(REPOSITORY, PageRequest())
    assert (await upstream.list_tags(REPOSITORY, PageRequest())).entries == (Tag("a"),)


@pytest.mark.parametrize(
    ("link", "asked"),
    [(f"<{ROOT}/tags/list?n=1000>", 1), (f"<{ROOT}/tags/list?n=1000&last=b>", 2), ("<>", 2)],
    ids=["the same link", "the same page", "no place"],
)
async def test_a_page_that_comes_again_ends_the_list(
    server: ScriptedServer, upstream: UpstreamRegistry, link: str, asked: int
) -> None:
    page = tags("a", "b", link=f"{link}; rel=next")
    for line in (TAGS, f"GET {ROOT}/tags/list?n=1000&last=b", f"GET {ROOT}/tags/list"):
        server.on(line, page)
    with capture_logs() as logged:
        assert len((await upstream.list_tags(REPOSITORY, PageRequest())).entries) == 2
    assert len(server.lines) == asked
    assert [entry["event"] for entry in logged if entry["log_level"] == "warning"] == [
        "upstream repeats a page of a list"
    ]


@pytest.mark.parametrize("link", ["?n=1000", "?n=1000&last=z"])
async def test_a_full_page_that_comes_again_is_not_the_whole_list(
    server: ScriptedServer, upstream: UpstreamRegistry, link: str
) -> None:
    page = tags(*(f"v{number}" for number in range(1000)), link=f"<{link}>; rel=next")
    for line in (TAGS, f"GET {ROOT}/tags/list?n=1000&last=z"):
        server.on(line, page)
    with pytest.raises(UpstreamProtocolError, match="do not end: a page of 1000 is repeated"):
        await upstream.list_tags(REPOSITORY, PageRequest())


async def test_an_empty_page_is_not_the_end(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    line = TAGS
    for number in range(3):
        server.on(line, tags(link=f"<?p={number}>; rel=next"))
        line = f"GET {ROOT}/tags/list?p={number}"
    server.on(line, tags("a"))
    assert (await upstream.list_tags(REPOSITORY, PageRequest())).entries == (Tag("a"),)


async def test_pages_in_a_circle_end(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(TAGS, tags("a", link="<>; rel=next"))
    server.on(f"GET {ROOT}/tags/list", tags("b", link=f"<{ROOT}/tags/list?n=1000>; rel=next"))
    assert (await upstream.list_tags(REPOSITORY, PageRequest())).entries == (Tag("a"), Tag("b"))
    assert server.lines == [TAGS, f"GET {ROOT}/tags/list"]


async def test_a_second_link_header_is_read(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(TAGS, tags("a", link='<https://docs.example>; rel="help"\r\nLink: <?last=a>; rel="next"'))
    server.on(f"GET {ROOT}/tags/list?last=a", tags("b"))
    assert len((await upstream.list_tags(REPOSITORY, PageRequest())).entries) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
async def test_a_refused_catalog_names_the_way_out(
    server: ScriptedServer, upstream: UpstreamRegistry, status: int
) -> None:
    server.on(CATALOG, Reply(status))
    server.on("GET /v2/_catalog", Reply(status))
    with pytest.raises((UpstreamRefused, ClientFault), match="fix: name each repository, such as from: hub/"):
        await upstream.list_repositories(PageRequest())


async def test_referrers_are_filtered_here_as_well(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(f"{REFERRERS}?artifactType=a/b%2Bc", Reply(200, index(descriptor(1, "a/b+c"), descriptor(2, "x"))))
    page = await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, "a/b+c", PageRequest())
    assert [entry.size_bytes for entry in page.entries] == [1]


async def test_referrers_come_by_digest(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(REFERRERS, Reply(200, index(*[descriptor(number) for number in range(1, 6)])))
    everything = (await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, PageRequest())).entries
    digests = [str(entry.digest) for entry in everything]
    assert digests == sorted(digests)
    rest = await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, PageRequest(limit=2, last=digests[0]))
    assert (rest.entries, rest.more) == (everything[1:3], True)


@pytest.mark.parametrize("head", [200, 403, 404, 405])
@pytest.mark.parametrize("status", [404, 405])
async def test_referrers_without_an_api_are_found_by_tag(
    server: ScriptedServer, upstream: UpstreamRegistry, status: int, head: int
) -> None:
    server.on(REFERRERS, Reply(status))
    server.on(FALLBACK_HEAD, Reply(head))
    server.on(FALLBACK, Reply(200, index(descriptor(1))))
    page = await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, PageRequest())
    assert [entry.size_bytes for entry in page.entries] == [1]
    assert server.lines == [REFERRERS, FALLBACK_HEAD, FALLBACK]


async def test_a_registry_without_the_api_is_asked_for_it_once_in_a_while(server: ScriptedServer) -> None:
    clock = HandClock()
    server.on(REFERRERS, Reply(404, b"404 page not found"))
    server.on(FALLBACK_HEAD, Reply(404))
    server.on(f"HEAD {TAG_PATH}", Reply(200, MANIFEST, DESCRIBED))
    async with UpstreamRegistry.open(name="hub", url=server.url, plain_http=True, clock=clock) as upstream:
        await upstream.resolve(REPOSITORY, TAG)
        server.seen.clear()
        assert not upstream.keeps_referrers_under_tags
        for _ in range(2):
            await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, PageRequest())
        assert upstream.keeps_referrers_under_tags
        assert server.lines == [REFERRERS, FALLBACK_HEAD, FALLBACK_HEAD]
        clock.advance(seconds=601)
        assert not upstream.keeps_referrers_under_tags


async def test_a_repository_that_is_not_there_says_nothing_of_the_api(
    server: ScriptedServer, upstream: UpstreamRegistry
) -> None:
    server.on(REFERRERS, Reply(404, b'{"errors": [{"code": "NAME_UNKNOWN", "message": ""}]}'))
    for line in (FALLBACK_HEAD, FALLBACK):
        server.on(line, Reply(404))
    await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, PageRequest())
    assert not upstream.keeps_referrers_under_tags


async def test_no_referrers_at_all(server: ScriptedServer, upstream: UpstreamRegistry) -> None:
    server.on(REFERRERS, Reply(404))
    for line in (FALLBACK_HEAD, FALLBACK):
        server.on(line, Reply(404))
    assert (await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, PageRequest())).entries == ()


@pytest.mark.parametrize("body", [b"[]", b'{"manifests": 1}', b'{"manifests": [1]}', b'{"manifests": [{}]}'])
async def test_what_is_no_list_of_referrers(server: ScriptedServer, upstream: UpstreamRegistry, body: bytes) -> None:
    server.on(REFERRERS, Reply(200, body))
    with pytest.raises(UpstreamProtocolError):
        await upstream.list_referrers(REPOSITORY, MANIFEST_DIGEST, None, PageRequest())
