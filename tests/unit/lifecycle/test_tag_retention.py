"""Selection of the pushed tags that need not be kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mirror.lifecycle.tag_retention import RetentionView, TagRetention, surplus_tags
from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_pattern import NamePattern
from mirror.records.lifecycle.pushed_tags import PushedTag, RepositoryTags
from mirror.records.platform_rules import PlatformRule, PlatformTags
from mirror.transfer.tags.tag_selection import TagPattern
from tests.support.clocks import START

DAY = timedelta(days=1)
NAME = Repository("acme/app")


def pushed(name: str, *, age: timedelta = 100 * DAY, content: str = "", kept_by: str = "") -> PushedTag:
    return PushedTag(Tag(name), digest(content or name), START - age, kept_by)


def digest(content: str) -> Digest:
    return Digest.of(content.encode())


def view(**changes: object) -> RetentionView:
    values = {
        "now": START,
        "younger_than": DAY,
        "pulls_known_since": START - 1000 * DAY,
        "immutable": lambda _tag: False,
        "group_of": lambda tag: tag.name,
    }
    return RetentionView(**{**values, **changes})  # type: ignore[arg-type]


def dropped(tags: list[PushedTag], retention: TagRetention, seen: RetentionView | None = None, **facts) -> list[str]:
    return [one.tag.name for one in surplus_tags(RepositoryTags(tags, **facts), retention, seen or view())]


def patterns(*texts: str) -> tuple[TagPattern, ...]:
    return tuple(map(TagPattern, texts))


def test_the_newest_are_found_by_version_and_not_by_push():
    tags = [pushed("1.9", age=2 * DAY), pushed("1.10", age=90 * DAY), pushed("1.2", age=3 * DAY)]
    assert dropped(tags, TagRetention(newest=1)) == ["1.2", "1.9"]


def test_tags_without_a_version_are_compared_by_their_push_and_counted_apart():
    tags = [pushed("2.0"), pushed("1.0"), pushed("latest", age=9 * DAY), pushed("old-branch", age=50 * DAY)]
    assert dropped(tags, TagRetention(newest=1)) == ["1.0", "old-branch"]


def test_matching_tags_stay_and_do_not_count_among_the_newest():
    tags = [pushed(name) for name in ("v9", "v8", "3.1", "3.0")]
    assert dropped(tags, TagRetention(newest=1, matching=patterns("v*"))) == ["3.0"]


def test_immutable_tags_stay_and_do_not_count_among_the_newest():
    tags = [pushed(name) for name in ("v9", "3.1", "3.0")]
    seen = view(immutable=lambda tag: tag.name.startswith("v"))
    assert dropped(tags, TagRetention(newest=1), seen) == ["3.0"]


@pytest.mark.parametrize("reason", ["a pin", "an approval", "an open admission decision"])
def test_a_tag_with_a_reason_to_stay_stays(reason):
    assert dropped([pushed("1.0", kept_by=reason), pushed("2.0")], TagRetention(newest=1)) == []


def test_one_condition_is_enough_to_stay():
    retention = TagRetention(newest=1, pulled_within=30 * DAY)
    tags = [pushed("3.0"), pushed("2.0"), pushed("1.0", age=20 * DAY)]
    assert dropped(tags, retention) == ["2.0"]


def test_a_tag_pushed_a_moment_ago_stays_even_if_it_is_the_oldest_version():
    assert dropped([pushed("2.0"), pushed("1.0.5", age=timedelta(hours=3))], TagRetention(newest=1)) == []


def test_a_pull_by_tag_by_digest_or_of_a_member_keeps_a_tag():
    tags = [pushed(name) for name in ("by-tag", "by-digest", "by-member", "unused")]
    found = dropped(
        tags,
        TagRetention(pulled_within=30 * DAY),
        pulled=frozenset({"by-tag", str(digest("by-digest")), str(digest("arm64"))}),
        members={digest("by-member"): {digest("arm64")}},
    )
    assert found == ["unused"]


@pytest.mark.parametrize("since", [None, START - 29 * DAY])
def test_nothing_is_dropped_before_pulls_were_recorded_for_long_enough(since: datetime | None):
    seen = view(pulls_known_since=since)
    assert dropped([pushed("1.0")], TagRetention(pulled_within=30 * DAY), seen) == []


def test_after_a_jump_of_the_clock_the_time_since_a_push_is_unknown():
    seen = view(trusted=lambda _moment: START)
    assert dropped([pushed("1.0")], TagRetention(pulled_within=30 * DAY), seen) == []


def test_a_signature_leaves_with_the_last_tag_of_its_subject():
    signed, other = digest("1.0"), digest("2.0")
    signatures = [pushed(f"sha256-{one.hex}.sig", age=DAY / 2) for one in (signed, other)]
    tags = [pushed("1.0"), pushed("2.0"), *signatures]
    assert dropped(tags, TagRetention(newest=1)) == ["1.0", f"sha256-{signed.hex}.sig"]


def test_a_signature_stays_while_another_tag_or_a_mirrored_one_points_to_its_subject():
    signature = pushed(f"sha256-{digest('same').hex}.sig")
    both = [pushed("1.0", content="same"), pushed("2.0", content="same"), signature]
    assert dropped(both, TagRetention(newest=1)) == ["1.0"]
    alone = [pushed("1.0", content="same"), pushed("2.0"), signature]
    assert dropped(alone, TagRetention(newest=1), others={digest("same")}) == ["1.0"]


def test_signatures_of_members_and_lists_of_referrers_leave_with_the_index():
    member = digest("arm64")
    tags = [pushed("1.0"), pushed("2.0"), pushed(f"sha256-{member.hex}.sig"), pushed(f"sha256-{member.hex}")]
    found = dropped(tags, TagRetention(newest=1), members={digest("1.0"): {member}})
    assert found == ["1.0", f"sha256-{member.hex}", f"sha256-{member.hex}.sig"]


def test_the_tags_of_the_platforms_of_one_rule_stay_and_go_together():
    rule = PlatformRule(NamePattern("acme/*"), "*", {"amd64": "{tag}-amd64", "arm64": "{tag}-arm64"})
    seen = view(group_of=lambda tag: PlatformTags([rule]).group_of(NAME, tag))
    tags = [pushed(f"{version}-{machine}") for version in ("1.0", "2.0", "3.0") for machine in ("amd64", "arm64")]
    retention = TagRetention(newest=1, pulled_within=30 * DAY)
    assert dropped(tags, retention, seen, pulled=frozenset({"1.0-arm64"})) == ["2.0-amd64", "2.0-arm64"]


def test_a_fixed_tag_of_a_platform_belongs_to_the_tag_that_engines_ask_for():
    rule = PlatformRule(NamePattern("acme/*"), "latest", {"arm64": "arm"})
    groups = PlatformTags([rule])
    assert [groups.group_of(NAME, Tag(name)) for name in ("latest", "arm", "1.0")] == ["latest", "latest", "1.0"]
    assert groups.group_of(Repository("other/app"), Tag("arm")) == "arm"


@pytest.mark.parametrize("values", [{}, {"matching": patterns("v*")}, {"newest": 0}])
def test_a_retention_that_would_drop_everything_is_refused(values):
    with pytest.raises(ConfigurationFault):
        TagRetention(**values)


def test_the_reason_names_the_conditions():
    retention = TagRetention(newest=5, pulled_within=90 * DAY)
    assert retention.reason == "not among the newest 5 and neither pushed nor pulled within 90d"
