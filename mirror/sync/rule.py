"""Mirror rules: the tags to copy, their source and targets, the schedule and the retention. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.oci.name_mapping import NameMapping
from mirror.sync.upstream_delete import OnUpstreamDelete
from mirror.transfer.graph.content_choice import EVERYTHING, MOST_REFERRERS, ContentChoice
from mirror.transfer.tags.tag_selection import TagSelection
from mirror.wire.referrers_fallback import is_digest_tag

if TYPE_CHECKING:  # a check of the configuration makes rules, and most of them have none of these
    from mirror.plugin.build.derivation_changes import DerivationChanges
    from mirror.records.sync_runs import RuleRecord
    from mirror.sync.retention import Retention
    from mirror.sync.schedule import Schedule

_EVERY_TAG = TagSelection()


@dataclass(frozen=True, slots=True)
class MirrorRule:
    """A mirror rule of the configuration.

    Attributes:
        name: name of the rule.
        source: name of the upstream.
        names: mappings from upstream repositories to local ones, at least one.
        tags: selection of the upstream tags to copy.
        schedule: schedule of automatic runs. None if the rule runs only on request.
        pins: upstream digests to hold tags at, by local repository and tag.
        on_upstream_delete: action for a tag deleted upstream.
        retention: conditions for keeping the tags copied by the rule. None to keep all of them.
        changes: changes applied to each copied plugin. None to copy plugins unchanged.
        choice: choice of the members of indexes, and of foreign layers.
        most_referrers: largest number of referrers, such as signatures, copied for one manifest.
        fingerprint: digest of the settings that decide what a run does. None if unknown.
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
    choice: ContentChoice = EVERYTHING
    most_referrers: int = MOST_REFERRERS
    fingerprint: str | None = None

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
        choice: ContentChoice = EVERYTHING,
        most_referrers: int = MOST_REFERRERS,
    ) -> MirrorRule:
        """Parse a rule in the notation of the configuration.

        Args:
            name: name of the rule.
            source: ``UPSTREAM/REPOSITORY``. ``*`` matches one component, ``**`` matches the rest.
            to: one or several local repositories, with the same ``*`` and ``**``.
            tags: selection of the upstream tags.
            schedule: see the attribute.
            pins: digests by ``TAG``, or by ``REPOSITORY:TAG`` with the local repository. With wildcards in ``source``,
                only the second form is allowed.
            on_upstream_delete: see the attribute.
            retention: see the attribute.
            changes: see the attribute.
            choice: see the attribute.
            most_referrers: see the attribute.

        Raises:
            ConfigurationFault: a value is outside its grammar.
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
        return cls(
            name,
            upstream,
            names,
            tags,
            schedule,
            held,
            on_upstream_delete,
            retention,
            changes,
            choice,
            most_referrers,
        )

    def wants(self, repository: Repository, tag: Tag) -> bool:
        """Return True if the rule may bring a tag to a local repository that it covers.

        The number of newest tags is not considered, because it depends on the tags of the upstream.
        """
        return is_digest_tag(tag) or self.tags.takes(tag) or (repository, tag) in self.pins

    def may_bring(self, repository: Repository, tag: Tag) -> bool:
        """Return True if the rule covers a local repository and may bring a tag to it."""
        return any(mapping.may_give(repository) for mapping in self.names) and self.wants(repository, tag)

    def has_changed_since(self, known: RuleRecord) -> bool:
        """Return True if the settings of the rule differ from those of its last run."""
        return None not in {self.fingerprint, known.fingerprint} and self.fingerprint != known.fingerprint

    @property
    def origin(self) -> str:
        """``UPSTREAM/REPOSITORY`` as written in ``from``."""
        return f"{self.source}/{self.names[0].source}"

    @property
    def plain_source(self) -> Repository | None:
        """The upstream repository if ``from`` contains no wildcard, else None."""
        return self.names[0].plain_source

    @property
    def targets(self) -> tuple[str, ...]:
        """Target repositories as written in ``to``."""
        return tuple(mapping.target for mapping in self.names)

    def local_repositories(self, upstream_repository: Repository) -> tuple[Repository, ...]:
        """Return the local names of an upstream repository.

        The tuple is empty if the rule does not cover the repository.

        Raises:
            NameInvalid: a local name would be too long.
        """
        return tuple(name for mapping in self.names if (name := mapping.apply(upstream_repository)) is not None)

    def changes_of(self, repository: Repository, tag: Tag) -> DerivationChanges | None:
        """Return the changes applied to a local tag. Tags of signatures and the like are never changed."""
        # Signatures follow the original and say nothing about the copy (ADR 12).
        return None if self.changes is None or is_digest_tag(tag) else self.changes.filled_in(repository, tag)

    def pinned(self, repository: Repository) -> dict[Tag, Digest]:
        """Return the pinned tags of a local repository with their digests."""
        return {tag: digest for (held_in, tag), digest in self.pins.items() if held_in == repository}


def _pin(names: Sequence[NameMapping], key: str, text: str) -> list[tuple[tuple[Repository, Tag], Digest]]:
    """Return the local tags held by a pin. A key without a repository holds the tag in every target of the rule."""
    name, colon, tag = key.rpartition(":")
    if not colon and names[0].plain_source is None:
        raise ConfigurationFault(f"pin {key!r}: the rule may copy several repositories; fix: write REPOSITORY:TAG")
    held = [Repository.parse(name)] if colon else [Repository.parse(mapping.target) for mapping in names]
    for repository in held:
        if not any(mapping.may_give(repository) for mapping in names):
            raise ConfigurationFault(
                f"pin {key!r}: the rule copies nothing to {repository}; fix: write TAG, or REPOSITORY:TAG of this rule"
            )
    return [((repository, Tag.parse(tag)), Digest.parse(text)) for repository in held]
