"""Names of a bundle at the receiver, and the decision about each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from mirror.bundle.format.bundle_index import NamedManifest
from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_mapping import NameMapping
from mirror.records.bundle_imports import owner_of_stream
from mirror.records.origins import OtherTags
from mirror.records.sync_runs import MirroredTag
from mirror.transfer.tags.tag_decision import KnownTag, TagAction, TagDecision, decide_tag

#: Returns the name of the mirror rule that comes first and holds a tag; empty if the bundle may take the tag. Takes the
#: tag as a rule or bundle brought it, and the tag as the bundle would bring it.
RuleHolding: TypeAlias = Callable[[MirroredTag, MirroredTag], str]


@dataclass(frozen=True, slots=True)
class LocalName:
    """Name of a bundle with its name at the receiver.

    Attributes:
        named: name in the bundle.
        repository: repository at the receiver.
    """

    named: NamedManifest
    repository: Repository

    @property
    def digest(self) -> Digest:
        """Digest of the manifest."""
        return self.named.descriptor.digest

    def __str__(self) -> str:
        return str(replace(self.named, repository=self.repository))


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """Records of a repository of the receiver before an import.

    Attributes:
        digests: digests of the tags that the bundle names too.
        brought: tags that rules and bundles have brought.
        others: tags that were pushed or pulled through.
    """

    digests: Mapping[Tag, Digest] = field(default_factory=dict)
    brought: Mapping[Tag, MirroredTag] = field(default_factory=dict)
    others: OtherTags = field(default_factory=OtherTags)


def local_names(
    names: Iterable[NamedManifest], mappings: Sequence[NameMapping], *, is_delta: bool = False
) -> tuple[LocalName, ...]:
    """Return the names at the receiver. The first mapping that covers a name changes it. Other names stay.

    Args:
        names: names of the bundle.
        mappings: the mappings.
        is_delta: True for a bundle that leaves out names. A mapping may then cover none.

    Raises:
        ConfigurationFault: two names of the bundle become one, or a mapping covers no name of a full bundle.
        NameInvalid: a name would be too long.
    """
    found: dict[tuple[Repository, Tag | Digest], LocalName] = {}
    unused = {*mappings}
    for named in names:
        mapping = next((each for each in mappings if each.covers(named.repository)), None)
        unused -= {mapping}
        local = LocalName(named, (mapping and mapping.apply(named.repository)) or named.repository)
        other = found.setdefault((local.repository, named.target), local)
        if other.digest != local.digest:
            raise ConfigurationFault(
                f"{other.named} and {named} of the bundle would both become {local}; fix: change --map"
            )
    if not is_delta and (mapping := next((each for each in mappings if each in unused), None)):
        raise ConfigurationFault(
            f"--map {mapping.source}={mapping.target}: no name of the bundle matches {mapping.source}; "
            "fix: see 'bundle show' for the names"
        )
    return tuple(found.values())


def as_brought(local: LocalName, tag: Tag, stream: str, moment: datetime) -> MirroredTag:
    """Return the row of a tag that a bundle brings."""
    owner = owner_of_stream(stream)
    return MirroredTag(
        local.repository, tag, owner, owner, local.named.repository, local.digest, local.digest, brought_at=moment
    )


def decide_imported_tag(coming: MirroredTag, state: RepositoryState, holding: RuleHolding) -> TagDecision:
    """Decide about a tag of a bundle, as about a tag of a mirror rule that comes after all configured rules.

    Args:
        coming: the tag as the bundle brings it.
        state: records of its repository.
        holding: order of the mirror rules.
    """
    tag, local_digest = coming.tag, state.digests.get(coming.tag)
    brought, pulled = state.brought.get(tag), state.others.pulled.get(tag)
    is_own = brought is not None and _source(brought) == _source(coming)
    known = KnownTag(
        local_digest,
        local_digest,
        brought.upstream_digest if brought is not None and is_own else None,
        pushed=local_digest is not None and tag in state.others.pushed,
        immutable=tag in state.others.immutable,
    )
    if local_digest is not None and not known.pushed and not is_own:
        if brought is not None and brought.digest == local_digest:
            holder = holding(brought, coming)
            known = replace(
                known,
                held_by=holder and brought.origin_text(holder),
                taken_from="" if holder else brought.origin_text(),
            )
        elif pulled is not None and pulled.digest == local_digest:
            known = replace(known, taken_from=f"pulled through from {pulled.upstream}/{pulled.source}")
    decision = decide_tag(coming.digest, known, None)
    if decision.action is TagAction.FAIL:
        fix = "fix: give the name of the bundle another one with --map, or exclude the tag from the rule"
        return replace(decision, reason=f"the tag points to {local_digest}, {known.held_by}, which comes first; {fix}")
    return decision


def _source(row: MirroredTag) -> tuple[str, str, Repository]:
    return row.rule, row.upstream, row.source
