"""Pairs of rules that may want one tag of one local repository. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations, product

from mirror.oci import Tag
from mirror.oci.errors import NameInvalid
from mirror.oci.name_pattern import patterns_meet
from mirror.sync.rule import MirrorRule
from mirror.transfer.tags.tag_selection import TagSelection


def overlap_warnings(rules: Iterable[MirrorRule]) -> list[tuple[int, str]]:
    """Return a sentence for each two rules that may copy the same tag to the same local repository.

    Each sentence is about the second rule, whose number, from 0, comes with the sentence.

    Only simple cases are ruled out: names that cannot be equal, tags without wildcards, different beginnings, and
    patterns that one rule includes and the other excludes.
    """
    return [
        (
            number,
            f"this rule and {first.name} may both copy to {' and '.join(sorted({*names}))}, and their tags may "
            f"overlap: a tag of both is that of {first.name}, which comes first; "
            "fix: give them disjoint tags, or other names under to",
        )
        for (_, first), (number, second) in combinations(enumerate(rules), 2)
        if (names := _shared(first, second)) and _may_overlap(first.tags, second.tags)
    ]


def _shared(first: MirrorRule, second: MirrorRule) -> list[str]:
    pairs = ((one, other) for one in first.targets for other in second.targets if patterns_meet(one, other))
    # The pattern with fewer wildcards names the shared repositories best.
    return [min(pair, key=lambda text: (text.count("*"), text)) for pair in pairs]


def _may_overlap(first: TagSelection, second: TagSelection) -> bool:
    for one, other in ((first, second), (second, first)):
        literals = _literals(one)
        if literals is not None and not any(one.takes(tag) and other.takes(tag) for tag in literals):
            return False
        if one.include and {*one.include} <= {*other.exclude}:
            return False
    beginnings = [_beginnings(first), _beginnings(second)]
    return any(one.startswith(other) or other.startswith(one) for one, other in product(*beginnings))


def _beginnings(selection: TagSelection) -> list[str]:
    """Return the texts of which each selected tag begins with one."""
    # Nothing is known about regular expressions, which are written between slashes.
    texts = [pattern.text.partition("/")[0] for pattern in selection.include]
    return [re.split(r"[*?\[]", text)[0] for text in texts] or [""]


def _literals(selection: TagSelection) -> list[Tag] | None:
    """Return the only tags that a selection can take; None if it has wildcards."""
    texts = [pattern.text for pattern in selection.include]
    if not texts or any(character in text for text in texts for character in "*?[/"):
        return None
    tags = []
    for text in texts:
        try:
            tags.append(Tag.parse(text))
        except NameInvalid:  # no tag can have this name
            continue
    return tags
