"""Name patterns and the range of names in ASCII order that can match."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Repository
from mirror.oci.name_pattern import NamePattern, NameSpan

components = st.from_regex(r"[a-c0](?:[._-]?[a-c0]){0,2}", fullmatch=True)
names = st.lists(components, min_size=1, max_size=4).map("/".join)


@st.composite
def patterns(draw: st.DrawFn) -> NamePattern:
    parts = draw(st.lists(components | st.just("*"), max_size=3))
    last = draw(components | st.sampled_from(["*", "**"]))
    return NamePattern("/".join([*parts, last]))


@given(patterns(), st.lists(names))
def test_every_name_that_matches_lies_in_the_span(pattern: NamePattern, listed: list[str]) -> None:
    span = pattern.span
    for name in listed:
        if pattern.match(Repository(name)) is not None:
            assert span.before < name
            assert span.last is None or name <= span.last


@given(names | names.map(lambda name: f"{name}/"), st.booleans(), names)
def test_what_lies_outside_is_lower_or_higher(prefix: str, alone: bool, name: str) -> None:
    span = NameSpan(prefix, alone)
    held = name == prefix if alone else name.startswith(prefix)
    assert held == (span.before < name <= str(span.last))


def test_the_span_of_all_names_begins_before_the_first_and_has_no_end() -> None:
    assert NamePattern("**").span == NamePattern("*/x").span == NameSpan()
    assert (NameSpan().before, NameSpan().last) == ("", None)
    assert NamePattern("acme/*/x").span == NameSpan("acme/")
    assert NamePattern("acme/driver").span == NameSpan("acme/driver", alone=True)
