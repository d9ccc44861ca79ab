from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.sync.retention import RetainedTag, Retention, surplus

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DIGESTS = [Digest.of(bytes([number])) for number in range(4)]
TAGS = st.sampled_from([Tag(name) for name in ("1.0", "1.1", "1.2", "2.0", "latest", "edge")])
BROUGHT = st.dictionaries(
    TAGS,
    st.builds(
        RetainedTag,
        st.sampled_from(DIGESTS[2:]),
        st.integers(0, 200).map(lambda days: NOW - days * DAY),
        st.sampled_from(DIGESTS),
    ),
)
RETENTIONS = st.one_of(
    st.builds(Retention, st.integers(1, 4)),
    st.builds(Retention, st.none(), st.integers(1, 100).map(lambda days: days * DAY)),
    st.builds(Retention, st.integers(1, 4), st.integers(1, 100).map(lambda days: days * DAY)),
)


def kept(**tags: tuple[int, int]) -> dict[Tag, RetainedTag]:
    """Return the tags that retention keeps, given tags as ``v1_0=(digest, days ago)``."""
    return {
        Tag(name.removeprefix("v").replace("_", ".")): RetainedTag(DIGESTS[digest], NOW - days * DAY, DIGESTS[digest])
        for name, (digest, days) in tags.items()
    }


THREE = kept(v1_0=(0, 100), v1_1=(1, 50), v2_0=(2, 10))


@pytest.mark.parametrize(
    ("retention", "pinned", "pulled", "dropped"),
    [
        (Retention(newest=2), {}, (), {"1.0"}),
        (Retention(newest=3), {}, (), set()),
        (Retention(newest=1), {"1.0": 0}, (), {"1.1"}),
        (Retention(newest=1), {"gone": 1}, (), {"1.0"}),
        (Retention(pulled_within=20 * DAY), {}, (), {"1.0", "1.1"}),
        (Retention(pulled_within=20 * DAY), {}, ("1.0",), {"1.1"}),
        (Retention(pulled_within=20 * DAY), {}, (str(DIGESTS[1]),), {"1.0"}),
        (Retention(newest=2, pulled_within=1 * DAY), {}, (), {"1.0"}),
    ],
)
def test_what_need_not_be_kept(
    retention: Retention, pinned: dict[str, int], pulled: tuple[str, ...], dropped: set[str]
) -> None:
    held = {Tag(tag): DIGESTS[digest] for tag, digest in pinned.items()}
    assert {tag.name for tag in surplus(THREE, retention, held, pulled, NOW)} == dropped


@given(BROUGHT, RETENTIONS, st.dictionaries(TAGS, st.sampled_from(DIGESTS)))
def test_the_last_copy_of_what_is_pinned_stays(
    tags: dict[Tag, RetainedTag], retention: Retention, pinned: dict[Tag, Digest]
) -> None:
    gone = surplus(tags, retention, pinned, (), NOW)
    left = {tag: one for tag, one in tags.items() if tag not in gone}
    assert not gone & pinned.keys()
    for digest in pinned.values():
        before, after = (any(one.original == digest for one in each.values()) for each in (tags, left))
        assert after == before


@given(BROUGHT, RETENTIONS)
def test_what_is_left_is_all_kept(tags: dict[Tag, RetainedTag], retention: Retention) -> None:
    gone = surplus(tags, retention, {}, (), NOW)
    assert gone <= tags.keys()
    left = {tag: one for tag, one in tags.items() if tag not in gone}
    assert surplus(left, retention, {}, (), NOW) == frozenset()


@pytest.mark.parametrize("given_values", [{}, {"newest": 0}])
def test_a_retention_that_means_nothing(given_values: dict[str, int]) -> None:
    with pytest.raises(ConfigurationFault, match="keep"):
        Retention(**given_values)
