"""Planning of the run for one repository: the action for each tag, from upstream and local state. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, MirrorError, NotFound, RepositoryUnknown
from mirror.records.sync_runs import MirroredTag
from mirror.registry.listing import all_tags
from mirror.registry.port import Reader
from mirror.runtime.concurrency.threads import in_thread
from mirror.sync.repository_run import RepositoryMapping, RunContext
from mirror.sync.retention import RetainedTag, surplus
from mirror.sync.tag_decision import KnownTag, TagAction, TagDecision, decide_tag
from mirror.transfer.blob_locks import map_concurrently
from mirror.transfer.tag_selection import companions, newest_first, select
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
    """

    tag: Tag
    upstream_digest: Digest | None
    known: KnownTag
    row: MirroredTag | None
    decision: TagDecision

    @property
    def is_as_wanted(self) -> bool:
        """True if the local tag is already as the rule wants it."""
        return self.known.stands_for == self.decision.wanted

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
    known = await context.journal.mirrored(mapping.local_repository)
    rows = {tag: row for tag, row in known.items() if (row.upstream, row.source) == _origin(mapping)}
    try:
        tags = tuple([tag async for tag in all_tags(mapping.source, mapping.upstream_repository)])
    except RepositoryUnknown:
        if not rows:
            raise
        tags = ()
    # A repository that has vanished counts as one without tags: what the rule has copied is then gone, not failed.
    listed, wanted = await in_thread(_select, tags, mapping)
    plans, failed = await plan_tags(mapping, context, wanted, rows, listed)
    absent = {plan.tag for plan in plans if plan.upstream_digest is None} | {tag for tag in rows if tag not in listed}
    # Deleted between the list and the request for the digest, or listed without a manifest.
    absent |= {tag for tag, error in failed if isinstance(error, ManifestUnknown) and tag in rows}
    present = tuple((tag, error) for tag, error in failed if tag not in absent)
    plans, drop = await _apply_retention(mapping, context, plans, rows)
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
    rows: Mapping[Tag, MirroredTag],
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

    async def plan(tag: Tag) -> TagPlan | tuple[Tag, MirrorError]:
        pin, row, upstream_digest = pins.get(tag), rows.get(tag), upstream_digests[tag]
        if isinstance(upstream_digest, MirrorError):
            return tag, upstream_digest
        try:
            known = await _known(mapping, context, tag, row, local_digests.get(tag))
        except MirrorError as error:
            return tag, error
        if upstream_digest is not None:
            return TagPlan(tag, upstream_digest, known, row, decide_tag(upstream_digest, known, pin))
        if pin is None:
            name = mapping.upstream_repository
            return tag, ManifestUnknown(f"{name} has no manifest {tag}", name=name, reference=tag)
        return TagPlan(tag, None, known, row, replace(decide_tag(pin, known, pin), change=None))

    upstream_digests = dict(zip(tags, await map_concurrently(_ASKED_AT_ONCE, ask, tags), strict=True))
    # Read after the answers of the upstream, so that a push of the meantime is seen, and all tags in one read.
    local_digests = await context.journal.tag_digests(mapping.local_repository, tags)
    found = await map_concurrently(_ASKED_AT_ONCE, plan, tags)
    return [each for each in found if isinstance(each, TagPlan)], [each for each in found if isinstance(each, tuple)]


async def _known(
    mapping: RepositoryMapping, context: RunContext, tag: Tag, row: MirroredTag | None, local_digest: Digest | None
) -> KnownTag:
    repository = mapping.local_repository
    from_rule = row is not None and row.digest == local_digest
    if local_digest is not None and not from_rule:
        # A tag pulled through from the same place may be moved by the rule as well (ADR 9).
        origin = await context.journal.origin(repository, tag)
        if origin is not None and origin.digest == local_digest:
            from_rule = (origin.upstream, origin.source) == _origin(mapping)
    if local_digest is not None and not from_rule and mapping.rule.changes is not None:
        # A run interrupted between the tag and its journal row leaves only the record of the derivation.
        made = await context.derivations.derivation(local_digest)
        from_rule = made is not None and made.made_by == context.maker(mapping.rule).name
    upstream_digest = None if row is None else row.upstream_digest
    gone = row is not None and row.gone_at is not None
    return KnownTag(local_digest, _stands_for(mapping, tag, local_digest, row), upstream_digest, from_rule, gone)


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
    mapping: RepositoryMapping, context: RunContext, plans: list[TagPlan], rows: Mapping[Tag, MirroredTag]
) -> tuple[list[TagPlan], tuple[MirroredTag, ...]]:
    """Skip the tags which the retention would not keep, and find the local tags which the retention no longer keeps."""
    retention, repository, now = mapping.rule.retention, mapping.local_repository, context.clock.now()
    if retention is None:
        return plans, ()
    # Retention covers only tags copied by the rule. A tag pushed over since then is not the rule's any more.
    local_digests = await context.journal.tag_digests(repository, rows)
    held = {tag: row for tag, row in rows.items() if local_digests.get(tag) == row.digest}
    of_its_own = {tag: row for tag, row in held.items() if not is_digest_tag(tag)}
    candidates = {tag: RetainedTag(row.digest, row.brought_at, row.copied) for tag, row in of_its_own.items()}
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
