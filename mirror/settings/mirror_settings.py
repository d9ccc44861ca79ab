"""Mirror rules: content copied ahead of need."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from mirror.oci.errors import MirrorError
from mirror.plugin.build.derivation import DerivationChanges
from mirror.settings.section import Section
from mirror.sync.retention import Retention
from mirror.sync.rule import MirrorRule, OnUpstreamDelete
from mirror.sync.schedule import Cron, Every, Schedule, parse_duration
from mirror.transfer.tag_selection import TagSelection

Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]*[smhd]$")]


def _as_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _as_written(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


Targets = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_several, json_schema_input_type=str | tuple[str, ...]),
    PlainSerializer(_as_written, return_type=str | list[str]),
]


class TagSettings(Section):
    """Which tags of a repository are taken. Without any key: all."""

    include: tuple[str, ...] = Field(
        (), description="globs, or regular expressions (RE2) between slashes, as /^v[0-9]+$/; empty: every tag"
    )
    exclude: tuple[str, ...] = Field((), description="globs and expressions, which win over include")
    semver: str | None = Field(
        None, description="range of the version in the tag: '>=1.0 <2', '^1.2', '~1.2.3', '1.x || 3.x'"
    )
    newest: int | None = Field(None, ge=1, description="only so many, by the version in the tag")


class KeepSettings(Section):
    """What a rule keeps of what it has brought: what meets one of these. Only tags are dropped, not their content."""

    newest: int | None = Field(None, ge=1, description="the newest so many of a repository, by the version in the tag")
    pulled_within: Duration | None = Field(None, description="what was pulled or brought within that time, such as 90d")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.newest is None and self.pulled_within is None:
            raise ValueError("give newest, pulled_within, or both")
        return self


class DeriveSettings(Section):
    """What tags here have that is not there. In values, {name} and {tag} stand for what the copy is called here."""

    env: dict[str, str] = Field({}, description="defaults of environment variables, by name")
    mounts: dict[str, str] = Field({}, description="sources of mounts, by name; without one, by destination")
    devices: dict[str, str] = Field({}, description="paths of devices, by name; without one, by path")
    args: tuple[str, ...] | None = Field(None, description="what follows the entrypoint")
    fix: bool = Field(default=False, description="mend digests and media types, so that engines from 1.13 on take it")

    def changes(self) -> DerivationChanges:
        """The changes. Raises ConfigurationFault: there are none."""
        return DerivationChanges(self.env, self.mounts, self.devices, self.args, self.fix)


class MirrorSettings(Section):
    """A rule: content copied ahead of need."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="the rule's name, for the command line")
    source: str = Field(alias="from", description="UPSTREAM/REPOSITORY, with * and **")
    to: Targets = Field(description="repository here, or a list of some, with the same * and **")
    tags: TagSettings = Field(TagSettings(), description="which tags")
    every: Duration | None = Field(None, description="interval, such as 30m or 6h")
    cron: str | None = Field(None, description="five cron fields")
    time_zone: str | None = Field(None, description="of cron, such as Europe/Zurich; omitted: UTC")
    pin: dict[str, str] = Field(
        {}, description="digests at which tags are held, by TAG, or by REPOSITORY:TAG where from holds a *"
    )
    on_upstream_delete: OnUpstreamDelete = Field(
        OnUpstreamDelete.KEEP,
        description="a tag that is no longer upstream: keep it here, or follow and take it away here too",
    )
    keep: KeepSettings | None = Field(None, description="what is kept of what the rule has brought; omitted: all")

    derive: DeriveSettings | None = Field(
        None, description="make the tags copies with other defaults; what is upstream is kept by its digest"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.every is not None and self.cron is not None:
            raise ValueError("give every or cron, not both")
        if self.time_zone is not None and self.cron is None:
            raise ValueError("time_zone is of cron: give cron as well")
        try:
            self.rule()
        except MirrorError as error:
            raise ValueError(str(error)) from error
        return self

    def rule(self) -> MirrorRule:
        """The rule.

        Raises:
            ConfigurationFault: something is outside its grammar.
        """
        tags = TagSelection.parse(self.tags.include, self.tags.exclude, self.tags.semver, self.tags.newest)
        return MirrorRule.parse(
            self.name,
            self.source,
            self.to,
            tags,
            schedule=self._schedule(),
            pins=self.pin,
            on_upstream_delete=self.on_upstream_delete,
            retention=None if self.keep is None else _retention(self.keep),
            changes=None if self.derive is None else self.derive.changes(),
        )

    def _schedule(self) -> Schedule | None:
        if self.every is not None:
            return Every(parse_duration(self.every))
        return None if self.cron is None else Cron.parse(self.cron, self.time_zone)


def _retention(keep: KeepSettings) -> Retention:
    return Retention(keep.newest, None if keep.pulled_within is None else parse_duration(keep.pulled_within))
