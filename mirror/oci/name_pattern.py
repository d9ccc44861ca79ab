"""Patterns of repository names: ``acme/*``, ``store/**``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from mirror.oci.errors import ConfigurationFault, NameInvalid
from mirror.oci.names import Repository

#: Regular expressions of the wildcards: ``*`` for one component, ``**`` for all remaining ones.
WILDCARDS: Final = {"*": r"([^/]+)", "**": r"(.+)"}


#: Sorts after every character of a repository name in ASCII.
_ABOVE: Final = "~"


@dataclass(frozen=True, slots=True)
class NameSpan:
    """Range of names in ASCII order: all names with a prefix, or a single name.

    A list of the repositories that a caller may read skips the names outside the caller's ranges.

    Attributes:
        prefix: prefix of the names; empty for all names.
        alone: True if the range is the single name ``prefix``.
    """

    prefix: str = ""
    alone: bool = False

    @property
    def before(self) -> str:
        """Text that sorts before every name of the range, and after every lower name."""
        if not self.prefix:
            return ""
        # No name contains "~", so this text lies between the range and every name below it.
        return f"{self.prefix[:-1]}{chr(ord(self.prefix[-1]) - 1)}{_ABOVE}"

    @property
    def last(self) -> str | None:
        """Last name of the range, or a text that sorts between it and every higher name; None if no name is higher."""
        if self.alone:
            return self.prefix
        return f"{self.prefix}{_ABOVE}" if self.prefix else None


@dataclass(frozen=True, slots=True)
class NamePattern:
    """Pattern of names: ``*`` matches one path component, ``**`` matches one or more remaining components.

    Attributes:
        text: the pattern as written.

    Raises:
        ConfigurationFault: the text is not a pattern.
    """

    text: str
    _grammar: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = self.text.split("/")
        if "**" in parts[:-1]:
            raise ConfigurationFault(f"{self.text!r}: ** matches the rest of a name, so it must be the last component")
        try:
            Repository.parse("/".join("x" if part in WILDCARDS else part for part in parts))
        except NameInvalid as error:
            raise ConfigurationFault(
                f"{self.text!r} is not a repository name or a pattern with * and **: {error}"
            ) from error
        grammar = re.compile("/".join(WILDCARDS.get(part) or re.escape(part) for part in parts))
        object.__setattr__(self, "_grammar", grammar)

    @property
    def wildcards(self) -> list[str]:
        """Wildcards of the pattern, in order."""
        return [part for part in self.text.split("/") if part in WILDCARDS]

    @property
    def span(self) -> NameSpan:
        """Smallest name range that contains every name that the pattern matches."""
        parts = self.text.split("/")
        literal = list(takewhile(lambda part: part not in WILDCARDS, parts))
        if len(literal) == len(parts):
            return NameSpan(self.text, alone=True)
        return NameSpan("".join(f"{part}/" for part in literal))

    def match(self, repository: Repository) -> tuple[str, ...] | None:
        """Return the text that each wildcard matches in a name; None if the pattern does not match."""
        found = self._grammar.fullmatch(repository.name)
        return None if found is None else found.groups()

    def __str__(self) -> str:
        return self.text


def patterns_meet(first: str, second: str) -> bool:
    """Return True if some name is matched by both patterns."""
    ones, others = first.split("/"), second.split("/")
    for one, other in zip(ones, others, strict=False):
        # ``**`` is the last component and matches at least one, so the rest of the other pattern fits.
        if "**" in {one, other}:
            return True
        if one != other and one not in WILDCARDS and other not in WILDCARDS:
            return False
    return len(ones) == len(others)
