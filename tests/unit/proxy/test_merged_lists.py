"""Two pages merged into one: no entry is lost if one page is shorter than requested."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Tag
from mirror.proxy.merged_lists import _merge_entries
from mirror.registry.port import Page
from mirror.wire.pagination import PageRequest

names = st.sets(st.sampled_from("abcdefghij")).map(sorted)


def part(listed: list[str], page: PageRequest, at_most: int) -> Page[Tag]:
    """Return a page of a list, with at most ``at_most`` entries."""
    following = [name for name in listed if page.last is None or name > page.last]
    size = min(page.size, at_most)
    return Page(tuple(map(Tag, following[:size])), more=len(following) > size)


@given(names, names, st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_all_entries_of_both_are_listed_once_and_in_order(
    here: list[str], there: list[str], size: int, here_gives: int, there_gives: int
) -> None:
    found: list[str] = []
    page = PageRequest(size)
    while True:
        merged = _merge_entries(part(here, page, here_gives), part(there, page, there_gives), page, str)
        assert len(merged.entries) <= size
        found += map(str, merged.entries)
        if not merged.more:
            break
        assert merged.entries
        page = PageRequest(size, found[-1])
    assert found == sorted({*here, *there})
