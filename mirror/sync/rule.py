"""A mirror rule: which tags are copied from an upstream to which repositories, when, and what is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.oci.name_mapping import NameMapping
from mirror.plugin.build.derivation import DerivationChanges
from mirror.sync.retention import Retention
from mirror.sync.schedule import Schedule
from mirror.transfer.tag_selection import TagSelection
from mirror.wire.referrers_fallback import is_digest_tag

_EVERY_TAG = TagSelection()


class OnUpstreamDelete(StrEnum):
    """The fate of a local tag that is no longer upstream."""

    KEEP = "keep"
    FOLLOW = "follow"


@dataclass(frozen=True, slots=True)
class MirrorRule:
    """One rule.

    Attributes:
        name: the rule's name.
        source: the name of the upstream.
        names: the upstream repositories, and their local names: one or more each.
        tags: the selection of their tags.
        schedule: when the rule runs by itself; None: only when it is told to.
        pins: digests at which tags are held, by local repository and tag.
        on_upstream_delete: the fate of a tag that is no longer upstream.
        retention: which of the tags that the rule has brought are kept; None: all of them.
        changes: the changes that tags are copied with; None: they are as upstream.
    """

    name: str
    source: str
    names: tuple[NameMapping, ...]
    tags: TagSelection = _EVERY_TAG
    schedule: Schedule | None = None
    pins: Mapping[tuple[Repository, Tag], Digest] = field(default_factory=dict)
    on_upstream_delete: OnUpstreamDelete = OnUpstreamDelete.KEEP
    retention: Retention | None = None
    changes: DerivationChanges | None = None

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
        changes: DerivationChanges | None = None,
    ) -> MirrorRule:
        """Read a rule as it is written.

        Args:
            name: the rule's name.
            source: ``UPSTREAM/REPOSITORY``, where ``*`` is one component and ``**`` the rest.
            to: the local repository, or several, with the same ``*`` and ``**``.
            tags: which tags.
            schedule, on_upstream_delete, retention, changes: as the attributes.
            pins: digests by ``TAG``, or by ``REPOSITORY:TAG`` with the local repository, as ``*`` needs it.

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
        """The targets, as ``to`` names them."""
        return tuple(mapping.target for mapping in self.names)

    def local_repositories(self, upstream_repository: Repository) -> tuple[Repository, ...]:
        """The local names of an upstream repository; none where the rule is not about it.

        Raises:
            NameInvalid: a name would be too long.
        """
        return tuple(name for mapping in self.names if (name := mapping.apply(upstream_repository)) is not None)

    def changes_of(self, repository: Repository, tag: Tag) -> DerivationChanges | None:
        """The changes that a local tag is copied with; signatures and the like are never changed."""
        return None if self.changes is None or is_digest_tag(tag) else self.changes.filled_in(repository, tag)

    def pinned(self, repository: Repository) -> dict[Tag, Digest]:
        """The tags of a local repository that are held, and where."""
        return {tag: digest for (held_in, tag), digest in self.pins.items() if held_in == repository}


def _pin(names: Sequence[NameMapping], key: str, text: str) -> list[tuple[tuple[Repository, Tag], Digest]]:
    """The local tags that a pin holds: those of all names where it gives none."""
    name, colon, tag = key.rpartition(":")
    if not colon and names[0].plain_source is None:
        raise ConfigurationFault(f"pin {key!r}: several repositories have that tag: write REPOSITORY:TAG")
    held = [Repository.parse(name)] if colon else [Repository.parse(mapping.target) for mapping in names]
    for repository in held:
        if not any(mapping.may_give(repository) for mapping in names):
            raise ConfigurationFault(f"pin {key!r}: the rule brings nothing into {repository}")
    return [((repository, Tag.parse(tag)), Digest.parse(text)) for repository in held]
