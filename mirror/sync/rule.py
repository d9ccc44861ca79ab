"""A mirror rule: what is copied from where to where, when, and what becomes of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mirror.oci.digest import Digest
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.oci.names import Repository, Tag
from mirror.sync.retention import Retention
from mirror.sync.schedule import Schedule
from mirror.transfer.mapping import NameMapping
from mirror.transfer.select import TagSelection

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
        names: which of its repositories, and what they are called here.
        tags: which of their tags.
        schedule: when it runs by itself; None: only when it is told to.
        pins: digests at which tags are held, by repository here and tag.
        on_upstream_delete: what becomes of a tag that is no longer there.
        retention: what is kept of what the rule has brought; None: all of it.
    """

    name: str
    source: str
    names: NameMapping
    tags: TagSelection = _EVERY_TAG
    schedule: Schedule | None = None
    pins: Mapping[tuple[Repository, Tag], Digest] = field(default_factory=dict)
    on_upstream_delete: OnUpstreamDelete = OnUpstreamDelete.KEEP
    retention: Retention | None = None

    @classmethod
    def parse(
        cls,
        name: str,
        source: str,
        to: str,
        tags: TagSelection = _EVERY_TAG,
        *,
        schedule: Schedule | None = None,
        pins: Mapping[str, str] | None = None,
        on_upstream_delete: OnUpstreamDelete = OnUpstreamDelete.KEEP,
        retention: Retention | None = None,
    ) -> MirrorRule:
        """Read a rule as it is written.

        Args:
            name: what it is called.
            source: ``UPSTREAM/REPOSITORY``, where ``*`` is one component and ``**`` the rest.
            to: the repository here, with the same ``*`` and ``**``.
            tags: which tags.
            schedule, on_upstream_delete, retention: as the attributes.
            pins: digests by ``TAG``, or by ``REPOSITORY:TAG`` with the repository here, as ``*`` needs it.

        Raises:
            ConfigurationFault: something is outside its grammar.
        """
        upstream, slash, repository = source.partition("/")
        if not upstream or not slash:
            raise ConfigurationFault(f"mirror rule {name}: from: {source!r} is not UPSTREAM/REPOSITORY")
        try:
            names = NameMapping(repository, to)
            held = dict(_pin(names, key, digest) for key, digest in (pins or {}).items())
        except MirrorError as error:
            raise ConfigurationFault(f"mirror rule {name}: {error}") from error
        return cls(name, upstream, names, tags, schedule, held, on_upstream_delete, retention)

    @property
    def origin(self) -> str:
        """``UPSTREAM/REPOSITORY``, as it was written."""
        return f"{self.source}/{self.names.source}"

    def pinned(self, here: Repository) -> dict[Tag, Digest]:
        """The tags of a repository here that are held, and where."""
        return {tag: digest for (repository, tag), digest in self.pins.items() if repository == here}


def _pin(names: NameMapping, key: str, digest: str) -> tuple[tuple[Repository, Tag], Digest]:
    name, colon, tag = key.rpartition(":")
    plain = names.plain_source
    if not colon:
        if plain is None:
            raise ConfigurationFault(f"pin {key!r}: several repositories have that tag: write REPOSITORY:TAG")
        name = names.target
    repository = Repository.parse(name)
    if not names.may_give(repository):
        raise ConfigurationFault(f"pin {key!r}: the rule brings nothing into {repository}")
    return (repository, Tag.parse(tag)), Digest.parse(digest)
