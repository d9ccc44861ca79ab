"""Names there to names here: ``store/*/*`` to ``*/*``. Pure; shared by whatever follows rules from one to the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_pattern import WILDCARDS, NamePattern, NameSpan
from mirror.oci.names import Repository


@dataclass(frozen=True, slots=True)
class NameMapping:
    """A pattern of names at the source, and the name that each gets here.

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
        """The one repository that is meant, where the pattern holds no wildcard."""
        return None if self._pattern.wildcards else Repository.parse(self.source)

    @property
    def source_span(self) -> NameSpan:
        """The run of names that holds every name which :meth:`covers` holds true of."""
        return self._pattern.span

    def covers(self, repository: Repository) -> bool:
        """Whether the pattern of names at the source matches."""
        return self._pattern.match(repository) is not None

    def apply(self, repository: Repository) -> Repository | None:
        """The name here of a repository there; None where the pattern does not match.

        Raises:
            NameInvalid: the name would be too long.
        """
        found = self._pattern.match(repository)
        if found is None:
            return None
        filling = iter(found)
        parts = [next(filling) if part in WILDCARDS else part for part in self.target.split("/")]
        return Repository.parse("/".join(parts))

    def may_give(self, repository: Repository) -> bool:
        """Whether a repository here may be the name of one there."""
        return NameMapping(self.target, self.source).apply(repository) is not None
