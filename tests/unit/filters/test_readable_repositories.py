"""The catalog of a client that may read only some repositories: correct, and cheap for any page length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.access.rights import AccessAction
from mirror.access.rules import AccessRule, UserRights
from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.oci import Repository
from mirror.oci.name_mapping import NameMapping
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Page
from mirror.wire.pagination import PageRequest

NOBODY = AnonymousRights(frozenset(), frozenset({AccessAction.PULL}))


class Listed(DelegatingRegistry):
    """A registry that lists names and records the page lengths it is asked for."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(MemoryRegistry())
        self.names = sorted(names)
        self.asked: list[int] = []

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        self.asked.append(page.size)
        following = [name for name in self.names if page.last is None or name > page.last]
        return Page(tuple(map(Repository, following[: page.size])), more=len(following) > page.size)


def may_read(*patterns: str) -> UserRights:
    mappings = tuple(NameMapping(pattern, pattern) for pattern in patterns)
    return UserRights("anna", (AccessRule(frozenset({"anna"}), mappings, frozenset({AccessAction.PULL})),), NOBODY)


async def all_pages(inner: Listed, rights: UserRights, size: int) -> list[str]:
    found: list[str] = []
    page = PageRequest(size)
    while True:
        part = await Authorize(inner, rights).list_repositories(page)
        assert len(part.entries) == size or not part.more
        found += [each.name for each in part.entries]
        if not part.more:
            return found
        page = PageRequest(size, found[-1])


MANY = [f"team{number % 100:02}/plugin{number:05}" for number in range(20_000)]


@pytest.mark.parametrize("size", [1, 2, 10_000])
async def test_two_of_many_cost_a_handful_of_small_queries(size: int) -> None:
    inner = Listed(MANY)
    rights = may_read("team07/plugin00107", "team93/plugin19993", "no/such")
    page = await Authorize(inner, rights).list_repositories(PageRequest(size))
    assert [each.name for each in page.entries] == ["team07/plugin00107", "team93/plugin19993"][:size]
    assert len(inner.asked) <= 3
    assert max(inner.asked) <= 1000


async def test_a_part_of_many_is_read_in_that_part_alone() -> None:
    inner = Listed(MANY)
    page = await Authorize(inner, may_read("team42/*")).list_repositories(PageRequest(10_000))
    assert [each.name for each in page.entries] == [name for name in sorted(MANY) if name.startswith("team42/")]
    assert len(inner.asked) == 1


@pytest.mark.parametrize("size", [1, 100])
async def test_names_that_lie_anywhere_are_looked_for_in_large_parts(size: int) -> None:
    inner = Listed(MANY)
    page = await Authorize(inner, may_read("*/plugin19999")).list_repositories(PageRequest(size))
    assert [each.name for each in page.entries] == ["team99/plugin19999"]
    assert len(inner.asked) <= 4 + len(MANY) // 1000


async def test_many_rules_cost_no_more_queries_than_there_are_names() -> None:
    inner = Listed(MANY)
    await Authorize(inner, may_read(*(f"team50/no{number}" for number in range(5000)))).list_repositories(PageRequest())
    assert len(inner.asked) <= 4 + len(MANY) // 1000


async def test_who_may_read_nothing_costs_nothing() -> None:
    inner = Listed(MANY)
    assert (await Authorize(inner, may_read()).list_repositories(PageRequest(1))).entries == ()
    assert inner.asked == []


components = st.sampled_from(["a", "b", "a-b", "a.b", "ab", "0"])
names = st.lists(components, min_size=1, max_size=3).map("/".join)
patterns = st.tuples(st.lists(components | st.just("*"), max_size=2), components | st.sampled_from(["*", "**"])).map(
    lambda parts: "/".join([*parts[0], parts[1]])
)


@given(st.lists(names, unique=True, max_size=30), st.lists(patterns, max_size=4), st.integers(1, 5))
async def test_every_page_holds_what_may_be_read_and_nothing_else(
    listed: list[str], allowed: list[str], size: int
) -> None:
    rights = may_read(*allowed)
    wanted = [name for name in sorted(listed) if rights.allows(AccessAction.PULL, Repository(name))]
    assert await all_pages(Listed(listed), rights, size) == wanted
