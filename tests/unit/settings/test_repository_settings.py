"""The section ``repositories``, and ``storage.untagged``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mirror.oci import Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings, load
from mirror.settings.storage.repository_settings import immutable_tags, retention_rules


def settings(*repositories: dict[str, Any], **more: Any) -> Settings:
    return load(flags={"repositories": list(repositories), **more})


def test_without_the_section_all_tags_stay_and_may_move():
    assert retention_rules(settings().repositories) == []
    assert not immutable_tags(settings().repositories)(Repository("acme/app"), Tag("v1"))


def test_a_retention_is_read_as_written():
    (rule,) = retention_rules(
        settings(
            {"pattern": "acme/**", "keep": {"newest": 5, "pulled_within": "90d", "matching": ["v*", "/^lts-/"]}}
        ).repositories
    )
    kept = rule.retention
    assert (rule.pattern.text, kept.newest, kept.pulled_within) == ("acme/**", 5, timedelta(days=90))
    assert [pattern.text for pattern in kept.matching] == ["v*", "/^lts-/"]


def test_immutable_patterns_of_all_matching_rules_count():
    is_immutable = immutable_tags(
        settings(
            {"pattern": "**", "immutable": ["v*"]}, {"pattern": "acme/*", "immutable": ["/^stable$/"]}
        ).repositories
    )
    found = [
        (name, tag)
        for name in ("acme/app", "other/app")
        for tag in ("v1", "stable", "stable-2")
        if is_immutable(Repository(name), Tag(tag))
    ]
    assert found == [("acme/app", "v1"), ("acme/app", "stable"), ("other/app", "v1")]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"pattern": "acme/**"}, "give keep, immutable, or both"),
        ({"pattern": "acme/**", "keep": {"matching": ["v*"]}}, "give newest, pulled_within, or both"),
        ({"pattern": "acme/**", "keep": {"newest": 0}}, "write 1 or more"),
        ({"pattern": "acme/**", "keep": {"newest": 1, "pulled_within": "0d"}}, "pulled_within"),
        ({"pattern": "a/**/b", "immutable": ["v*"]}, "is not at the end"),
        ({"pattern": "**", "immutable": ["/(/"]}, "no regular expression"),
        ({"pattern": "**", "immutable": [""]}, "is empty"),
    ],
)
def test_a_mistake_is_found_when_the_configuration_is_read(section: dict[str, Any], told: str):
    with pytest.raises(ConfigurationFault, match=told):
        settings(section)


def untagged(*given: Any) -> dict[str, timedelta | None]:
    section = load(flags={"storage": {"untagged": given[0] if len(given) == 1 else list(given)}}).storage
    rules = section.collection.rules(section.untagged)
    return {name: rules.untagged_of(name) for name in ("acme/app", "ci/build")}


def test_the_first_matching_rule_says_how_long_untagged_manifests_stay():
    given = {"pattern": "acme/*", "keep": "forever"}, {"pattern": "**", "keep": "7d"}
    assert untagged(*given) == {"acme/app": None, "ci/build": timedelta(days=7)}


def test_one_rule_for_untagged_manifests_needs_no_list_and_no_pattern():
    assert untagged({"keep": "0s"}) == {"acme/app": timedelta(0), "ci/build": timedelta(0)}


def test_untagged_manifests_stay_for_ever_where_no_rule_matches():
    assert untagged({"pattern": "ci/*", "keep": "1h"}) == {"acme/app": None, "ci/build": timedelta(hours=1)}


def test_by_default_untagged_manifests_stay_for_30_days():
    section = load(flags={}).storage
    assert section.collection.rules(section.untagged).untagged_of("acme/app") == timedelta(days=30)


@pytest.mark.parametrize("keep", ["30", "-1d", "never", "1w"])
def test_other_durations_are_refused(keep: str):
    with pytest.raises(ConfigurationFault, match="keep"):
        untagged({"keep": keep})
