"""Byte ranges in their four spellings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import RangeInvalid
from mirror.wire.ranges import (
    _REQUEST,
    RangeRequest,
    Span,
    parse_chunk_range,
    parse_content_range,
    parse_upload_range,
    upload_range,
)

OFFSETS = st.integers(0, 10**18 - 2)
SPANS = st.tuples(OFFSETS, OFFSETS).map(lambda pair: Span(min(pair), max(pair) + 1))
REQUESTS = st.one_of(
    SPANS.map(lambda span: RangeRequest(span.start, span.stop - 1)),
    st.builds(RangeRequest, OFFSETS, st.none()),
    st.builds(RangeRequest, st.none(), OFFSETS),
)


@given(REQUESTS)
def test_a_request_is_read_as_it_was_built(request: RangeRequest) -> None:
    assert RangeRequest.parse(str(request)) == request


@given(SPANS)
def test_a_chunk_range_is_read_as_it_was_built(span: Span) -> None:
    assert parse_chunk_range(span.chunk_range()) == span


@given(SPANS, st.integers(0, 1000))
def test_a_content_range_is_read_as_it_was_built(span: Span, more: int) -> None:
    total = min(span.stop + more, 10**18 - 1)
    assert parse_content_range(span.content_range(total)) == (span, total)


@given(st.integers(2, 10**18 - 1) | st.just(0))
def test_an_upload_range_is_read_as_it_was_built(held_bytes: int) -> None:
    assert parse_upload_range(upload_range(held_bytes)) == held_bytes


@pytest.mark.parametrize(("held_bytes", "header"), [(0, "0-0"), (1, "0-0"), (2, "0-1"), (342_227, "0-342226")])
def test_upload_ranges(held_bytes: int, header: str) -> None:
    assert upload_range(held_bytes) == header


TEXTS = st.text() | st.from_regex(r"(bytes ?=? ?)?[0-9*]{0,22} ?- ?[0-9]{0,22}(/[0-9*]{0,22})?", fullmatch=True)


@given(TEXTS)
def test_any_text_is_a_range_or_an_error_of_the_tree(text: str) -> None:
    for parse in (RangeRequest.parse, parse_content_range, parse_chunk_range, parse_upload_range):
        try:
            parse(text)
        except RangeInvalid as error:
            assert error.message


@given(REQUESTS, st.integers(0, 10**18))
def test_what_a_request_means_lies_within_the_content(request: RangeRequest, total_bytes: int) -> None:
    try:
        span = request.resolve(total_bytes)
    except RangeInvalid as error:
        assert error.detail["size_bytes"] == str(total_bytes)
    else:
        assert 0 <= span.start < span.stop <= total_bytes


@pytest.mark.parametrize("header", [None, "", "bytes=", "bytes=-", "bytes=1-2,3-4", "lines=1-2", "bytes=a-b", "1-2"])
def test_what_is_no_request_is_none(header: str | None) -> None:
    assert RangeRequest.parse(header) is None


@pytest.mark.parametrize(
    ("header", "total_bytes", "span"),
    [
        ("bytes=0-0", 10, Span(0, 1)),
        ("bytes=5-", 10, Span(5, 10)),
        ("bytes=-3", 10, Span(7, 10)),
        ("bytes=-30", 10, Span(0, 10)),
        ("bytes=5-500", 10, Span(5, 10)),
    ],
)
def test_what_requests_mean(header: str, total_bytes: int, span: Span) -> None:
    request = RangeRequest.parse(header)
    assert request is not None
    assert request.resolve(total_bytes) == span


@pytest.mark.parametrize(
    ("header", "total_bytes"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=-5", 0), ("bytes=0-", 0)]
)
def test_what_cannot_be_satisfied(header: str, total_bytes: int) -> None:
    request = RangeRequest.parse(header)
    assert request is not None
    with pytest.raises(RangeInvalid):
        request.resolve(total_bytes)


@pytest.mark.parametrize("header", ["bytes 5-4/10", "bytes 0-10/10", "bytes */10", "bytes=0-1/2", "0-1", "", None])
def test_what_is_no_content_range_is_none(header: str | None) -> None:
    assert parse_content_range(header) is None


@pytest.mark.parametrize("header", ["bytes 0-1/2", "bytes=0-1", "0-1/2", "1", "-1", "5-4", "", "0-x"])
def test_what_is_no_chunk_range(header: str) -> None:
    with pytest.raises(RangeInvalid):
        parse_chunk_range(header)


@pytest.mark.parametrize("spaces", [1, 100, 10_000])
def test_a_range_among_spaces_is_read_in_one_way_alone(spaces: int) -> None:
    """Optional parts of the pattern never backtrack, so a header of any length is matched in one way only."""
    gap = " " * spaces
    assert RangeRequest.parse(f"bytes{gap}={gap}1{gap}-{gap}2") == RangeRequest(1, 2)
    assert RangeRequest.parse(f"bytes={gap}x") is None
    assert re.findall(r"\\s\*(?!\+)", _REQUEST.pattern) == []
