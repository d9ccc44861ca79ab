"""``ETag``, ``If-None-Match`` and ``If-Range``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest
from mirror.wire.conditions import IfNoneMatch, entity_tag, if_range_matches

DIGEST, OTHER = Digest.of(b"content"), Digest.of(b"other")
OPAQUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=100)
OPAQUE = OPAQUE.filter(lambda text: not any("\x80" > character > "~" for character in text))


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        ([], set()),
        ([""], set()),
        (['"a"'], {"a"}),
        (['""'], {""}),
        (['W/"a"'], {"a"}),
        (['"a", "b"', 'W/"c"'], {"a", "b", "c"}),
        (['"a,b"'], {"a,b"}),
        (['"W/"'], {"W/"}),
        ([' , "a" ,, "b",\t'], {"a", "b"}),
        (["a", "sha256:b"], {"a", "sha256:b"}),
        (['w/"a"'], set()),
        (['"a" "b"'], set()),
        (['"a" b'], set()),
        (['"a', '"b"'], set()),
        (['a"b"'], set()),
        (['"a b"'], set()),
        (['"a", *'], set()),
        (["*, *"], set()),
    ],
)
def test_a_list(lines: list[str], tags: set[str]) -> None:
    assert IfNoneMatch.parse(lines) == IfNoneMatch(frozenset(tags))


@pytest.mark.parametrize("line", ["*", " * ", "*,"])
def test_anything(line: str) -> None:
    assert IfNoneMatch.parse([line]).matches(DIGEST)


def test_a_digest_is_found_by_weak_comparison() -> None:
    assert IfNoneMatch.parse([f'"x", W/{entity_tag(DIGEST)}']).matches(DIGEST)
    assert not IfNoneMatch.parse([entity_tag(OTHER)]).matches(DIGEST)
    assert not IfNoneMatch.parse(['""']).matches(DIGEST)


@given(
    st.lists(st.tuples(st.sampled_from(["", "W/"]), OPAQUE), max_size=20), st.sampled_from([",", ", ", " ,\t", ",,"])
)
def test_every_list_is_read_as_it_was_written(tags: list[tuple[str, str]], separator: str) -> None:
    written = separator.join(f'{weak}"{opaque}"' for weak, opaque in tags)
    assert IfNoneMatch.parse([written]) == IfNoneMatch(frozenset(opaque for _, opaque in tags))


@given(st.lists(st.text(), max_size=5))
def test_nothing_but_the_digest_matches(lines: list[str]) -> None:
    found = IfNoneMatch.parse(lines)
    assert found.is_any == (",".join(lines).strip(" \t,") == "*")
    assert found.matches(DIGEST) == found.is_any


@pytest.mark.parametrize("hostile", ["W/" * 40_000, ' ,"' * 40_000, '"' + "a" * 100_000, "a" * 100_000, ", " * 50_000])
def test_hostile_lists_end(hostile: str) -> None:
    assert not IfNoneMatch.parse([hostile]).matches(DIGEST)


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        (entity_tag(DIGEST), True),
        (f" {entity_tag(DIGEST)}\t", True),
        (f"W/{entity_tag(DIGEST)}", False),
        (str(DIGEST), False),
        (entity_tag(OTHER), False),
        (f"{entity_tag(DIGEST)}, {entity_tag(OTHER)}", False),
        ("*", False),
        ("", False),
        ("Sat, 29 Oct 1994 19:43:31 GMT", False),
    ],
)
def test_a_part_of_the_same_content(header: str, matches: bool) -> None:
    assert if_range_matches(header, DIGEST) is matches
