"""Patterns of repository names: ``acme/*``, ``store/**``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from mirror.oci.errors import ConfigurationFault, NameInvalid
from mirror.oci.names import Repository

#: What stands for a component of a name, and for all that follow, as expressions.
WILDCARDS: Final = {"*": r"([^/]+)", "**": r"(.+)"}


#: Above every character of a repository name, in ASCII.
_ABOVE: Final = "~"


@dataclass(frozen=True, slots=True)
class NameSpan:
    """A run of names in ASCII order: those that begin with a prefix, or one name alone.

    Attributes:
        prefix: how the names begin; empty: all names.
        alone: whether the prefix is the one name.
    """

    prefix: str = ""
    alone: bool = False

    @property
    def before(self) -> str:
        """A text that sorts before every name of the run, and after every lower name."""
        if not self.prefix:
            return ""
        return f"{self.prefix[:-1]}{chr(ord(self.prefix[-1]) - 1)}{_ABOVE}"

    @property
    def last(self) -> str | None:
        """The last name of the run, or a text between it and every higher name; None: nothing is higher."""
        if self.alone:
            return self.prefix
        return f"{self.prefix}{_ABOVE}" if self.prefix else None


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern of names: ``*`` stands for one path component, ``**`` for the rest (one component or more).

    Raises ConfigurationFault where it is none.
    """

    text: str
    _grammar: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = self.text.split("/")
        if "**" in parts[:-1]:
            raise ConfigurationFault(f"{self.text!r}: ** stands for the rest, so it can only be the last component")
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
        """The wildcards in it, in order."""
        return [part for part in self.text.split("/") if part in WILDCARDS]

    @property
    def span(self) -> NameSpan:
        """The shortest run of names that holds every name which the pattern matches."""
        parts = self.text.split("/")
        literal = list(takewhile(lambda part: part not in WILDCARDS, parts))
        if len(literal) == len(parts):
            return NameSpan(self.text, alone=True)
        return NameSpan("".join(f"{part}/" for part in literal))

    def match(self, repository: Repository) -> tuple[str, ...] | None:
        """What the wildcards stand for in a name; None where the pattern does not match."""
        found = self._grammar.fullmatch(repository.name)
        return None if found is None else found.groups()

    def __str__(self) -> str:
        return self.text
