"""A mirror rule: what is copied from where to where, when, and what becomes of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mirror.oci.digest import Digest
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.oci.names import Repository, Tag
from mirror.plugin.derivation import Changes
from mirror.sync.retention import Retention
from mirror.sync.schedule import Schedule
from mirror.transfer.mapping import NameMapping
from mirror.transfer.select import TagSelection
from mirror.wire.referrers import is_digest_tag

_EVERY_TAG = TagSelection()


class OnUpstreamDelete(StrEnum):
    """What becomes of a tag here that is no longer there."""

    KEEP = "keep"
    FOLLOW = "follow"


@dataclass(frozen=True, slots=True)
class MirrorRule:
    """One rule.

    Attributes:
        name: what it is called.
        source: the name of the upstream.
        names: which of its repositories, and what they are called here: each under one name or more.
        tags: which of their tags.
        schedule: when it runs by itself; None: only when it is told to.
        pins: digests at which tags are held, by repository here and tag.
        on_upstream_delete: what becomes of a tag that is no longer there.
        retention: what is kept of what the rule has brought; None: all of it.
        changes: what the tags here have that is not there: they are copies with changes; None: they are as there.
    """

    name: str
    source: str
    names: tuple[NameMapping, ...]
    tags: TagSelection = _EVERY_TAG
    schedule: Schedule | None = None
    pins: Mapping[tuple[Repository, Tag], Digest] = field(default_factory=dict)
    on_upstream_delete: OnUpstreamDelete = OnUpstreamDelete.KEEP
    retention: Retention | None = None
    changes: Changes | None = None

    @classmethod
    def parse(
        cls,
        name: str,
        source: str,
        to: str | Sequence[str],
        tags: TagSelection = _EVERY_TAG,
        *,
        schedule: Schedule | None = None,
        pins: Mapping[str, str] | None = None,
        on_upstream_delete: OnUpstreamDelete = OnUpstreamDelete.KEEP,
        retention: Retention | None = None,
        changes: Changes | None = None,
    ) -> MirrorRule:
        """Read a rule as it is written.

        Args:
            name: what it is called.
            source: ``UPSTREAM/REPOSITORY``, where ``*`` is one component and ``**`` the rest.
            to: the repository here, or several, with the same ``*`` and ``**``.
            tags: which tags.
            schedule, on_upstream_delete, retention, changes: as the attributes.
            pins: digests by ``TAG``, or by ``REPOSITORY:TAG`` with the repository here, as ``*`` needs it.

        Raises:
            ConfigurationFault: something is outside its grammar.
        """
        upstream, slash, repository = source.partition("/")
        if not upstream or not slash:
            raise ConfigurationFault(f"mirror rule {name}: from: {source!r} is not UPSTREAM/REPOSITORY")
        try:
            names = tuple(NameMapping(repository, target) for target in ([to] if isinstance(to, str) else to))
            if not names or len({mapping.target for mapping in names}) < len(names):
                raise ConfigurationFault("to: give one repository or more, each once")
            held = {place: digest for key, text in (pins or {}).items() for place, digest in _pin(names, key, text)}
        except MirrorError as error:
            raise ConfigurationFault(f"mirror rule {name}: {error}") from error
        return cls(name, upstream, names, tags, schedule, held, on_upstream_delete, retention, changes)

    @property
    def origin(self) -> str:
        """``UPSTREAM/REPOSITORY``, as it was written."""
        return f"{self.source}/{self.names[0].source}"

    @property
    def plain_source(self) -> Repository | None:
        """The one repository that is meant, where ``from`` holds no wildcard."""
        return self.names[0].plain_source

    @property
    def targets(self) -> tuple[str, ...]:
        """What ``to`` says."""
        return tuple(mapping.target for mapping in self.names)

    def here(self, there: Repository) -> tuple[Repository, ...]:
        """The names here of a repository there; none where the rule is not about it. Raises NameInvalid: too long."""
        return tuple(name for mapping in self.names if (name := mapping.apply(there)) is not None)

    def changes_of(self, here: Repository, tag: Tag) -> Changes | None:
        """What a tag here is to have that is not there; signatures and the like are never changed."""
        return None if self.changes is None or is_digest_tag(tag) else self.changes.filled_in(here, tag)

    def pinned(self, here: Repository) -> dict[Tag, Digest]:
        """The tags of a repository here that are held, and where."""
        return {tag: digest for (repository, tag), digest in self.pins.items() if repository == here}


def _pin(names: Sequence[NameMapping], key: str, text: str) -> list[tuple[tuple[Repository, Tag], Digest]]:
    """The tags here that a pin holds: those of all names where it gives none."""
    name, colon, tag = key.rpartition(":")
    if not colon and names[0].plain_source is None:
        raise ConfigurationFault(f"pin {key!r}: several repositories have that tag: write REPOSITORY:TAG")
    held = [Repository.parse(name)] if colon else [Repository.parse(mapping.target) for mapping in names]
    for repository in held:
        if not any(mapping.may_give(repository) for mapping in names):
            raise ConfigurationFault(f"pin {key!r}: the rule brings nothing into {repository}")
    return [((repository, Tag.parse(tag)), Digest.parse(text)) for repository in held]
