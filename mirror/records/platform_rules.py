"""Rules that make one tag stand for a plugin on every platform. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mirror.oci import Repository, Tag
from mirror.oci.errors import ConfigurationFault, NameInvalid
from mirror.oci.name_pattern import NamePattern

#: Stands in the tag of a platform for the tag that was asked for.
PLACEHOLDER: Final = "{tag}"


@dataclass(frozen=True, slots=True)
class PlatformRule:
    """What a tag stands for, by architecture.

    Attributes:
        name: the repositories.
        tag: the tags, a glob. A tag that is one platform's own, because a template of ``platforms`` gives it, is not
            covered: it is what it says.
        platforms: by architecture, as Go names it, the tag that is meant; it may hold :data:`PLACEHOLDER`. None: the
            tag names an index, and its member is meant.
        default: the architecture for clients that say none; None: for them the tag is what it is.
    """

    name: NamePattern
    tag: str
    platforms: Mapping[str, str] | None
    default: str | None = None
    _tags: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _own: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        templates = tuple((self.platforms or {}).values())
        for template in templates:
            _check("platforms", template.replace(PLACEHOLDER, "x"))
        if not _is_glob(self.tag):
            _check("tag", self.tag)
        if self.platforms is not None and self.default is not None and self.default not in self.platforms:
            raise ConfigurationFault(
                f"default: {self.default!r} is none of the platforms ({', '.join(self.platforms) or 'there are none'})"
            )
        object.__setattr__(self, "_tags", re.compile(fnmatch.translate(self.tag)))
        own = (re.escape(template).replace(re.escape(PLACEHOLDER), ".+") for template in templates)
        object.__setattr__(self, "_own", tuple(map(re.compile, own)))

    @property
    def only(self) -> tuple[Repository, Tag] | None:
        """The one tag that the rule is about; None where it is about several."""
        if self.name.wildcards or _is_glob(self.tag):
            return None
        return Repository.parse(self.name.text), Tag.parse(self.tag)

    def covers(self, repository: Repository, tag: Tag) -> bool:
        """Whether the rule says what this tag stands for."""
        if self._tags.match(tag.name) is None or self.name.match(repository) is None:
            return False
        return not any(own.fullmatch(tag.name) for own in self._own)

    def tag_for(self, tag: Tag, architecture: str) -> Tag | None:
        """The tag that is meant on an architecture; None where the rule has none.

        Raises:
            NameInvalid: it would be too long.
        """
        template = (self.platforms or {}).get(architecture)
        return None if template is None else Tag.parse(template.replace(PLACEHOLDER, tag.name))


@dataclass(frozen=True, slots=True)
class PlatformTags:
    """All rules; the first that covers a tag decides."""

    rules: Sequence[PlatformRule] = ()

    def of(self, repository: Repository, tag: Tag) -> PlatformRule | None:
        """The rule of a tag; None where it is the same for all clients."""
        return next((rule for rule in self.rules if rule.covers(repository, tag)), None)


def _is_glob(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _check(key: str, tag: str) -> None:
    try:
        Tag.parse(tag)
    except NameInvalid as error:
        raise ConfigurationFault(f"{key}: {error}") from error
