from __future__ import annotations

import pytest

from mirror.oci.errors import ConfigurationFault
from mirror.oci.names import Repository
from mirror.sync.rule import MirrorRule


def test_a_rule_as_it_is_written() -> None:
    rule = MirrorRule.parse("contiv", "hub/store/contiv/v2plugin", "contiv/v2plugin")
    assert (rule.name, rule.source, rule.plain_source) == ("contiv", "hub", Repository("store/contiv/v2plugin"))
    assert rule.here(Repository("store/contiv/v2plugin")) == (Repository("contiv/v2plugin"),)


@pytest.mark.parametrize(
    ("source", "to"),
    [("hub", "x"), ("hub/", "x"), ("/a/b", "x"), ("", "x"), ("hub/a", "X"), ("hub/*", "x"), ("hub/a/../b", "x")],
)
def test_rules_that_mean_nothing_are_named(source: str, to: str) -> None:
    with pytest.raises(ConfigurationFault, match="mirror rule contiv: "):
        MirrorRule.parse("contiv", source, to)
