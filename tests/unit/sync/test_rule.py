from __future__ import annotations

import pytest

from mirror.oci import Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.sync.rule import MirrorRule


def test_a_rule_as_it_is_written() -> None:
    rule = MirrorRule.parse("contiv", "hub/store/contiv/v2plugin", "contiv/v2plugin")
    assert (rule.name, rule.source, rule.plain_source) == ("contiv", "hub", Repository("store/contiv/v2plugin"))
    assert rule.local_repositories(Repository("store/contiv/v2plugin")) == (Repository("contiv/v2plugin"),)


@pytest.mark.parametrize(
    ("source", "to"),
    [("hub", "x"), ("hub/", "x"), ("/a/b", "x"), ("", "x"), ("hub/a", "X"), ("hub/*", "x"), ("hub/a/../b", "x")],
)
def test_rules_that_mean_nothing_are_named(source: str, to: str) -> None:
    with pytest.raises(ConfigurationFault, match="mirror rule contiv: "):
        MirrorRule.parse("contiv", source, to)


def test_a_rule_may_give_several_names() -> None:
    rule = MirrorRule.parse("all", "hub/store/*/*", ["*/*", "site/*/*"], pins={"site/a/b:1": f"sha256:{'0' * 64}"})
    assert rule.local_repositories(Repository("store/a/b")) == (Repository("a/b"), Repository("site/a/b"))
    assert rule.local_repositories(Repository("other")) == ()
    assert rule.targets == ("*/*", "site/*/*")
    assert list(rule.pinned(Repository("site/a/b"))) == [Tag("1")]
    assert rule.pinned(Repository("a/b")) == {}


@pytest.mark.parametrize("to", [[], ["a", "a"], ["a", "*"]])
def test_names_that_make_no_sense(to: list[str]) -> None:
    with pytest.raises(ConfigurationFault, match="mirror rule x: "):
        MirrorRule.parse("x", "hub/a", to)


def test_signatures_are_never_changed() -> None:
    rule = MirrorRule.parse("x", "hub/a", "b", changes=DerivationChanges(env={"n": "{name}:{tag}"}))
    changes = rule.changes_of(Repository("b"), Tag("1"))
    assert changes is not None
    assert changes.env == {"n": "b:1"}
    assert rule.changes_of(Repository("b"), Tag(f"sha256-{'0' * 64}.sig")) is None
