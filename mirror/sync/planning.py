"""Planning of the run for one repository: the action for each tag, from upstream and local state. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, MirrorError, NotFound, RepositoryUnknown, TagConflict
from mirror.records.absent_content import AbsentContent
from mirror.records.sync_runs import MirroredTag
from mirror.registry.listing import all_tags
from mirror.registry.port import Reader
from mirror.runtime.concurrency.threads import in_thread
from mirror.sync.repository_run import RepositoryMapping, RunContext
from mirror.sync.retention import RetainedTag, surplus
from mirror.sync.rules.local_tags import LocalTags
from mirror.transfer.blob_locks import map_concurrently
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.graph.returned_content import ReturnedContent
from mirror.transfer.tags.tag_decision import KnownTag, TagAction, TagDecision, decide_tag
from mirror.transfer.tags.tag_selection import companions, newest_first, select
from mirror.wire.referrers_fallback import is_digest_tag

# Nearly all tags of a run are unchanged, and one HEAD each is all that they cost. The limits of the upstream apply.
_ASKED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class TagPlan:
    """Plan for one tag.

    Attributes:
        tag: the tag.
        upstream_digest: digest of the upstream tag. None if the tag is pinned and was deleted upstream.
        known: state of the tag before the run.
        row: journal row written when the rule last copied the tag. None if there is none.
        decision: action for the tag.
        pulled: True if the tag was pulled through, so pull-through must leave it from now on.
        absent: content of a tag in its wanted state that its repository lacks.
    """

    tag: Tag
    upstream_digest: Digest | None
    known: KnownTag
    row: MirroredTag | None
    decision: TagDecision
    pulled: bool = False
    absent: tuple[AbsentContent, ...] = ()

    @property
    def is_as_wanted(self) -> bool:
        """True if the local tag is already as the rule wants it."""
        return self.known.stands_for == self.decision.wanted

    @property
    def is_others(self) -> bool:
        """True if the tag was pushed, or an earlier rule holds it. The rule must not take it for its own."""
        return self.known.pushed or bool(self.known.held_by)

    @property
    def noted_digest(self) -> Digest | None:
        """Local digest before the run: the digest in the journal row, or the current local digest if there is no row.

        The two differ if an earlier run was interrupted between the copy and its record.
        """
        return self.known.local_digest if self.row is None else self.row.digest


@dataclass(frozen=True, slots=True)
class RepositoryPlan:
    """Plan for one repository.

    Attributes:
        listed: all tags of the upstream repository.
        tags: plans for the tags selected by the rule, newest first.
        failed: tags whose state could not be read, with the errors. UpstreamPaused: the tag was not asked for.
        gone: tags copied by the rule and since deleted upstream.
        drop: tags copied by the rule and not covered by its retention.
    """

    listed: frozenset[Tag]
    tags: tuple[TagPlan, ...]
    failed: tuple[tuple[Tag, MirrorError], ...]
    gone: tuple[MirroredTag, ...]
    drop: tuple[MirroredTag, ...]

    @property
    def lost(self) -> bool:
        """True if the upstream repository has no tag left, which more likely points to a fault of the upstream."""
        return not self.listed


async def plan_repository(mapping: RepositoryMapping, context: RunContext) -> RepositoryPlan:
    """Plan the run for one repository.

    Raises:
        RepositoryUnknown: the upstream does not have the repository, and the rule has never copied a tag of it.
        MirrorError: any error raised while the upstream's tags are listed.
    """
    state = await LocalTags.read(mapping, context)
    rows = state.own
    try:
        tags = tuple([tag async for tag in all_tags(mapping.source, mapping.upstream_repository)])
    except RepositoryUnknown:
        if not rows:
            raise
        tags = ()
    # A repository that has vanished counts as one without tags: what the rule has copied is then gone, not failed.
    listed, wanted = await in_thread(_select, tags, mapping)
    plans, failed = await plan_tags(mapping, context, wanted, state, listed)
    absent = {plan.tag for plan in plans if plan.upstream_digest is None} | {tag for tag in rows if tag not in listed}
    # Deleted between the list and the request for the digest, or listed without a manifest.
    absent |= {tag for tag, error in failed if isinstance(error, ManifestUnknown) and tag in rows}
    present = tuple((tag, error) for tag, error in failed if tag not in absent)
    plans, drop = await _apply_retention(mapping, context, plans, state)
    plans = await _review_absent(mapping, context, plans)
    gone = tuple(row for tag, row in rows.items() if tag in absent)
    return RepositoryPlan(listed, tuple(plans), present, gone, drop)


def _select(tags: tuple[Tag, ...], mapping: RepositoryMapping) -> tuple[frozenset[Tag], tuple[Tag, ...]]:
    """Return all upstream tags, and the tags covered by the rule, newest first. Runs in a thread.

    An upstream may list hundreds of thousands of tags, and parsing their versions takes seconds.
    """
    rule = mapping.rule
    return frozenset(tags), newest_first({*select(tags, rule.tags), *rule.pinned(mapping.local_repository)})


async def plan_tags(
    mapping: RepositoryMapping,
    context: RunContext,
    tags: tuple[Tag, ...],
    state: LocalTags,
    listed: frozenset[Tag],
) -> tuple[list[TagPlan], list[tuple[Tag, MirrorError]]]:
    """Plan several tags.

    Returns:
        The plans, and the tags whose state could not be read, with the errors.
    """
    pins = mapping.rule.pinned(mapping.local_repository)

    async def ask(tag: Tag) -> Digest | MirrorError | None:
        try:
            # A pinned tag needs no upstream tag: the pin names the digest to copy.
            if tag in listed or tag not in pins:
                return await _digest(mapping.source, mapping.upstream_repository, tag)
        except MirrorError as error:
            return error
        return None

    def plan(tag: Tag) -> TagPlan | tuple[Tag, MirrorError]:
        pin, row, upstream_digest = pins.get(tag), state.own.get(tag), upstream_digests[tag]
        if isinstance(upstream_digest, MirrorError):
            return tag, upstream_digest
        try:
            known = _known(mapping, tag, state, local_digests.get(tag))
        except MirrorError as error:
            return tag, error
        wanted = upstream_digest or pin
        if wanted is None:
            name = mapping.upstream_repository
            return tag, ManifestUnknown(f"{name} has no manifest {tag}", name=name, reference=tag)
        decision = decide_tag(wanted, known, pin)
        if decision.action is TagAction.FAIL:
            # A rule cannot exclude the tags of signatures, so they are no mistake of the configuration.
            if not is_digest_tag(tag):
                return tag, TagConflict(decision.reason, name=mapping.local_repository, reference=tag)
            decision = replace(decision, action=TagAction.SKIP)
        if upstream_digest is None:
            decision = replace(decision, change=None)
        return TagPlan(tag, upstream_digest, known, row, decision, tag in state.others.pulled)

    upstream_digests = dict(zip(tags, await map_concurrently(_ASKED_AT_ONCE, ask, tags), strict=True))
    # Read after the answers of the upstream, so that a push of the meantime is seen, and all tags in one read.
    local_digests = await context.journal.tag_digests(mapping.local_repository, tags)
    found = await in_thread(lambda: [plan(tag) for tag in tags])  # seconds for very many tags
    return [each for each in found if isinstance(each, TagPlan)], [each for each in found if isinstance(each, tuple)]


def _known(mapping: RepositoryMapping, tag: Tag, state: LocalTags, local_digest: Digest | None) -> KnownTag:
    row = state.own.get(tag)
    known = KnownTag(
        local_digest,
        _stands_for(mapping, tag, local_digest, row),
        None if row is None else row.upstream_digest,
        pushed=local_digest is not None and tag in state.others.pushed,
        immutable=tag in state.others.immutable,
        gone=row is not None and row.gone_at is not None,
    )
    if local_digest is None or known.pushed:
        return known
    brought, pulled = state.rows.get(tag), state.others.pulled.get(tag)
    if brought is not None and brought.digest == local_digest:
        if row is not None and state.order.is_from_source(row):
            return known
        holder = state.order.holder(brought)
        if holder is not None:
            return replace(known, held_by=brought.origin_text(holder.name))
        return replace(known, taken_from=brought.origin_text())
    if pulled is not None and pulled.digest == local_digest and (pulled.upstream, pulled.source) != _origin(mapping):
        return replace(known, taken_from=f"pulled through from {pulled.upstream}/{pulled.source}")
    return known  # from the source of the rule, or copied by a run that was interrupted before it was recorded


def _stands_for(
    mapping: RepositoryMapping, tag: Tag, local_digest: Digest | None, row: MirroredTag | None
) -> Digest | None:
    changes = mapping.rule.changes_of(mapping.local_repository, tag)
    if changes is None:
        return local_digest
    # The journal row tells which original and which changes made the local copy. If the configuration now asks for
    # other changes, the copy is made anew.
    if row is None or row.digest != local_digest or row.changes != changes.to_json():
        return None
    return row.original


async def _digest(reader: Reader, repository: Repository, tag: Tag) -> Digest | None:
    try:
        return (await reader.resolve(repository, tag)).digest
    except NotFound:
        return None


async def _apply_retention(
    mapping: RepositoryMapping, context: RunContext, plans: list[TagPlan], state: LocalTags
) -> tuple[list[TagPlan], tuple[MirroredTag, ...]]:
    """Skip the tags which the retention would not keep, and find the local tags which the retention no longer keeps."""
    retention, repository, now = mapping.rule.retention, mapping.local_repository, context.clock.now()
    if retention is None:
        return plans, ()
    # Retention covers only tags copied by the rule. A tag pushed over since then is not the rule's any more.
    local_digests = await context.journal.tag_digests(repository, state.own)
    held = {tag: row for tag, row in state.own.items() if state.holds(tag, local_digests.get(tag))}
    of_its_own = {tag: row for tag, row in held.items() if not is_digest_tag(tag)}
    # After a jump of the clock, "pulled within 30 days" is unknown of every tag. The time is counted from the jump.
    candidates = {
        tag: RetainedTag(row.digest, context.trusted(row.brought_at), row.copied) for tag, row in of_its_own.items()
    }
    coming = [plan for plan in plans if plan.decision.action is TagAction.COPY]
    candidates |= {plan.tag: _coming(plan, now) for plan in coming}
    pulled = (
        frozenset()
        if retention.pulled_within is None
        else await context.journal.pulled_since(repository, now - retention.pulled_within)
    )
    # In a thread: sorting very many tags by version takes seconds.
    unwanted = await in_thread(surplus, candidates, retention, mapping.rule.pinned(repository), pulled, now)
    plans = [_not_kept(plan) if plan in coming and plan.tag in unwanted else plan for plan in plans]
    # Companions are named after the digest of their subject, so they leave with the last tag of that digest.
    leaving = {candidates[tag].original for tag in unwanted} - {
        one.original for tag, one in candidates.items() if tag not in unwanted
    }
    dropped = {*unwanted, *companions(held, leaving)}
    return plans, tuple(row for tag, row in held.items() if tag in dropped)


async def _review_absent(mapping: RepositoryMapping, context: RunContext, plans: list[TagPlan]) -> list[TagPlan]:
    """Plan another copy of tags whose absent content a copy would bring by now. Note the absent content of all tags."""
    place = CopyDestination(mapping.destination, mapping.local_repository, absent=context.absent)
    source = CopySource(mapping.source, mapping.upstream_repository)
    returned = await ReturnedContent.read(place, source, mapping.rule.choice)

    async def reviewed(plan: TagPlan) -> TagPlan:
        decision = plan.decision
        if decision.action is TagAction.COPY or not plan.is_as_wanted:
            return plan
        try:
            absent = await returned.absent_below(decision.wanted)
        except NotFound:  # deleted here meanwhile
            return plan
        if any([await returned.is_back(each) for each in absent]):
            decision = replace(decision, action=TagAction.COPY)
        return replace(plan, decision=decision, absent=tuple(absent))

    return await map_concurrently(_ASKED_AT_ONCE, reviewed, plans) if returned.absent else plans


def _coming(plan: TagPlan, now: datetime) -> RetainedTag:
    """Describe a tag about to be copied.

    A tag dropped earlier by this rule and not moved upstream since keeps its old time. A new copy makes it no newer.
    """
    row, wanted = plan.row, plan.decision.wanted
    again = row is not None and row.dropped_at is not None and row.upstream_digest == plan.upstream_digest
    if row is None or not again:
        return RetainedTag(wanted, now, wanted)
    return RetainedTag(row.digest if row.copied == wanted else wanted, row.brought_at, wanted)


def _not_kept(plan: TagPlan) -> TagPlan:
    reason = "would not be kept by the rule's retention"
    return replace(plan, decision=replace(plan.decision, action=TagAction.SKIP, change=None, reason=reason))


def _origin(mapping: RepositoryMapping) -> tuple[str, Repository]:
    return mapping.rule.source, mapping.upstream_repository
