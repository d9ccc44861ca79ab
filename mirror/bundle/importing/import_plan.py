"""Plan of an import: everything that is decided, and everything that is missing, before anything is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mirror.bundle.importing.import_names import (
    LocalName,
    RepositoryState,
    RuleHolding,
    as_brought,
    decide_imported_tag,
    local_names,
)
from mirror.bundle.importing.import_source import ImportSource
from mirror.bundle.importing.needed_content import NeededContent, find_needed
from mirror.bundle.importing.received_notes import ReceivedNotes
from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import NotFound
from mirror.oci.media_types import INDEXES
from mirror.oci.name_mapping import NameMapping
from mirror.records.absent_content import AbsentContents
from mirror.records.run_journal import RunRecorder
from mirror.records.sync_runs import MirroredTag
from mirror.registry.port import Reader
from mirror.transfer.tags.tag_decision import TagAction, TagDecision


@dataclass(frozen=True, slots=True)
class Receiver:
    """Records of the receiver that a plan is made from. Nothing is written to them.

    Attributes:
        registry: registry of the receiver.
        journal: owners of tags.
        absent: content that repositories lack.
        holding: order of the mirror rules.
    """

    registry: Reader
    journal: RunRecorder
    absent: AbsentContents
    holding: RuleHolding


@dataclass(frozen=True, slots=True)
class PlannedName:
    """Plan for one name of a bundle.

    Attributes:
        local: the name.
        before: digest of the tag at the receiver; None if there is none, or for content without a tag.
        decision: decision about the tag; None for content without a tag.
        coming: row of the tag as the bundle brings it; None for content without a tag.
        brought: recorded row of the tag; None if there is none.
        copies: True if content may have to be copied.
    """

    local: LocalName
    before: Digest | None
    decision: TagDecision | None
    coming: MirroredTag | None
    brought: MirroredTag | None
    copies: bool

    @property
    def moves(self) -> bool:
        """True if the tag, or the record of its owner, changes."""
        if self.coming is None or self.decision is None:
            return False
        if self.decision.action is TagAction.LEAVE:
            return self.decision.change is not None
        return self.decision.action is TagAction.COPY


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Plan of an import.

    Attributes:
        names: plans of all names, tags before content without a tag.
        needed: content to copy.
        notes: notes of the sender.
        privileges: changes of privileges by the name of a moved tag, see
            :func:`mirror.bundle.importing.import_review.review_content`.
    """

    names: tuple[PlannedName, ...]
    needed: NeededContent
    notes: ReceivedNotes
    privileges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def changes_nothing(self) -> bool:
        """True if all names are as in the bundle, or cannot be."""
        return not any(name.copies or name.moves for name in self.names)


async def plan_import(
    source: ImportSource, mappings: Sequence[NameMapping], receiver: Receiver, now: datetime
) -> ImportPlan:
    """Plan an import.

    Args:
        source: the bundle.
        mappings: mappings of names in the bundle to names at the receiver.
        receiver: records of the receiver.
        now: present time.

    Raises:
        BundleInvalid: the notes or a manifest of the bundle are invalid.
        BundleIncomplete: a part with manifests is missing, or content that the bundle assumes to be here.
        ConfigurationFault, NameInvalid: the mappings do not fit.
        StorageFault: the receiver cannot be read.
    """
    head = source.bundle.head
    notes = ReceivedNotes.parse(head.statement.notes)
    by_repository: dict[Repository, list[LocalName]] = defaultdict(list)
    for local in local_names(head.names, mappings, is_delta=head.statement.since is not None):
        by_repository[local.repository].append(local)
    planned: list[PlannedName] = []
    for repository, names in sorted(by_repository.items(), key=lambda item: item[0].name):
        state = await _state(receiver, repository, [local.named.tag for local in names if local.named.tag])
        planned += [await _plan(local, state, source, receiver, now) for local in sorted(names, key=str)]
    planned.sort(key=lambda each: each.coming is None)
    # Of a tag that stays, nothing is needed.
    wanted = [each.local.named for each in planned if each.copies]
    needed = await find_needed(source, wanted, notes.absent)
    needed.require_complete(source.bundle.source.name, is_delta=head.statement.since is not None)
    return ImportPlan(tuple(planned), needed, notes)


async def _state(receiver: Receiver, repository: Repository, tags: Sequence[Tag]) -> RepositoryState:
    journal = receiver.journal
    return RepositoryState(
        await journal.tag_digests(repository, tags),
        await journal.mirrored(repository),
        await journal.other_tags(repository),
    )


async def _plan(
    local: LocalName, state: RepositoryState, source: ImportSource, receiver: Receiver, now: datetime
) -> PlannedName:
    tag = local.named.tag
    if tag is None:
        copies = not await _is_held(receiver, local, local.digest) or await _lacks_content(local, source, receiver)
        return PlannedName(local, None, None, None, None, copies)
    coming = as_brought(local, tag, source.bundle.head.statement.stream, now)
    decision = decide_imported_tag(coming, state, receiver.holding)
    is_right = decision.action is TagAction.LEAVE
    copies = decision.action is TagAction.COPY or (is_right and await _lacks_content(local, source, receiver))
    return PlannedName(local, state.digests.get(tag), decision, coming, state.brought.get(tag), copies)


async def _lacks_content(local: LocalName, source: ImportSource, receiver: Receiver) -> bool:
    """Return True if the receiver holds a manifest without some of the members or layers that the bundle has."""
    waiting, seen = [local.named.descriptor], set[Digest]()
    while waiting:
        current = waiting.pop()
        if current.digest in seen:
            continue
        seen.add(current.digest)
        if not await _is_held(receiver, local, current.digest):
            if source.holds(current.digest):
                return True
            continue
        absent = await receiver.absent.absent_content(local.repository, manifest=current.digest)
        if any(source.holds(each.digest) for each in absent):
            return True
        if current.media_type in INDEXES:
            waiting += (await receiver.registry.get_manifest(local.repository, current.digest)).manifests
    return False


async def _is_held(receiver: Receiver, local: LocalName, digest: Digest) -> bool:
    try:
        await receiver.registry.resolve(local.repository, digest)
    except NotFound:
        return False
    return True
