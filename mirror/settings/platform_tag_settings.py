"""One tag for every platform."""

from __future__ import annotations

import re
from typing import Final, Self

from pydantic import Field, field_validator, model_validator

from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_pattern import NamePattern
from mirror.records.platform_rules import PlatformRule
from mirror.settings.section import Section

_INDEX: Final = "index"
_ARCHITECTURE: Final = re.compile(r"[a-z0-9]{1,16}")


class PlatformTagSettings(Section):
    """A rule: a tag that gives each Docker Engine the plugin for its platform."""

    name: str = Field(description="the repositories, with * and **")
    tag: str = Field(min_length=1, description="the tags, a glob, such as latest or *")
    platforms: dict[str, str] | str = Field(
        description="the tag that is meant, by architecture (amd64, arm64, arm …); {tag} in it stands for the one "
        "that is asked for. Or index: the tag names an index, and its member is meant"
    )
    default: str | None = Field(
        None, description="the architecture for clients that say none; omitted: for them the tag is what it is"
    )

    @field_validator("platforms")
    @classmethod
    def _tags_or_index(cls, value: dict[str, str] | str) -> dict[str, str] | str:
        if isinstance(value, str):
            if value != _INDEX:
                raise ValueError("write a tag for each architecture, as {amd64: latest-amd64}, or index")
        elif wrong := [name for name in value if _ARCHITECTURE.fullmatch(name) is None]:
            raise ValueError(f"{wrong[0]!r} is not an architecture as Go names it, such as amd64")
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        try:
            self.rule()
        except ConfigurationFault as error:
            raise ValueError(str(error)) from error
        return self

    def rule(self) -> PlatformRule:
        """The rule.

        Raises:
            ConfigurationFault: something is outside its grammar.
        """
        platforms = None if isinstance(self.platforms, str) else self.platforms
        return PlatformRule(NamePattern(self.name), self.tag, platforms, self.default)
