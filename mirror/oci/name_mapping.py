"""Mappings of repository names: ``store/*/*`` to ``*/*``. Pure; shared by mirror rules and proxy rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_pattern import WILDCARDS, NamePattern, NameSpan
from mirror.oci.names import Repository


@dataclass(frozen=True, slots=True)
class NameMapping:
    """Mapping from a pattern of source names to target names.

    ``*`` matches one path component, and ``**`` matches one or more remaining components. The matched components
    replace the wildcards of ``target`` in order.

    Attributes:
        source: pattern of source names.
        target: pattern of target names, with the wildcards of ``source``.
    """

    source: str
    target: str
    _pattern: NamePattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern, target = NamePattern(self.source), NamePattern(self.target)
        # The matched components fill the target's wildcards by position.
        if pattern.wildcards != target.wildcards:
            raise ConfigurationFault(
                f"{self.source!r} cannot be mapped to {self.target!r}: "
                "both must have the same * and ** in the same order"
            )
        object.__setattr__(self, "_pattern", pattern)

    @property
    def plain_source(self) -> Repository | None:
        """The only source repository; None if the pattern has wildcards."""
        return None if self._pattern.wildcards else Repository.parse(self.source)

    @property
    def source_span(self) -> NameSpan:
        """Name range that contains every name that the source pattern matches."""
        return self._pattern.span

    def covers(self, repository: Repository) -> bool:
        """Return True if the source pattern matches a name."""
        return self._pattern.match(repository) is not None

    def apply(self, repository: Repository) -> Repository | None:
        """Return the target name of a source repository; None if the pattern does not match.

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
        """Return True if some source repository could be mapped to this target name."""
        return NameMapping(self.target, self.source).apply(repository) is not None
