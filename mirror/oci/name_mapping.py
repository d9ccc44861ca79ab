"""Mapping of repository names: ``store/*/*`` to ``*/*``. Pure; shared by mirror rules and proxy rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_pattern import WILDCARDS, NamePattern, NameSpan
from mirror.oci.names import Repository


@dataclass(frozen=True, slots=True)
class NameMapping:
    """A pattern of source names, and the target name that each gets.

    ``*`` stands for one path component, ``**`` for the rest (one component or more). What they match is filled into
    the same wildcards of ``target``, in order.
    """

    source: str
    target: str
    _pattern: NamePattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern, target = NamePattern(self.source), NamePattern(self.target)
        if pattern.wildcards != target.wildcards:
            raise ConfigurationFault(
                f"{self.source!r} cannot be mapped to {self.target!r}: both must hold the same * and **, in one order"
            )
        object.__setattr__(self, "_pattern", pattern)

    @property
    def plain_source(self) -> Repository | None:
        """The one source repository; None where the pattern holds a wildcard."""
        return None if self._pattern.wildcards else Repository.parse(self.source)

    @property
    def source_span(self) -> NameSpan:
        """The run of names that holds every name which the pattern covers."""
        return self._pattern.span

    def covers(self, repository: Repository) -> bool:
        """Tell whether the source pattern matches a name."""
        return self._pattern.match(repository) is not None

    def apply(self, repository: Repository) -> Repository | None:
        """Map a source repository to its target name; None where the pattern does not match.

        Raises:
            NameInvalid: the target name would be too long.
        """
        found = self._pattern.match(repository)
        if found is None:
            return None
        filling = iter(found)
        parts = [next(filling) if part in WILDCARDS else part for part in self.target.split("/")]
        return Repository.parse("/".join(parts))

    def may_give(self, repository: Repository) -> bool:
        """Tell whether a repository may be the target name of a source repository."""
        return NameMapping(self.target, self.source).apply(repository) is not None
