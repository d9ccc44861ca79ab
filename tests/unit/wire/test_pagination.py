"""Pages and the links between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Repository
from mirror.oci.errors import ClientFault, MirrorError
from mirror.wire.pagination import MAX_PAGE, PageRequest, next_link, parse_next_link
from mirror.wire.request_line import parse_query
from mirror.wire.routes import TagsRoute

WORDS = st.text(st.characters(codec="utf-8"), min_size=1)


@given(st.none() | st.integers(0, MAX_PAGE), st.none() | WORDS)
def test_a_link_leads_where_it_was_built_to(limit: int | None, last: str | None) -> None:
    page = PageRequest(limit, last)
    url = TagsRoute(Repository("a/b"), page).url()
    target = parse_next_link(next_link(url))
    assert target == url
    assert PageRequest.parse(parse_query(target.partition("?")[2])) == page


@given(st.text())
def test_any_text_is_a_link_or_none(text: str) -> None:
    for header in (text, f'<{text}>; rel="next"', f"<http://{text}>; rel=next"):
        target = parse_next_link(header)
        assert target is None or "<" not in target


@given(st.lists(st.text()), st.lists(st.text()))
def test_any_query_is_a_page_or_an_error_of_the_tree(numbers: list[str], lasts: list[str]) -> None:
    try:
        page = PageRequest.parse({"n": numbers, "last": lasts})
    except MirrorError as error:
        assert error.detail["n"]
    else:
        assert 0 <= page.size <= MAX_PAGE


@pytest.mark.parametrize(
    ("query", "page", "size"),
    [
        ("", PageRequest(), MAX_PAGE),
        ("n=0", PageRequest(0), 0),
        ("n=5&last=a", PageRequest(5, "a"), 5),
        ("n=", PageRequest(), MAX_PAGE),
        ("n=00000000005", PageRequest(5), 5),
        ("n=" + "0" * 5000, PageRequest(0), 0),
        ("n=" + "0" * 5000 + "7", PageRequest(7), 7),
        ("n=" + "9" * 5000, PageRequest(MAX_PAGE), MAX_PAGE),
        ("n=99999999999", PageRequest(MAX_PAGE), MAX_PAGE),
        ("last=", PageRequest(), MAX_PAGE),
    ],
)
def test_pages(query: str, page: PageRequest, size: int) -> None:
    assert PageRequest.parse(parse_query(query)) == page
    assert page.size == size


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "٣", "1 ", "0x1"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ClientFault):
        PageRequest.parse({"n": [text]})


@pytest.mark.parametrize(
    ("header", "target"),
    [
        (None, None),
        ("", None),
        ('</v2/a/tags/list?n=1&last=b>; rel="next"', "/v2/a/tags/list?n=1&last=b"),
        ("</v2/a/tags/list?n=1>; rel=next", "/v2/a/tags/list?n=1"),
        ('<https://host/v2/_catalog?last=b>; title="x"; rel="next"', "/v2/_catalog?last=b"),
        ('</first>; rel="first", </second>; rel="next"', "/second"),
        ('</v2/_catalog>; rel="prev"', None),
        ("/v2/_catalog", None),
        ('<http://[/x?last=b>; rel="next"', "/x?last=b"),
        ('<//host:80/x?last=http://b>; rel="next"', "/x?last=http://b"),
        ('</a?x>; title="one, two; three"; rel="next"', "/a?x"),
        ('</a?x>; rel="first next"', "/a?x"),
        ('</a?last=x y\u00e9%20"+&n=1#z>; rel="next"', '/a?last=x%20y%C3%A9%20"+&n=1'),
        ('</a?x>; rel="nextish"', None),
        ('</a?x>; title="; rel=next"', None),
    ],
)
def test_links(header: str | None, target: str | None) -> None:
    assert parse_next_link(header) == target
