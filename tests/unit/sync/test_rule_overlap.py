from __future__ import annotations

from typing import Any

import pytest

from mirror.sync.rule import MirrorRule
from mirror.sync.rules.rule_overlap import overlap_warnings
from mirror.transfer.tags.tag_selection import TagSelection


def rule(name: str, to: str | list[str], source: str = "hub/a/b", **tags: Any) -> MirrorRule:
    return MirrorRule.parse(name, source, to, TagSelection.parse(**tags))


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (rule("r", "x"), rule("s", "y"), None),
        (rule("r", "x"), rule("s", "x"), "x"),
        (rule("r", ["w", "x", "y"]), rule("s", ["y", "x"]), "x and y"),
        (rule("r", "x/*", "hub/*"), rule("s", "x/y"), "x/y"),
        (rule("r", "x/*", "hub/*"), rule("s", "x/y/z"), None),
        (rule("r", "x/**", "hub/**"), rule("s", "x/y/z"), "x/y/z"),
        (rule("r", "x/**", "hub/**"), rule("s", "x"), None),
        (rule("r", "*/x", "hub/*"), rule("s", "y/*", "hub/*"), "*/x"),
        (rule("r", "x", include=["1.0"]), rule("s", "x", include=["2.0"]), None),
        (rule("r", "x", include=["1.0"]), rule("s", "x", include=["1.*"]), "x"),
        (rule("r", "x", include=["1.0"]), rule("s", "x", exclude=["1.0"]), None),
        (rule("r", "x", include=["1.0"], exclude=["1.*"]), rule("s", "x"), None),
        (rule("r", "x", include=["1.0"]), rule("s", "x", semver=">=2"), None),
        (rule("r", "x", include=["not a tag"]), rule("s", "x"), None),
        (rule("r", "x", include=["1.*", "3.?"]), rule("s", "x", include=["2.*", "[0-9]"]), "x"),
        (rule("r", "x", include=["1.*", "3.?"]), rule("s", "x", include=["2.*", "4"]), None),
        (rule("r", "x", include=["1.*"]), rule("s", "x", include=["1.2*"]), "x"),
        (rule("r", "x", include=["1.*"]), rule("s", "x", include=["/^2/"]), "x"),
        (rule("r", "x", include=["*-rc", "/^v/"]), rule("s", "x", exclude=["/^v/", "*-rc", "2"]), None),
        (rule("r", "x", include=["*-rc", "/^v/"]), rule("s", "x", exclude=["/^v/"]), "x"),
        (rule("r", "x"), rule("s", "x", exclude=["1.*"]), "x"),
    ],
)
def test_rules_that_may_want_one_tag_are_told(first: MirrorRule, second: MirrorRule, names: str | None) -> None:
    warnings = overlap_warnings([first, second])
    if names is None:
        assert warnings == []
    else:
        ((number, warning),) = warnings
        assert number == 1
        assert warning.startswith(f"this rule and r may both copy to {names}, and their tags may overlap: a tag ")
        assert "is that of r, which comes first; fix: " in warning
