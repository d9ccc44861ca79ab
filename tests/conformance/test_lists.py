"""Point 28: tags and the catalog."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance.client import Answer, Client, Name
from tests.conformance.content import ALGORITHMS, INDEX, digest_of, fresh, index
from tests.conformance.servers import inside

#: In ASCII order: digits, upper case, the underscore, lower case.
TAGS = ["0", "1.0", "1.10", "1.9", "10", "2", "A", "B", "Z", "_", "_A", "a", "a-", "a.", "aA", "a_", "aa", "z"]
REPOSITORIES = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "a__b", "a_b", "aa", "b", "z/z"]


def tags_of(answer: Answer, name: Name) -> list[str]:
    assert answer.status == 200
    assert answer["Content-Type"] == "application/json"
    assert answer.json.keys() == {"name", "tags"}
    assert answer.json["name"] == name.name
    return list(answer.json["tags"])


@pytest.fixture
def tagged(name: Name) -> Name:
    """A repository with all of ``TAGS``, set in no particular order."""
    shuffled = TAGS[::3] + TAGS[1::3] + TAGS[2::3]
    for tag in shuffled:
        assert name.put(index(), INDEX, tag).status == 201
    return name


PAGES = [
    # query, first, last (left out), whether a Link follows
    ("", 0, 18, False),
    ("?n=18", 0, 18, False),
    ("?n=19", 0, 18, False),
    ("?n=100000", 0, 18, False),
    ("?n=99999999999999999999999", 0, 18, False),
    ("?n=17", 0, 17, True),
    ("?n=1", 0, 1, True),
    ("?n=5", 0, 5, True),
    ("?n=00000000005", 0, 5, True),
    ("?n=0", 0, 0, False),
    ("?n=0&last=1.0", 0, 0, False),
    ("?last=1.0", 2, 18, False),
    ("?last=0", 1, 18, False),
    ("?last=z", 0, 0, False),
    ("?last=zz", 0, 0, False),
    ("?last=~", 0, 0, False),
    ("?last=!", 0, 18, False),
    ("?last=", 0, 18, False),
    ("?n=3&last=1.0", 2, 5, True),
    ("?n=3&last=1.1", 2, 5, True),
    ("?n=16&last=1.0", 2, 18, False),
    ("?n=17&last=1.0", 2, 18, False),
    ("?n=2&last=Y", 8, 10, True),
    ("?n=2&last=%5F", 10, 12, True),
    ("?n=5&last=aA", 15, 18, False),
    ("?n=2&last=a%C3%A9", 17, 18, False),
]


@pytest.mark.parametrize(("query", "first", "last", "more"), PAGES)
def test_28_tags(tagged: Name, query: str, first: int, last: int, more: bool) -> None:
    answer = tagged.client.get(tagged.tags + query)
    assert tags_of(answer, tagged) == TAGS[first:last]
    assert (answer.next is not None) == more
    if answer.next is not None:
        assert answer.next.startswith(f"{tagged.tags}?n={last - first}&last=")
        assert tags_of(tagged.client.get(answer.next), tagged)[:1] == TAGS[last : last + 1]


@pytest.mark.two_workers
@pytest.mark.parametrize("size", [1, 2, 5, 17, 18])
def test_28_links_lead_through_all_tags(tagged: Name, size: int) -> None:
    target: str | None = f"{tagged.tags}?n={size}"
    pages = []
    while target is not None:
        answer = tagged.client.get(target)
        pages.append(tags_of(answer, tagged))
        target = answer.next
    assert [tag for page in pages for tag in page] == TAGS
    assert len(pages) == -(-len(TAGS) // size)


@pytest.mark.two_workers
def test_28_a_tag_that_goes_between_two_pages_does_no_harm(tagged: Name) -> None:
    answer = tagged.client.get(f"{tagged.tags}?n=3")
    assert tags_of(answer, tagged) == TAGS[:3]
    assert tagged.client.ask("DELETE", tagged.manifest(TAGS[2])).status == 202
    assert answer.next is not None
    assert tags_of(tagged.client.get(answer.next), tagged) == TAGS[3:6]


@pytest.mark.parametrize("n", ["-1", "x", "1.5", "1e3", "0x10", "%20", "+1", "%D9%A1"])
@pytest.mark.parametrize("where", ["tags", "catalog", "referrers"])
def test_28_a_number_that_is_none_is_400(name: Name, where: str, n: str) -> None:
    name.push(b"")
    target = {"tags": name.tags, "catalog": "/v2/_catalog", "referrers": name.referrers(digest_of(b""))}[where]
    answer = name.client.get(f"{target}?n={quote(n, safe='%+')}")
    assert (answer.status, answer.code) == (400, "UNSUPPORTED")


@pytest.mark.two_workers
def test_28_a_repository_without_tags_has_an_empty_list(name: Name) -> None:
    name.push(fresh())
    assert tags_of(name.client.get(name.tags), name) == []


@pytest.mark.parametrize("query", ["", "?n=0", "?n=5", "?last=x"])
def test_28_a_repository_that_does_not_exist_is_404(name: Name, query: str) -> None:
    answer = name.client.get(name.tags + query)
    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")
    assert name.client.head(name.tags + query).status == 404


@pytest.mark.two_workers
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_28_a_manifest_pushed_by_digest_is_in_no_list_of_tags(name: Name, algorithm: str) -> None:
    assert name.put(index(), INDEX, digest_of(index(), algorithm)).status == 201
    assert tags_of(name.client.get(name.tags), name) == []


def repositories_of(answer: Answer) -> list[str]:
    assert answer.status == 200
    assert answer["Content-Type"] == "application/json"
    assert answer.json.keys() == {"repositories"}
    return list(answer.json["repositories"])


CATALOG_PAGES: list[tuple[str, list[str], bool]] = [
    ("", REPOSITORIES, False),
    ("?n=11", REPOSITORIES, False),
    ("?n=12", REPOSITORIES, False),
    ("?n=4", REPOSITORIES[:4], True),
    ("?n=0", [], False),
    ("?last=a/b", REPOSITORIES[4:], False),
    ("?last=a%2Fb&n=2", REPOSITORIES[4:6], True),
    ("?last=a/a", REPOSITORIES[3:], False),
    ("?last=zz", [], False),
]


def test_28_the_catalog() -> None:
    with inside() as served:
        client = Client(served.port)
        assert repositories_of(client.get("/v2/_catalog")) == []
        for name in reversed(REPOSITORIES):
            Name(client, name).push(b"")
        for query, expected, more in CATALOG_PAGES:
            answer = client.get(f"/v2/_catalog{query}")
            assert (repositories_of(answer), answer.next is not None) == (expected, more), query
        for size in (1, 2, 3, 11):
            assert _all_pages(client, f"/v2/_catalog?n={size}") == REPOSITORIES


def _all_pages(client: Client, start: str) -> list[Any]:
    found: list[Any] = []
    target: str | None = start
    while target is not None:
        answer = client.get(target)
        found += repositories_of(answer)
        target = answer.next
    return found


@pytest.mark.two_workers
def test_28_the_catalog_lists_what_has_been_pushed(name: Name) -> None:
    name.push(b"")
    before = "?n=1&last=" + name.name[:-1]
    assert repositories_of(name.client.get("/v2/_catalog" + before)) == [name.name]
