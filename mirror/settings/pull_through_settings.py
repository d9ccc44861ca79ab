"""The sections ``proxy`` and ``pull_through``: content that is fetched when a client first asks for it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pydantic import ByteSize, Field, field_validator, model_validator

from mirror.oci.name_pattern import NamePattern
from mirror.runtime.durations import parse_duration
from mirror.settings.section import Mistakes, Section
from mirror.settings.section_values import (
    MOST_BYTES,
    OTHER_WILDCARDS,
    Duration,
    PlatformText,
    RepositoryPattern,
    SourceText,
)

if TYPE_CHECKING:  # imported where it is used, because many commands do not use it
    from mirror.lifecycle.eviction import KeepLimits


class ProxySettings(Section):
    """A rule that fetches content from an upstream when a client first asks for it."""

    source: SourceText = Field(alias="from", description="source as UPSTREAM/REPOSITORY, with * and **")
    to: RepositoryPattern = Field(description="local repository, with the same * and **")
    platforms: tuple[PlatformText, ...] = Field(
        (), description="platforms to pull of images for several, such as linux/amd64 or linux/arm/v7; empty: all"
    )

    @model_validator(mode="after")
    def _names_match(self) -> Self:
        if NamePattern(self.to).wildcards != NamePattern(self.source.partition("/")[2]).wildcards:
            raise Mistakes((("to",), OTHER_WILDCARDS))
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
        le=MOST_BYTES,
        description="size of the content, such as 200GiB. Beyond it, what was pulled least recently is evicted",
    )
    unused_for: Duration | None = Field(
        None, description="time since the last pull, such as 90d, after which a tag is evicted; at least 1d"
    )

    @field_validator("unused_for")
    @classmethod
    def _survives_a_weekend(cls, value: str | None) -> str | None:
        if value is not None and parse_duration(value) < timedelta(days=1):
            raise ValueError(
                "is too short, because what a host pulls each night would be fetched each night; fix: write 1d or more"
            )
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
        from mirror.proxy.freshness import LEAST_FRESH_FOR

        if parse_duration(value) < LEAST_FRESH_FOR:
            raise ValueError(
                "is too short, because an engine asks twice during one install, and the tag must not move in between; "
                "fix: write 2m or more"
            )
        return value

    @property
    def fresh_for_duration(self) -> timedelta:
        """The value of ``fresh_for`` as a length of time."""
        return parse_duration(self.fresh_for)
