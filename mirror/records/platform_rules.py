"""Rules that let one tag serve a plugin on every platform. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mirror.oci import Repository, Tag
from mirror.oci.errors import ConfigurationFault, NameInvalid
from mirror.oci.name_pattern import NamePattern

#: Placeholder for the requested tag in the tag template of a platform.
PLACEHOLDER: Final = "{tag}"


@dataclass(frozen=True, slots=True)
class PlatformRule:
    """Rule that maps a requested tag to a plugin for each architecture.

    Attributes:
        name: pattern of repositories.
        tag: glob of tags. A tag that a template in ``platforms`` produces belongs to one platform and is not covered.
        platforms: tag template by architecture as Go names it. A template may contain :data:`PLACEHOLDER`. None if the
            requested tag names an index whose members are served.
        default: architecture for clients that do not report one; None if such clients get the tag itself.
    """

    name: NamePattern
    tag: str
    platforms: Mapping[str, str] | None
    default: str | None = None
    _tags: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _own: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Templates are checked with one character for the placeholder. A longer tag may still be refused in tag_for.
        templates = tuple((self.platforms or {}).values())
        for template in templates:
            _check("platforms", template.replace(PLACEHOLDER, "x"))
        if not _is_glob(self.tag):
            _check("tag", self.tag)
        if self.platforms is not None and self.default is not None and self.default not in self.platforms:
            fix = f"write one of {', '.join(self.platforms)}" if self.platforms else "add it under platforms"
            raise ConfigurationFault(f"default: {self.default!r} is none of the platforms; fix: {fix}")
        # Patterns are compiled once, because every pull by tag matches them.
        object.__setattr__(self, "_tags", re.compile(fnmatch.translate(self.tag)))
        # Any tag may have replaced the placeholder.
        own = (re.escape(template).replace(re.escape(PLACEHOLDER), "(.+)") for template in templates)
        object.__setattr__(self, "_own", tuple(map(re.compile, own)))

    @property
    def only(self) -> tuple[Repository, Tag] | None:
        """The only tag that the rule can cover; None if the rule may cover several."""
        if self.name.wildcards or _is_glob(self.tag):
            return None
        return Repository.parse(self.name.text), Tag.parse(self.tag)

    def covers(self, repository: Repository, tag: Tag) -> bool:
        """Return True if the rule applies to a tag."""
        if self._tags.match(tag.name) is None or self.name.match(repository) is None:
            return False
        # The own tag of a platform always means this platform, for every client.
        return not any(own.fullmatch(tag.name) for own in self._own)

    def group_of(self, tag: Tag) -> str | None:
        """Return the tag, or glob of tags, that engines ask for to get this tag; None if the rule has no such tags."""
        if self.platforms is None:
            return None
        shared = any(PLACEHOLDER not in template for template in self.platforms.values())
        own = [found for one in self._own if (found := one.fullmatch(tag.name)) is not None]
        if any(not found.groups() for found in own):
            return self.tag
        bases = [found[1] for found in own if self._tags.match(found[1]) is not None]
        if bases:
            return self.tag if shared else min(bases, key=len)
        if self._tags.match(tag.name) is None:
            return None
        # Where all tags of a glob share the tag of a platform, all of them are one group.
        return self.tag if shared else tag.name

    def tag_for(self, tag: Tag, architecture: str) -> Tag | None:
        """Return the tag to serve for an architecture; None if the rule has none.

        Raises:
            NameInvalid: the tag would be too long.
        """
        template = (self.platforms or {}).get(architecture)
        return None if template is None else Tag.parse(template.replace(PLACEHOLDER, tag.name))


@dataclass(frozen=True, slots=True)
class PlatformTags:
    """All platform rules. The first rule that covers a tag applies."""

    rules: Sequence[PlatformRule] = ()

    def group_of(self, repository: Repository, tag: Tag) -> str:
        """Return the name of the group of a tag: the tag that engines ask for, or the tag itself without a rule."""
        of_repository = (rule for rule in self.rules if rule.name.match(repository) is not None)
        return next((group for rule in of_repository if (group := rule.group_of(tag)) is not None), tag.name)

    def of(self, repository: Repository, tag: Tag) -> PlatformRule | None:
        """Return the rule of a tag; None if all clients get the same content."""
        return next((rule for rule in self.rules if rule.covers(repository, tag)), None)


def _is_glob(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _check(key: str, tag: str) -> None:
    try:
        Tag.parse(tag)
    except NameInvalid as error:
        raise ConfigurationFault(f"{key}: {error}") from error
