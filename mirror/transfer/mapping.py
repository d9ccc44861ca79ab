"""Names there to names here: ``store/*/*`` to ``*/*``. Pure; shared by whatever follows rules from one to the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mirror.oci.errors import ConfigurationFault, NameInvalid
from mirror.oci.names import Repository

_WILDCARDS = {"*": r"([^/]+)", "**": r"(.+)"}


@dataclass(frozen=True, slots=True)
class NameMapping:
    """A pattern of names at the source, and the name that each gets here.

    ``*`` stands for one path component, ``**`` for the rest (one component or more). What they match is filled into
    the same wildcards of ``target``, in order.
    """

    source: str
    target: str
    _grammar: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for pattern in (self.source, self.target):
            _check(pattern)
        if _wildcards(self.source) != _wildcards(self.target):
            raise ConfigurationFault(
                f"{self.source!r} cannot be mapped to {self.target!r}: both must hold the same * and **, in one order"
            )
        parts = [_WILDCARDS.get(part) or re.escape(part) for part in self.source.split("/")]
        object.__setattr__(self, "_grammar", re.compile("/".join(parts)))

    @property
    def plain_source(self) -> Repository | None:
        """The one repository that is meant, where the pattern holds no wildcard."""
        return None if _wildcards(self.source) else Repository.parse(self.source)

    def apply(self, repository: Repository) -> Repository | None:
        """The name here of a repository there; None where the pattern does not match.

        Raises:
            NameInvalid: the name would be too long.
        """
        match = self._grammar.fullmatch(repository.name)
        if match is None:
            return None
        filling = iter(match.groups())
        parts = [next(filling) if part in _WILDCARDS else part for part in self.target.split("/")]
        return Repository.parse("/".join(parts))

    def may_give(self, repository: Repository) -> bool:
        """Whether a repository here may be the name of one there."""
        return NameMapping(self.target, self.source).apply(repository) is not None


def _wildcards(pattern: str) -> list[str]:
    return [part for part in pattern.split("/") if part in _WILDCARDS]


def _check(pattern: str) -> None:
    parts = pattern.split("/")
    if "**" in parts[:-1]:
        raise ConfigurationFault(f"{pattern!r}: ** stands for the rest, so it can only be the last component")
    try:
        Repository.parse("/".join("x" if part in _WILDCARDS else part for part in parts))
    except NameInvalid as error:
        raise ConfigurationFault(f"{pattern!r} is not a repository name or a pattern with * and **: {error}") from error
