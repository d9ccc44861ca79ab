"""The sections ``proxy`` and ``pull_through``: content that is fetched when a client first asks for it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pydantic import ByteSize, Field, field_validator, model_validator

from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_mapping import NameMapping
from mirror.oci.name_pattern import NamePattern
from mirror.oci.platform_selection import PlatformSelection
from mirror.proxy.freshness import LEAST_FRESH_FOR
from mirror.settings.mirror_settings import Duration
from mirror.settings.section import Section
from mirror.sync.schedule import parse_duration

if TYPE_CHECKING:  # imported where it is used, because many commands do not use it
    from mirror.lifecycle.eviction import KeepLimits


def check_pattern(pattern: str) -> str:
    """Return a pattern of repository names unchanged.

    Raises:
        ValueError: the pattern is invalid.
    """
    try:
        NamePattern(pattern)
    except ConfigurationFault as error:
        raise ValueError(str(error)) from error
    return pattern


class ProxySettings(Section):
    """A rule that fetches content from an upstream when a client first asks for it."""

    source: str = Field(alias="from", description="source as UPSTREAM/REPOSITORY, with * and **")
    to: str = Field(description="local repository, with the same * and **")
    platforms: tuple[str, ...] = Field(
        (), description="platforms to pull of images for several, such as linux/amd64 or linux/arm/v7; empty: all"
    )

    @field_validator("platforms")
    @classmethod
    def _are_platforms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            PlatformSelection.parse(value)
        except ConfigurationFault as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _names_match(self) -> Self:
        repository = self.source.partition("/")[2]
        if repository:  # Settings reports a source without a repository
            try:
                NameMapping(self.to, repository)
            except ConfigurationFault as error:
                raise ValueError(str(error)) from error
        return self

    @property
    def upstream(self) -> str:
        """The name of the upstream."""
        return self.source.partition("/")[0]


class Unattended(StrEnum):
    """Treatment of a download that no client waits for any more."""

    FINISH = "finish"
    STOP = "stop"


class WhenFull(StrEnum):
    """Treatment of new content on a full disk."""

    EVICT = "evict"
    REFUSE = "refuse"


class PulledKeepSettings(Section):
    """Limits of the content that only pull-through needs. Without a key there is no such limit."""

    size: ByteSize | None = Field(
        None,
        alias="bytes",
        gt=0,
        description="size of the content, such as 200GiB. Beyond it, what was pulled least recently is evicted",
    )
    unused_for: Duration | None = Field(
        None, description="time since the last pull, such as 90d, after which a tag is evicted; at least 1d"
    )

    @field_validator("unused_for")
    @classmethod
    def _survives_a_weekend(cls, value: str | None) -> str | None:
        if value is not None and parse_duration(value) < timedelta(days=1):
            raise ValueError("it must be at least 1d: what a host pulls each night would be fetched each night")
        return value

    def limits(self) -> KeepLimits:
        """Return the limits."""
        from mirror.lifecycle.eviction import KeepLimits

        unused_for = None if self.unused_for is None else parse_duration(self.unused_for)
        return KeepLimits(None if self.size is None else int(self.size), unused_for)


class PullThroughSettings(Section):
    """Behaviour of all proxy rules."""

    fresh_for: Duration = Field(
        "5m", description="time for which a tag is served without asking its upstream again, at least 2m"
    )
    unattended: Unattended = Field(
        Unattended.FINISH,
        description="a download that no client waits for any more: finish it, or stop it and keep what has arrived",
    )
    keep: PulledKeepSettings = Field(
        PulledKeepSettings.model_construct(), description="how much of the pulled content is kept"
    )
    when_full: WhenFull = Field(
        WhenFull.EVICT,
        description="a disk on which little more than storage.least_free_bytes is free: evict what was pulled least "
        "recently, or refuse new content",
    )

    @field_validator("fresh_for")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if parse_duration(value) < LEAST_FRESH_FOR:
            raise ValueError(
                "it must be at least 2m: an engine asks twice during one install, and the tag must not move in between"
            )
        return value

    @property
    def fresh_for_duration(self) -> timedelta:
        """The value of ``fresh_for`` as a length of time."""
        return parse_duration(self.fresh_for)
