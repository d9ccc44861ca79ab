"""``Warning``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.wire import warnings

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=80)


@given(st.lists(PRINTABLE, max_size=8, unique=True))
def test_warnings_are_read_as_they_were_built(texts: list[str]) -> None:
    built = warnings.build(texts)
    assert warnings.parse(built) == tuple(texts)
    assert warnings.parse([", ".join(built)]) == tuple(texts)


@given(st.lists(st.text(max_size=3000), max_size=4))
def test_whatever_is_to_be_told_fits_into_the_headers(texts: list[str]) -> None:
    built = warnings.build(texts)
    assert sum(map(len, built)) <= warnings.MAX_WARNING_BYTES
    for value in built:
        assert value.isascii()
        assert value.isprintable()


@given(st.lists(st.text() | st.text(alphabet='299 -"\\,a')))
def test_any_headers_are_some_warnings(values: list[str]) -> None:
    for text in warnings.parse(values):
        assert text.isascii()
        assert text.isprintable()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ()),
        (['299 - "a"', '299 - "b", 299 - "a"'], ("a", "b")),
        ([r'299 - "a \"b\" \\ c"'], (r'a "b" \ c',)),
        (['199 - "another code"', '299 agent "another agent"', "299 - bare", '299 - ""'], ()),
        (['299 - "a" "Tue, 24 Nov 2026 08:00:00 GMT"'], ("a",)),
        (['299 - "a\u2026\nb"'], ("a?b",)),
        (['299 - "' + "a" * 5000 + '"'], ()),
    ],
)
def test_warnings(values: list[str], expected: tuple[str, ...]) -> None:
    assert warnings.parse(values) == expected


def test_a_long_text_is_cut_and_what_follows_is_left_out() -> None:
    (only,) = warnings.build(["x" * 10_000, "y"])
    assert only == '299 - "' + "x" * (4096 - 8) + '"'


def test_a_pair_of_signs_is_not_cut_in_two() -> None:
    (only,) = warnings.build(["x" * (4096 - 9) + '"'])
    assert only == '299 - "' + "x" * (4096 - 9) + '"'


def test_an_empty_text_is_no_warning() -> None:
    assert warnings.build(["", "b"]) == ['299 - "b"']
