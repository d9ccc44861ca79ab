"""The section ``mirrors``: rules that copy content before somebody asks for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from mirror.oci import Digest
from mirror.oci.errors import MirrorError
from mirror.oci.name_pattern import NamePattern
from mirror.oci.platform_selection import PlatformSelection
from mirror.runtime.durations import parse_duration
from mirror.settings.late_sections import late_section
from mirror.settings.section import Mistakes, Section, stated
from mirror.settings.section_values import (
    MOST_COUNT,
    OTHER_WILDCARDS,
    Duration,
    PlatformText,
    RepositoryPattern,
    RuleName,
    SourceText,
    TagPatternText,
    checked_by,
)
from mirror.sync.schedule import Cron, Every, Schedule
from mirror.sync.upstream_delete import OnUpstreamDelete
from mirror.transfer.graph.content_choice import MOST_REFERRERS, ContentChoice, ForeignLayers

if TYPE_CHECKING:  # imported where a rule is built, because many commands have none
    from mirror.settings.derive_settings import DeriveSettings
    from mirror.sync.retention import Retention
    from mirror.sync.rule import MirrorRule
else:
    DeriveSettings = late_section("derive_settings:DeriveSettings")


def _as_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


# ``config show`` prints one repository as a text, as it is written in most files.
def _as_written(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


Targets = Annotated[
    tuple[RepositoryPattern, ...],
    BeforeValidator(_as_several, json_schema_input_type=str | tuple[str, ...]),
    PlainSerializer(_as_written, return_type=str | list[str]),
]


# Imported late, because few rules have these keys.
def _check_versions(text: str) -> None:
    from mirror.transfer.tags.tag_version import VersionRange

    VersionRange.parse(text)


def _check_foreign_host(text: str) -> None:
    from mirror.transfer.graph.foreign_layers import check_foreign_host

    check_foreign_host(text)


def _check_time_zone(text: str) -> None:
    Cron.parse("0 0 * * *", text)


#: Keys that name the rule, or decide when a run begins. They do not change what a run does.
_OF_NO_RUN: Final = frozenset({"name", "every", "cron", "time_zone"})


class TagSettings(Section):
    """Selection of the tags of a repository. Without any key all tags are selected."""

    include: tuple[TagPatternText, ...] = Field(
        (), description="globs, or regular expressions (RE2) between slashes, such as /^v[0-9]+$/; empty: every tag"
    )
    exclude: tuple[TagPatternText, ...] = Field(
        (), description="globs and regular expressions of tags to leave out, even if include matches"
    )
    semver: Annotated[str, checked_by(_check_versions)] | None = Field(
        None, description="range for the version in the tag: '>=1.0 <2', '^1.2', '~1.2.3', '1.x || 3.x'"
    )
    newest: int | None = Field(
        None, ge=1, le=MOST_COUNT, description="number of tags to take, newest version in the tag first"
    )


class KeepSettings(Section):
    """Retention of the tags that a rule has copied. A tag is kept if it meets one of the conditions.

    Only tags are dropped. Their content stays.
    """

    newest: int | None = Field(
        None, ge=1, le=MOST_COUNT, description="number of tags to keep in a repository, newest version in the tag first"
    )
    pulled_within: Duration | None = Field(
        None, description="keep tags that were pulled or copied within this time, such as 90d"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.newest is None and self.pulled_within is None:
            raise ValueError("keeps nothing; fix: give newest, pulled_within, or both")
        return self


class ReferrerSettings(Section):
    """Referrers, such as signatures and attestations, that a rule copies beside a plugin."""

    most: int = Field(
        MOST_REFERRERS,
        ge=0,
        le=10_000,
        description="largest number of referrers copied for one manifest, the newest first; 0: none",
    )


class MirrorSettings(Section):
    """A rule that copies content of an upstream before somebody asks for it."""

    # The name is also that of the lock file of the rule, in the folder locks of the data folder.
    name: RuleName = Field(description="name of the rule, for the command line")
    source: SourceText = Field(alias="from", description="source as UPSTREAM/REPOSITORY, with * and **")
    to: Targets = Field(description="one or several local repositories, with the same * and **")
    tags: TagSettings = Field(TagSettings.model_construct(), description="selection of tags")
    every: Duration | None = Field(None, description="interval between the starts of two runs, such as 30m or 6h")
    cron: Annotated[str, checked_by(Cron.parse)] | None = Field(None, description="schedule in five cron fields")
    time_zone: Annotated[str, checked_by(_check_time_zone)] | None = Field(
        None, description="time zone of cron, such as Europe/Zurich; omitted: UTC"
    )
    pin: dict[str, Annotated[str, checked_by(Digest.parse)]] = Field(
        {}, description="digests that tags are pinned to, by TAG, or by REPOSITORY:TAG if from contains a *"
    )
    on_upstream_delete: OnUpstreamDelete = Field(
        OnUpstreamDelete.KEEP,
        description="action if a tag is no longer upstream: keep the local tag, or follow and remove it",
    )
    keep: KeepSettings | None = Field(
        None, description="retention of the tags that the rule has copied; omitted: keep all"
    )

    platforms: tuple[PlatformText, ...] = Field(
        (), description="platforms to copy of images for several, such as linux/amd64 or linux/arm/v7; empty: all"
    )
    foreign_layers: ForeignLayers = Field(
        ForeignLayers.UPSTREAM,
        description="layers stored elsewhere: take them if the upstream has them, also from their urls, or leave them",
    )
    foreign_hosts: tuple[Annotated[str, checked_by(_check_foreign_host)], ...] = Field(
        (), description="hosts that foreign_layers: urls may ask, as HOST[:PORT], or http://HOST[:PORT] unencrypted"
    )
    derive: DeriveSettings | None = Field(
        None, description="changes for derived copies under the tags; the originals are kept by their digests"
    )

    referrers: ReferrerSettings = Field(
        ReferrerSettings.model_construct(), description="copies of signatures, attestations and other referrers"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.every is not None and self.cron is not None:
            raise ValueError("has two schedules; fix: give every or cron, not both")
        if self.time_zone is not None and self.cron is None:
            raise Mistakes((("time_zone",), "applies to cron only; fix: give cron as well"))
        if (self.foreign_layers is ForeignLayers.URLS) != bool(self.foreign_hosts):
            raise ValueError("foreign_layers: urls needs foreign_hosts, and nothing else uses them; fix: give both")
        self._check_names()
        # Built here once, so that a mistake is found when the configuration is read and not at the first run.
        try:
            self.rule()
        except MirrorError as error:
            raise ValueError(str(error)) from error
        return self

    def _check_names(self) -> None:
        from mirror.sync.rule import MirrorRule

        if not self.to or len(set(self.to)) < len(self.to):
            raise Mistakes((("to",), "a repository is missing or given twice; fix: give one or more, each once"))
        for number, target in enumerate(self.to):
            if NamePattern(target).wildcards != NamePattern(self.source.partition("/")[2]).wildcards:
                raise Mistakes(((("to", number) if len(self.to) > 1 else ("to",)), OTHER_WILDCARDS))
        for tag, digest in self.pin.items():
            try:
                MirrorRule.parse(self.name, self.source, self.to, pins={tag: digest})
            except MirrorError as error:
                told = str(error).removeprefix(f"mirror rule {self.name}: ").removeprefix(f"pin {tag!r}: ")
                raise Mistakes((("pin", tag), told)) from error

    def rule(self) -> MirrorRule:
        """Return the mirror rule that this section describes.

        Raises:
            ConfigurationFault: a name, pattern, digest, version range or schedule does not match its grammar.
        """
        from mirror.sync.rule import MirrorRule
        from mirror.transfer.tags.tag_selection import TagSelection

        tags = TagSelection.parse(self.tags.include, self.tags.exclude, self.tags.semver, self.tags.newest)
        rule = MirrorRule.parse(
            self.name,
            self.source,
            self.to,
            tags,
            schedule=self._schedule(),
            pins=self.pin,
            on_upstream_delete=self.on_upstream_delete,
            retention=None if self.keep is None else _retention(self.keep),
            changes=None if self.derive is None else self.derive.changes(),
            choice=self._choice(),
            most_referrers=self.referrers.most,
        )
        return replace(rule, fingerprint=self.fingerprint)

    @property
    def fingerprint(self) -> str:
        """Digest of the keys that decide what a run does. Keys at their defaults do not count."""
        said = json.dumps(stated(self, without=_OF_NO_RUN), sort_keys=True, default=str)
        return str(Digest.of(said.encode()))

    def _choice(self) -> ContentChoice:
        return ContentChoice(PlatformSelection.parse(self.platforms), self.foreign_layers, self.foreign_hosts)

    def _schedule(self) -> Schedule | None:
        if self.every is not None:
            return Every(parse_duration(self.every))
        return None if self.cron is None else Cron.parse(self.cron, self.time_zone)


def _retention(keep: KeepSettings) -> Retention:
    from mirror.sync.retention import Retention

    return Retention(keep.newest, None if keep.pulled_within is None else parse_duration(keep.pulled_within))
