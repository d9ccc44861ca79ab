"""The section ``platform_tags``: one tag that gives each engine the plugin for its platform."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Self

from pydantic import Field, field_validator, model_validator

from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_pattern import NamePattern
from mirror.settings.section import Mistakes, Section
from mirror.settings.section_values import RepositoryPattern

if TYPE_CHECKING:  # imported where it is used, because many commands do not use it
    from mirror.records.platform_rules import PlatformRule

_INDEX: Final = "index"
_ARCHITECTURE: Final = re.compile(r"[a-z0-9]{1,16}")


class PlatformTagSettings(Section):
    """A rule for tags that give each Docker Engine the plugin for its platform."""

    name: RepositoryPattern = Field(description="names of repositories, with * and **")
    tag: str = Field(min_length=1, description="glob for tags, such as latest or *")
    platforms: dict[str, str] | str = Field(
        description="tag to serve for each architecture (amd64, arm64, arm …), where {tag} is replaced by the "
        "requested tag; or index: the tag names an index, and the member for the platform is served"
    )
    default: str | None = Field(
        None, description="architecture for clients that do not tell theirs; omitted: the tag itself is served to them"
    )

    @field_validator("platforms")
    @classmethod
    def _tags_or_index(cls, value: dict[str, str] | str) -> dict[str, str] | str:
        if isinstance(value, str):
            if value != _INDEX:
                raise ValueError(
                    "is no section; fix: write a tag for each platform, as in {amd64: latest-amd64}, or index"
                )
        # Engines send the architecture as Go names it, so arm64 matches and aarch64 never would.
        elif wrong := [name for name in value if _ARCHITECTURE.fullmatch(name) is None]:
            raise ValueError(
                f"{wrong[0][:40]!r} is not an architecture as Go names it; fix: write it like amd64, arm64 or arm"
            )
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        # Built here once, so that a mistake is found when the configuration is read and not at the first pull.
        try:
            self.rule()
        except ConfigurationFault as error:
            key, _, told = str(error).partition(": ")
            raise Mistakes(((key,), told)) from error
        return self

    def rule(self) -> PlatformRule:
        """Return the platform rule that this section describes.

        Raises:
            ConfigurationFault: a name, tag or architecture does not match its grammar.
        """
        from mirror.records.platform_rules import PlatformRule

        platforms = None if isinstance(self.platforms, str) else self.platforms
        return PlatformRule(NamePattern(self.name), self.tag, platforms, self.default)
