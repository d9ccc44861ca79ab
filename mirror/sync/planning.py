"""Planning of a repository's run: what each tag needs, by its state upstream and here. Nothing is changed."""

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

_ASKED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class TagPlan:
    """The plan for a tag.

    Attributes:
        tag: the tag.
        upstream_digest: what the tag points to upstream; None where it is pinned, and upstream no longer.
        known: the state of the tag before the run.
        row: what the rule noted when it last brought the tag.
        decision: what is to be done.
    """

    tag: Tag
    upstream_digest: Digest | None
    known: KnownTag
    row: MirroredTag | None
    decision: TagDecision

    @property
    def is_as_wanted(self) -> bool:
        """True where the local tag is already as the rule wants it."""
        return self.known.stands_for == self.decision.wanted

    @property
    def noted_digest(self) -> Digest | None:
        """The local digest before. A run may have been interrupted between the copy and its note."""
        return self.known.local_digest if self.row is None else self.row.digest


@dataclass(frozen=True, slots=True)
class RepositoryPlan:
    """The plan for a repository.

    Attributes:
        listed: every tag of the upstream repository.
        tags: the plans for the tags that the rule selects, newest first.
        failed: tags that could not be looked at, and why.
        gone: tags that the rule has brought, and that are upstream no longer.
        drop: tags that the rule has brought, and need not be kept.
    """

    listed: frozenset[Tag]
    tags: tuple[TagPlan, ...]
    failed: tuple[tuple[Tag, MirrorError], ...]
    gone: tuple[MirroredTag, ...]
    drop: tuple[MirroredTag, ...]

    @property
    def lost(self) -> bool:
        """True where no tag at all is left: then, more likely than not, something else is wrong."""
        return not self.listed


async def plan_repository(mapping: RepositoryMapping, context: RunContext) -> RepositoryPlan:
    """Work out what is to be done about a repository.

    Raises:
        RepositoryUnknown: the upstream does not have the repository, and never had.
        And whatever else listing raises.
    """
    known = await context.journal.mirrored(mapping.local_repository)
    rows = {tag: row for tag, row in known.items() if (row.upstream, row.source) == _origin(mapping)}
    try:
        tags = tuple([tag async for tag in all_tags(mapping.source, mapping.upstream_repository)])
    except RepositoryUnknown:
        if not rows:
            raise
        tags = ()
    listed, wanted = await in_thread(_select, tags, mapping)
    plans, failed = await plan_tags(mapping, context, wanted, rows, listed)
    absent = {plan.tag for plan in plans if plan.upstream_digest is None} | {tag for tag in rows if tag not in listed}
    absent |= {tag for tag, error in failed if isinstance(error, ManifestUnknown) and tag in rows}
    present = tuple((tag, error) for tag, error in failed if tag not in absent)
    plans, drop = await _apply_retention(mapping, context, plans, rows)
    gone = tuple(row for tag, row in rows.items() if tag in absent)
    return RepositoryPlan(listed, tuple(plans), present, gone, drop)


def _select(tags: tuple[Tag, ...], mapping: RepositoryMapping) -> tuple[frozenset[Tag], tuple[Tag, ...]]:
    """Return the upstream's tags, and those of them that the rule is about, newest first; runs in a thread.

    An upstream may list hundreds of thousands, and to tell their versions takes seconds.
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
    """Plan some tags, several at a time.

    Returns:
        The plan for each, and those that could not be looked at.
    """
    pins = mapping.rule.pinned(mapping.local_repository)

    async def plan(tag: Tag) -> TagPlan | tuple[Tag, MirrorError]:
        pin, row = pins.get(tag), rows.get(tag)
        upstream_digest = None
        try:
            if tag in listed or pin is None:
                upstream_digest = await _digest(mapping.source, mapping.upstream_repository, tag)
            known = await _known(mapping, context, tag, row)
        except MirrorError as error:
            return tag, error
        if upstream_digest is not None:
            return TagPlan(tag, upstream_digest, known, row, decide_tag(upstream_digest, known, pin))
        if pin is None:
            name = mapping.upstream_repository
            return tag, ManifestUnknown(f"{name} has no manifest {tag}", name=name, reference=tag)
        return TagPlan(tag, None, known, row, replace(decide_tag(pin, known, pin), change=None))

    found = await map_concurrently(_ASKED_AT_ONCE, plan, tags)
    return [each for each in found if isinstance(each, TagPlan)], [each for each in found if isinstance(each, tuple)]


async def _known(mapping: RepositoryMapping, context: RunContext, tag: Tag, row: MirroredTag | None) -> KnownTag:
    repository = mapping.local_repository
    local_digest = await _digest(mapping.destination, repository, tag)
    from_rule = row is not None and row.digest == local_digest
    if local_digest is not None and not from_rule:
        origin = await context.journal.origin(repository, tag)
        if origin is not None and origin.digest == local_digest:
            from_rule = (origin.upstream, origin.source) == _origin(mapping)
    if local_digest is not None and not from_rule and mapping.rule.changes is not None:
        made = await context.derivations.derivation(local_digest)  # an interrupted run may have noted no more than that
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
    """Skip the tags that would not be kept, and find those here that are no longer kept."""
    retention, repository, now = mapping.rule.retention, mapping.local_repository, context.clock.now()
    if retention is None:
        return plans, ()
    held = {tag: row for tag, row in rows.items() if await _digest(mapping.destination, repository, tag) == row.digest}
    of_its_own = {tag: row for tag, row in held.items() if not is_digest_tag(tag)}
    candidates = {tag: RetainedTag(row.digest, row.brought_at, row.copied) for tag, row in of_its_own.items()}
    coming = [plan for plan in plans if plan.decision.action is TagAction.COPY]
    candidates |= {plan.tag: _coming(plan, now) for plan in coming}
    pulled = (
        frozenset()
        if retention.pulled_within is None
        else await context.journal.pulled_since(repository, now - retention.pulled_within)
    )
    unwanted = await in_thread(surplus, candidates, retention, mapping.rule.pinned(repository), pulled, now)
    plans = [_not_kept(plan) if plan in coming and plan.tag in unwanted else plan for plan in plans]
    leaving = {candidates[tag].original for tag in unwanted} - {
        one.original for tag, one in candidates.items() if tag not in unwanted
    }
    dropped = {*unwanted, *companions(held, leaving)}
    return plans, tuple(row for tag, row in held.items() if tag in dropped)


def _coming(plan: TagPlan, now: datetime) -> RetainedTag:
    """A tag that the rule itself has dropped, and has not moved upstream, is no newer for being copied again."""
    row, wanted = plan.row, plan.decision.wanted
    again = row is not None and row.dropped_at is not None and row.upstream_digest == plan.upstream_digest
    if row is None or not again:
        return RetainedTag(wanted, now, wanted)
    return RetainedTag(row.digest if row.copied == wanted else wanted, row.brought_at, wanted)


def _not_kept(plan: TagPlan) -> TagPlan:
    reason = "the rule would not keep it"
    return replace(plan, decision=replace(plan.decision, action=TagAction.SKIP, change=None, reason=reason))


def _origin(mapping: RepositoryMapping) -> tuple[str, Repository]:
    return mapping.rule.source, mapping.upstream_repository
