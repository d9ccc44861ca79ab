from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.transfer.tags.tag_selection import TagSelection, age_key, companions, select
from mirror.transfer.tags.tag_version import TagVersion
from mirror.wire.referrers_fallback import fallback_tag

TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True).map(Tag)


def names(*texts: str) -> list[Tag]:
    return [Tag(text) for text in texts]


@pytest.mark.parametrize(
    "newest_first",
    [
        "1.0.0-beta.10 1.0.0-beta.9 1.0.0-beta.3 1.0.0-beta 1.0.0-alpha.1",
        "1.0.0 1.0.0-rc1 1.0.0-beta.12 0.9",
        "1.0.0-rc.10 1.0.0-rc.9 1.0.0-beta.11",
        "1.0.0rc2 1.0.0rc1 1.0.0b9",
        "v2.10 v2.3 v2.2.9 v1",
        "3.10.0 3.6.1-arm64 3.6.0-arm64 3.6.0-amd64 3.6.0-rc1-arm64",
        "arm64-1.66.0 amd64-1.66.0 arm64-1.65.2 arm-v7-1.9.9",
        "17.12.1-ce 17.06.2-ce 17.06.0-ce",
        "17.12-aws2 17.12-aws1",
        "2024-02-01 2024-01-31 2023-12-31",
        "20240201 20240131",
        "10 9 8",
        "2 1.9 latest edge",
        "release-linux-arm64 release-linux-amd64 latest",
        "1.0.1_2 1.0.1_1 1.0.0",
        "0.8 0.4",
        "v1.2.0 1.1.0",
        "main-1.2.3 main-1.2.2 main",
    ],
)
def test_newest_first(newest_first: str) -> None:
    tags = names(*newest_first.split())
    for seed in range(5):
        shuffled = random.Random(seed).sample(tags, len(tags))
        assert list(select(shuffled, TagSelection())) == tags


def test_a_version_counts_wherever_zeros_end_it() -> None:
    assert TagVersion.of(Tag("1.0")) == TagVersion.of(Tag("1.0.0"))


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (TagSelection.parse(), "2.0.0 1.1.0 1.1.0-rc1 1.0.0 nightly latest"),
        (TagSelection.parse(include=("1.*",)), "1.1.0 1.1.0-rc1 1.0.0"),
        (TagSelection.parse(include=("1.*",), exclude=("*-rc*",)), "1.1.0 1.0.0"),
        (TagSelection.parse(include=("latest", "2.?.0")), "2.0.0 latest"),
        (TagSelection.parse(include=("[12].0.0",)), "2.0.0 1.0.0"),
        (TagSelection.parse(exclude=("*",)), ""),
        (TagSelection.parse(newest=2), "2.0.0 1.1.0"),
        (TagSelection.parse(exclude=("2*",), newest=2), "1.1.0 1.1.0-rc1"),
        (TagSelection.parse(newest=99), "2.0.0 1.1.0 1.1.0-rc1 1.0.0 nightly latest"),
        (TagSelection.parse(include=("LATEST",)), ""),
        (TagSelection.parse(include=("/^1/",)), "1.1.0 1.1.0-rc1 1.0.0"),
        (TagSelection.parse(include=("/^[a-z]+$/", "2*")), "2.0.0 nightly latest"),
        (TagSelection.parse(exclude=("/rc/",), semver=">=1.0"), "2.0.0 1.1.0 1.0.0"),
        (TagSelection.parse(semver=">=1.0 <2"), "1.1.0 1.0.0"),
        (TagSelection.parse(semver=">=1.1.0-rc1 <2", newest=1), "1.1.0"),
        (TagSelection.parse(semver="2.x || =1.0"), "2.0.0 1.0.0"),
    ],
)
def test_which_tags_are_taken(selection: TagSelection, wanted: str) -> None:
    tags = names("latest", "1.0.0", "1.1.0-rc1", "2.0.0", "nightly", "1.1.0", "1.1.0")
    assert [tag.name for tag in select(tags, selection)] == wanted.split()


@pytest.mark.parametrize("newest", [0, -1])
def test_newest_must_leave_something(newest: int) -> None:
    with pytest.raises(ConfigurationFault, match="at least 1"):
        TagSelection(newest=newest)


@given(st.lists(TAGS, max_size=30), st.randoms(use_true_random=False))
def test_the_order_is_total_whatever_tags_there_are(tags: list[Tag], randomness: random.Random) -> None:
    chosen = select(tags, TagSelection())
    assert set(chosen) == set(tags)
    assert len(chosen) == len(set(tags))
    randomness.shuffle(tags)
    assert select(tags, TagSelection()) == chosen


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.integers(0, 3), st.sampled_from(["", "v", "arm64-"]))
def test_a_higher_number_is_newer(numbers: list[int], place: int, prefix: str) -> None:
    place %= len(numbers)
    higher = [*numbers[:place], numbers[place] + 1, *numbers[place + 1 :]]
    older, newer = (Tag(prefix + ".".join(map(str, each))) for each in (numbers, higher))
    assert age_key(older) < age_key(newer)


@given(st.lists(TAGS, max_size=30), st.integers(1, 10))
def test_newest_is_a_prefix_of_all(tags: list[Tag], newest: int) -> None:
    assert select(tags, TagSelection(newest=newest)) == select(tags, TagSelection())[:newest]


SUBJECT = Digest.of(b"subject")


def test_what_is_about_something_follows_it_and_is_not_chosen_for_itself() -> None:
    index, other = fallback_tag(SUBJECT), fallback_tag(Digest.of(b"other"))
    tags = [*names("1.0", f"{index}.sig", f"{index}.att", f"{other}.sig", "sha256-latest"), index]
    assert [tag.name for tag in select(tags, TagSelection())] == ["1.0", "sha256-latest"]
    assert companions(tags, {SUBJECT}) == tuple(names(f"{index}.att", f"{index}.sig"))


@pytest.mark.parametrize("pattern", ["/(/", "/(?=a)/", "/(a{999}){999}/", "/\\1(a)/", "x" * 513, "/" + "a" * 511 + "/"])
def test_patterns_that_cannot_be_used_are_named(pattern: str) -> None:
    with pytest.raises(ConfigurationFault, match=r"expression|longer than"):
        TagSelection.parse(include=(pattern,))


def test_no_tag_keeps_an_expression_busy() -> None:
    """An engine with backtracking would not finish in any useful time."""
    selection = TagSelection.parse(include=("/^(([a-z])+.)+[A-Z]([a-z])+$/",))
    assert not selection.takes(Tag("a" * 128))
