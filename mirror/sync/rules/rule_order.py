"""Order of the rules that meet in one local repository. Pure.

The order in the configuration decides: a tag that several rules want belongs to the first of them. A rule holds a tag
that it brought for as long as its ``from``, ``to``, ``tags`` and ``pin`` cover the tag, also after the tag is gone
upstream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mirror.oci import Repository, Tag
from mirror.oci.errors import NameInvalid
from mirror.oci.name_mapping import NameMapping
from mirror.records.sync_runs import MirroredTag
from mirror.sync.rule import MirrorRule


@dataclass(frozen=True, slots=True)
class RuleOrder:
    """Order of rules in one local repository, seen from one of them.

    Attributes:
        repository: the local repository.
        places: rules that may copy to the repository with the mapping of its name, first rule first.
        own: rule that asks.
        source: upstream repository from which ``own`` copies to the repository.
        own_place: place of ``own`` with ``source``.
    """

    repository: Repository
    places: tuple[tuple[MirrorRule, NameMapping], ...]
    own: MirrorRule
    source: Repository
    own_place: int = field(init=False)

    def __post_init__(self) -> None:
        place = self._place(self.own.name, self.own.source, self.source)
        object.__setattr__(self, "own_place", len(self.places) if place is None else place)

    @classmethod
    def of(cls, rules: Iterable[MirrorRule], own: MirrorRule, source: Repository, repository: Repository) -> RuleOrder:
        """Return the order in a repository.

        Args:
            rules: configured rules in their order. A rule that is not among them comes last.
            own: rule that asks.
            source: upstream repository from which ``own`` copies to the repository.
            repository: local repository.
        """
        known = tuple(rules)
        everybody = known if any(rule.name == own.name for rule in known) else (*known, own)
        places = ((rule, mapping) for rule in everybody for mapping in rule.names if mapping.may_give(repository))
        return cls(repository, tuple(places), own, source)

    def is_own(self, row: MirroredTag) -> bool:
        """Return True if the asking rule manages a tag: it brought the tag, also before its settings were edited.

        The rule continues with the tags that a rule which is gone brought from the same source.
        """
        place = self._place_of(row)
        if place is not None:
            return place == self.own_place
        return row.rule == self.own.name or (self.is_from_source(row) and not self._is_known(row.rule))

    def own_rows(self, rows: Mapping[Tag, MirroredTag]) -> dict[Tag, MirroredTag]:
        """Return the rows of the tags that the asking rule manages."""
        return {tag: row for tag, row in rows.items() if self.is_own(row)}

    def is_from_source(self, row: MirroredTag) -> bool:
        """Return True if a tag came from the source of the asking rule."""
        return (row.upstream, row.source) == (self.own.source, self.source)

    def holder(self, row: MirroredTag) -> MirrorRule | None:
        """Return the rule that comes before the asking one and holds a tag; None if the asking rule may take it."""
        place = self._place_of(row)
        return None if place is None or place >= self.own_place else self.places[place][0]

    def _place_of(self, row: MirroredTag) -> int | None:
        """Return the place of the rule that would bring a tag from where it came; None if no rule would."""
        named = row.rule if self._is_known(row.rule) else None
        place = self._place(named, row.upstream, row.source, row.tag)
        return self._place(None, row.upstream, row.source, row.tag) if place is None else place

    def _place(self, name: str | None, upstream: str, source: Repository, tag: Tag | None = None) -> int | None:
        for place, (rule, mapping) in enumerate(self.places):
            if name not in {None, rule.name} or rule.source != upstream:
                continue
            if _apply(mapping, source) == self.repository and (tag is None or rule.wants(self.repository, tag)):
                return place
        return None

    def _is_known(self, name: str) -> bool:
        return any(rule.name == name for rule, _ in self.places)


def _apply(mapping: NameMapping, source: Repository) -> Repository | None:
    try:
        return mapping.apply(source)
    except NameInvalid:  # the local name would be too long
        return None
