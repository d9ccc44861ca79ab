"""Execution of the plan for a repository: copy tags with their referrers, then remove tags that are not kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace

from mirror.oci import Digest, Tag
from mirror.oci.errors import MirrorError, NotFound, Protected, TagPushed, UpstreamPaused
from mirror.plugin.config.own_name import local_name
from mirror.plugin.lint.name_checks import naming_note
from mirror.records.absent_content import warnings_about
from mirror.records.sync_runs import MirroredTag, RunStep, TagChange, TagEvent, TagOutcome, TagRecord
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.error_advice import advised
from mirror.sync.copies.followed_referrers import follow_referrers
from mirror.sync.copies.privilege_changes import privilege_changes, read_config_of
from mirror.sync.planning import RepositoryPlan, TagPlan, plan_tags
from mirror.sync.removals import remove_tags
from mirror.sync.repository_run import RepositoryMapping, RepositoryRun
from mirror.sync.rules.local_tags import LocalTags
from mirror.transfer.blob_locks import map_concurrently
from mirror.transfer.copy_engine import Copied, copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.graph.returned_content import lacks_content
from mirror.transfer.progress_reporting import TagProgress
from mirror.transfer.tags.tag_decision import TagAction
from mirror.transfer.tags.tag_selection import companions

# Copies wait for the gate, which all repositories of the rule share. Unchanged tags only ask for their referrers.
_TAGS_AT_ONCE = 32


async def apply_plan(run: RepositoryRun, plan: RepositoryPlan) -> list[TagRecord]:
    """Carry out a plan. A failed tag does not stop the others.

    Raises:
        StorageFault: a record could not be written.

    Cancellation keeps every finished tag. Of unfinished tags it keeps the content from which the next run continues.
    """
    if not any(each.decision.action is TagAction.COPY for each in plan.tags):
        return await _apply(run, plan)
    async with run.context.hold(run.mapping.local_repository):
        return await _apply(run, plan)


async def _apply(run: RepositoryRun, plan: RepositoryPlan) -> list[TagRecord]:
    listed, mapping, subjects = plan.listed, run.mapping, set[Digest]()
    records = await _note_failed(run, plan.failed)
    records += await _apply_tags(run, plan.tags, listed, subjects)
    # Companions come last: their names follow from the digests that the tags above lead to.
    followers = await in_thread(companions, listed, subjects)
    if followers:
        state = await LocalTags.read(mapping, run.context)
        plans, failed = await plan_tags(mapping, run.context, followers, state, listed)
        records += await _note_failed(run, failed) + await _apply_tags(run, plans, listed, set())
    return records + await remove_tags(run, plan)


async def _note_failed(run: RepositoryRun, failed: Iterable[tuple[Tag, MirrorError]]) -> list[TagRecord]:
    """Report and record tags that could not be planned. Tags that were not tried are only recorded, all at once."""
    left = [run.untried(tag) for tag, error in failed if isinstance(error, UpstreamPaused)]
    await run.context.journal.record(run.run, [RunStep(record) for record in left])
    return [await run.fail(tag, error) for tag, error in failed if not isinstance(error, UpstreamPaused)] + left


async def _apply_tags(
    run: RepositoryRun, plans: Collection[TagPlan], listed: Collection[Tag], subjects: set[Digest]
) -> list[TagRecord]:
    """Carry out the plans for some tags, and add the upstream digests reached from these tags to ``subjects``."""
    planned = [
        RunStep(
            run.tag_record(plan.tag, TagOutcome.PLANNED, before=plan.known.local_digest, after=plan.decision.wanted)
        )
        for plan in plans
        if plan.decision.action is TagAction.COPY
    ]
    # Recorded before anything moves, so that an interrupted run shows what was still to be done (ADR 9).
    await run.context.journal.record(run.run, planned)

    async def apply(plan: TagPlan) -> TagRecord:
        # Unchanged tags move nothing, so they do not wait for the gate.
        if plan.decision.action is not TagAction.COPY:
            return await _apply_tag(run, plan, listed, subjects)
        async with run.gate:
            if run.pausing.pause is not None:
                return _untried(run, plan)
            return await _apply_tag(run, plan, listed, subjects)

    return await map_concurrently(_TAGS_AT_ONCE, apply, plans)


def _untried(run: RepositoryRun, plan: TagPlan) -> TagRecord:
    return run.untried(plan.tag, plan.known.local_digest, plan.decision.wanted)


async def _apply_tag(run: RepositoryRun, plan: TagPlan, listed: Collection[Tag], subjects: set[Digest]) -> TagRecord:
    progress = run.begin(plan.tag)
    try:
        record = await _copy_tag(run, plan, progress)
    except (TagPushed, Protected) as error:  # during the run
        digest = plan.known.local_digest
        record = run.tag_record(plan.tag, TagOutcome.SKIPPED, before=digest, after=digest, reason=str(error))
    except UpstreamPaused:
        record = _untried(run, plan)  # as recorded before the copy began
        progress.done(record.outcome, record.reason)
        return record
    except MirrorError as error:
        record = run.failure(plan.tag, error, before=plan.known.local_digest)
    as_wanted = record.error is None and (record.outcome is TagOutcome.COPIED or plan.is_as_wanted)
    row = _row(run, plan, record) if as_wanted and not plan.is_others else plan.row
    changed = row is not None and as_wanted and (row != plan.row or plan.pulled)
    # Recorded before the referrers: the tag is here already, whatever becomes of them.
    await run.note(record, row if changed else None, _event(run, plan, record), pulled=plan.pulled and changed)
    if record.error is None:
        noted, record = record, await follow_referrers(run, record, listed, subjects, progress, as_wanted=as_wanted)
        if record is not noted:
            await run.note(record)
    progress.done(record.outcome, record.reason)
    return record


async def _copy_tag(run: RepositoryRun, plan: TagPlan, progress: TagProgress) -> TagRecord:
    decision, local_digest = plan.decision, plan.known.local_digest
    if decision.action is TagAction.COPY:
        record = await _copy(run, plan, progress)
        if record.error is not None:
            return record
    else:
        outcome = TagOutcome.SKIPPED if decision.action is TagAction.SKIP else TagOutcome.UNCHANGED
        original = plan.row.original if plan.row and plan.is_as_wanted else None
        record = run.tag_record(
            plan.tag,
            outcome,
            before=local_digest,
            after=local_digest,
            original=original,
            reason=decision.reason,
            warnings=warnings_about(plan.absent),
        )
    record = replace(record, change=decision.change)
    record = replace(record, advice=await _advice(run.mapping, record))
    return replace(record, difference=await _difference(run.mapping, plan, record))


async def _copy(run: RepositoryRun, plan: TagPlan, progress: TagProgress) -> TagRecord:
    """Copy the upstream manifest and tag it. With changes, tag the changed copy made beside the manifest instead."""
    mapping, context, wanted = run.mapping, run.context, plan.decision.wanted
    changes, taken = mapping.rule.changes_of(mapping.local_repository, plan.tag), plan.decision.reason
    # With changes, the original is kept by its digest, without a tag. It shares its layers with the copy and can be
    # changed anew without the upstream (ADR 12).
    place, tags = _place(run), [] if changes else [plan.tag]
    origin, choice = await _origin(run, wanted), mapping.rule.choice
    copied = await copy_graph(origin, wanted, place, tags, progress, locks=context.locks, choice=choice)
    record = run.tag_record(
        plan.tag,
        TagOutcome.COPIED if _brought(plan, copied) else TagOutcome.UNCHANGED,
        before=plan.known.local_digest,
        after=wanted,
        moved_bytes=copied.moved_bytes,
        reason=taken,
        warnings=warnings_about(copied.absent),
    )
    if changes is None:
        return record
    maker = context.maker(mapping.rule)
    try:
        made = await context.derive(place, wanted, [plan.tag], changes, source=mapping.origin, maker=maker)
    except (TagPushed, Protected):
        raise
    except MirrorError as error:  # keep the record of the copy: its bytes have moved all the same
        return replace(record, after=None).failed(error, advised(error))
    told = str(changes) if made is None else "; ".join(made.changed) or "nothing had to be changed"
    digest = None if made is None else made.digest
    reason = f"derived from {wanted}: {told}"
    return replace(record, after=digest, original=wanted, reason=f"{taken}; {reason}" if taken else reason)


def _brought(plan: TagPlan, copied: Copied) -> bool:
    """Return False for a tag that was only copied to find absent content, if everything is still absent."""
    still = {each.digest for each in copied.absent}
    return not plan.absent or any(each.digest not in still for each in plan.absent)


def _place(run: RepositoryRun) -> CopyDestination:
    return CopyDestination(run.mapping.destination, run.mapping.local_repository, absent=run.context.absent)


async def _origin(run: RepositoryRun, wanted: Digest) -> CopySource:
    """Return the place to read a manifest from: a local sibling that holds all its content, else the upstream."""
    mapping = run.mapping
    for sibling in mapping.siblings:
        with suppress(NotFound):
            if not await lacks_content(replace(_place(run), repository=sibling), wanted, mapping.rule.choice):
                return CopySource(mapping.destination, sibling)
    return CopySource(mapping.source, mapping.upstream_repository)


async def _advice(mapping: RepositoryMapping, record: TagRecord) -> str:
    """Return the note about a copied plugin that does not know its new name."""
    if record.outcome is not TagOutcome.COPIED or record.after is None or record.tag is None:
        return ""
    try:
        config = await read_config_of(mapping.destination, mapping.local_repository, record.after)
    except MirrorError:
        return ""  # the content is complete, and checks report a config that cannot be read
    name = local_name(mapping.local_repository.name, record.tag.name)
    return "" if config is None else naming_note(config, name) or ""


async def _difference(mapping: RepositoryMapping, plan: TagPlan, record: TagRecord) -> tuple[str, ...]:
    """Compare the privileges of a moved plugin with the privileges of its local predecessor."""
    upstream_digest, before, repository = plan.upstream_digest, plan.noted_digest, mapping.local_repository
    if before is None or upstream_digest is None:
        return ()
    if plan.decision.change in {TagChange.MOVED, TagChange.TAKEN_OVER}:
        after = record.after or upstream_digest
        later = (mapping.destination, repository, after)
        return await privilege_changes((mapping.destination, repository, before), later)
    if plan.decision.change is TagChange.HELD:
        held = before if plan.row is None else plan.row.copied
        moved = (mapping.source, mapping.upstream_repository, upstream_digest)
        return await privilege_changes((mapping.destination, repository, held), moved)
    return ()


def _event(run: RepositoryRun, plan: TagPlan, record: TagRecord) -> TagEvent | None:
    if record.change is None:
        return None
    if record.change is TagChange.HELD:
        # The tag moved only upstream, so the event shows the upstream digests.
        before, after = plan.known.upstream_digest, plan.upstream_digest
    else:
        before, after = plan.noted_digest, record.after
    return run.event(plan.tag, record.change, before, after, record.difference)


def _row(run: RepositoryRun, plan: TagPlan, record: TagRecord) -> MirroredTag:
    """Make the journal row of a tag in its wanted state."""
    mapping, row, wanted = run.mapping, plan.row, plan.decision.wanted
    digest, changes = record.after or wanted, mapping.rule.changes_of(mapping.local_repository, plan.tag)
    as_it_was = row is not None and row.digest == digest and row.dropped_at is None
    now = run.context.clock.now()
    return MirroredTag(
        mapping.local_repository,
        plan.tag,
        mapping.rule.name,
        mapping.rule.source,
        mapping.upstream_repository,
        digest=digest,
        upstream_digest=plan.upstream_digest or (row.upstream_digest if row else wanted),
        brought_at=row.brought_at if row and as_it_was else now,
        gone_at=None if plan.upstream_digest else (row.gone_at if row else now),
        original=wanted if changes else None,
        changes=None if changes is None else changes.to_json(),
    )
