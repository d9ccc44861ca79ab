from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Tag
from mirror.oci.errors import ConfigurationFault
from mirror.transfer.tags.tag_version import TagVersion, VersionRange

TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,40}", fullmatch=True).map(Tag)


@pytest.mark.parametrize(
    ("tag", "numbers", "before_release"),
    [
        ("1.2.3", (1, 2, 3), False),
        ("v2.3", (2, 3), False),
        ("3.6.0-arm64", (3, 6), False),
        ("arm64-1.66.0", (1, 66), False),
        ("arm-v7-1.9.9", (1, 9, 9), False),
        ("1.0.0-beta.10", (1,), True),
        ("3.6.0-rc1-arm64", (3, 6), True),
        ("17.06.2-ce", (17, 6, 2), False),
        ("20240131", (20240131,), False),
    ],
)
def test_the_version_in_a_tag(tag: str, numbers: tuple[int, ...], before_release: bool) -> None:
    version = TagVersion.of(Tag(tag))
    assert version is not None
    assert (version.numbers, bool(version.before)) == (numbers, before_release)


@pytest.mark.parametrize("tag", ["release-linux-arm64", "latest", "arm64", "nightly", "x86_64", "beta"])
def test_tags_without_a_version(tag: str) -> None:
    assert TagVersion.of(Tag(tag)) is None


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=1.0 <2", "1.0 1.0.0 1.9.9 3x-1.5", "0.9 2.0 2 1.5.0-rc1 2.0.0-beta"),
        (">=1.0,<2", "1.0 1.9", "2.0"),
        ("> 1.0 <= 1.2", "1.0.1 1.2 1.2.0", "1.0 1.2.1"),
        ("=1.2", "1.2 1.2.0 v1.2-arm64", "1.2.1"),
        ("^1.2.3", "1.2.3 1.9", "1.2.2 2.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0", "0.1 0.99", "1.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.3.0"),
        ("~1", "1.0 1.99", "2.0"),
        ("1.x", "1.0 1.99.9-arm64", "2.0 0.9"),
        ("v3.6.*", "3.6.0-arm64 3.6.9", "3.7"),
        ("<1 || >=2", "0.5 2.5", "1.5"),
        (">=1.0.0-beta.3 <1.1", "1.0.0-beta.3 1.0.0-beta.10 1.0.0-rc1 1.0.5", "1.0.0-beta.2 1.0.5-rc1 1.1.0-rc1"),
    ],
)
def test_ranges(text: str, inside: str, outside: str) -> None:
    versions = VersionRange.parse(text)
    held = {tag: versions.holds(TagVersion.of(Tag(tag))) for tag in f"{inside} {outside}".split()}  # type: ignore[arg-type]
    assert held == {tag: tag in inside.split() for tag in held}


@pytest.mark.parametrize(
    "text", ["", " ", "||", "1", "1.2", ">=", ">=x", "latest", "=>1", "1.x.x", "1 -2", ">=1 |", ">" * 300]
)
def test_what_is_no_range_is_named(text: str) -> None:
    with pytest.raises(ConfigurationFault, match=r"range of versions|bound of versions"):
        VersionRange.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    with suppress(ConfigurationFault):
        assert VersionRange.parse(text).holds(TagVersion((1,))) in {True, False}


@given(TAGS, TAGS)
def test_below_at_and_above_divide_all_releases(tag: Tag, other: Tag) -> None:
    version, bound = TagVersion.of(tag), TagVersion.of(other)
    if version is None or bound is None or version.before or bound.before:
        return
    at = ".".join(map(str, bound.numbers or (0,)))
    if len(bound.numbers) > 6 or max(bound.numbers, default=0) >= 10**18:
        return
    held = [VersionRange.parse(f"{relation}{at}").holds(version) for relation in ("<", "=", ">")]
    assert sum(held) == 1
