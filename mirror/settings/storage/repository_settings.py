"""The section ``repositories``: retention of pushed tags, and tags that may not move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from mirror.oci import Repository, Tag
from mirror.oci.name_pattern import NamePattern
from mirror.runtime.durations import parse_duration
from mirror.settings.section import Section
from mirror.settings.section_values import MOST_COUNT, Duration, RepositoryPattern, TagPatternText

if TYPE_CHECKING:  # imported where it is used, because many commands do not use it
    from mirror.lifecycle.tag_retention import RetentionRule, TagRetention
    from mirror.records.lifecycle.pushed_tags import ImmutableTags


class PushedTagSettings(Section):
    """Retention of pushed tags. A tag stays if at least one condition holds."""

    newest: int | None = Field(
        None,
        ge=1,
        le=MOST_COUNT,
        description="number of newest tags to keep: by version, and as many of the tags without a version by the time "
        "of their push",
    )
    pulled_within: Duration | None = Field(None, description="keep tags that were pushed or pulled within this time")
    matching: tuple[TagPatternText, ...] = Field(
        (),
        description="globs, or regular expressions between slashes, of tags that always stay. They do not count "
        "among the newest",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.newest is None and self.pulled_within is None:
            raise ValueError("keeps nothing; fix: give newest, pulled_within, or both")
        return self

    def retention(self) -> TagRetention:
        """Return the retention that this section describes."""
        within = None if self.pulled_within is None else parse_duration(self.pulled_within)
        from mirror.lifecycle.tag_retention import TagRetention
        from mirror.transfer.tags.tag_selection import TagPattern

        return TagRetention(self.newest, within, tuple(map(TagPattern, self.matching)))


class RepositorySettings(Section):
    """Rules for the tags of some repositories."""

    pattern: RepositoryPattern = Field(description="names of repositories, with * and **")
    keep: PushedTagSettings | None = Field(
        None,
        description="retention of the tags that clients have pushed. The first rule with this key whose pattern "
        "matches applies; omitted everywhere: all tags stay",
    )
    immutable: tuple[TagPatternText, ...] = Field(
        (),
        description="globs, or regular expressions between slashes, of tags that neither move nor are deleted once "
        "they exist. The patterns of all rules that match the repository count. Pulled-through tags are no such tags",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.keep is None and not self.immutable:
            raise ValueError("says nothing; fix: give keep, immutable, or both")
        return self


def retention_rules(sections: Sequence[RepositorySettings]) -> list[RetentionRule]:
    """Return the configured retentions, in their order."""
    from mirror.lifecycle.tag_retention import RetentionRule

    return [RetentionRule(NamePattern(one.pattern), one.keep.retention()) for one in sections if one.keep is not None]


def immutable_tags(sections: Sequence[RepositorySettings]) -> ImmutableTags:
    """Return the function that tells which tags are immutable."""
    if not any(one.immutable for one in sections):
        from mirror.records.lifecycle.pushed_tags import none_immutable

        return none_immutable
    from mirror.transfer.tags.tag_selection import TagPattern

    rules = [(NamePattern(one.pattern), tuple(map(TagPattern, one.immutable))) for one in sections if one.immutable]

    def is_immutable(repository: Repository, tag: Tag) -> bool:
        return any(
            any(pattern.matches(tag) for pattern in patterns)
            for name, patterns in rules
            if name.match(repository) is not None
        )

    return is_immutable
