"""Patterns of repository names: ``acme/*``, ``store/**``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from mirror.oci.errors import ConfigurationFault, NameInvalid
from mirror.oci.names import Repository

#: What stands for a component of a name, and for all that follow, as expressions.
WILDCARDS: Final = {"*": r"([^/]+)", "**": r"(.+)"}


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

    def match(self, repository: Repository) -> tuple[str, ...] | None:
        """What the wildcards stand for in a name; None where the pattern does not match."""
        found = self._grammar.fullmatch(repository.name)
        return None if found is None else found.groups()

    def __str__(self) -> str:
        return self.text
