"""The section ``repositories``: retention of pushed tags, and tags that may not move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from mirror.oci import Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_pattern import NamePattern
from mirror.settings.mirror_settings import Duration
from mirror.settings.pull_through_settings import check_pattern
from mirror.settings.section import Section
from mirror.sync.schedule import parse_duration
from mirror.transfer.tags.tag_selection import TagPattern

if TYPE_CHECKING:  # imported where it is used, because many commands do not use it
    from mirror.lifecycle.tag_retention import RetentionRule, TagRetention
    from mirror.records.lifecycle.pushed_tags import ImmutableTags


def _check_tag_pattern(pattern: str) -> str:
    try:
        TagPattern(pattern)
    except ConfigurationFault as error:
        raise ValueError(str(error)) from error
    return pattern


_TagPatternText = Annotated[str, Field(min_length=1), AfterValidator(_check_tag_pattern)]


class PushedTagSettings(Section):
    """Retention of pushed tags. A tag stays if at least one condition holds."""

    newest: int | None = Field(
        None,
        ge=1,
        description="number of newest tags to keep: by version, and as many of the tags without a version by the time "
        "of their push",
    )
    pulled_within: Duration | None = Field(None, description="keep tags that were pushed or pulled within this time")
    matching: tuple[_TagPatternText, ...] = Field(
        (),
        description="globs, or regular expressions between slashes, of tags that always stay. They do not count "
        "among the newest",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        try:
            self.retention()
        except ConfigurationFault as error:
            raise ValueError(str(error)) from error
        return self

    def retention(self) -> TagRetention:
        """Return the retention that this section describes.

        Raises:
            ConfigurationFault: the section has neither ``newest`` nor ``pulled_within``.
        """
        within = None if self.pulled_within is None else parse_duration(self.pulled_within)
        from mirror.lifecycle.tag_retention import TagRetention

        return TagRetention(self.newest, within, tuple(map(TagPattern, self.matching)))


class RepositorySettings(Section):
    """Rules for the tags of some repositories."""

    pattern: Annotated[str, AfterValidator(check_pattern)] = Field(description="names of repositories, with * and **")
    keep: PushedTagSettings | None = Field(
        None,
        description="retention of the tags that clients have pushed. The first rule with this key whose pattern "
        "matches applies; omitted everywhere: all tags stay",
    )
    immutable: tuple[_TagPatternText, ...] = Field(
        (),
        description="globs, or regular expressions between slashes, of tags that neither move nor are deleted once "
        "they exist. The patterns of all rules that match the repository count. Pulled-through tags are no such tags",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.keep is None and not self.immutable:
            raise ValueError("give keep, immutable, or both")
        return self


def retention_rules(sections: Sequence[RepositorySettings]) -> list[RetentionRule]:
    """Return the configured retentions, in their order."""
    from mirror.lifecycle.tag_retention import RetentionRule

    return [RetentionRule(NamePattern(one.pattern), one.keep.retention()) for one in sections if one.keep is not None]


def immutable_tags(sections: Sequence[RepositorySettings]) -> ImmutableTags:
    """Return the function that tells which tags are immutable."""
    rules = [(NamePattern(one.pattern), tuple(map(TagPattern, one.immutable))) for one in sections if one.immutable]
    if not rules:
        from mirror.records.lifecycle.pushed_tags import none_immutable

        return none_immutable

    def is_immutable(repository: Repository, tag: Tag) -> bool:
        return any(
            any(pattern.matches(tag) for pattern in patterns)
            for name, patterns in rules
            if name.match(repository) is not None
        )

    return is_immutable
