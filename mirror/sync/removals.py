"""Removal of tags that were deleted upstream or are no longer kept by the rule."""

from __future__ import annotations

from dataclasses import replace

from mirror.oci.errors import MirrorError, NotFound, Protected
from mirror.records.sync_runs import MirroredTag, TagChange, TagOutcome, TagRecord
from mirror.sync.planning import RepositoryPlan
from mirror.sync.repository_run import RepositoryRun
from mirror.sync.upstream_delete import OnUpstreamDelete


async def remove_tags(run: RepositoryRun, plan: RepositoryPlan) -> list[TagRecord]:
    """Record the tags deleted upstream. Remove the tags that follow the upstream and the tags that are not kept.

    A tag deleted upstream stays here unless the rule says ``on_upstream_delete: follow``. If the upstream has no tag
    left, no deletion is followed, because a fault of the upstream is more likely.

    Raises:
        StorageFault: a record could not be written.
    """
    mapping, clock = run.mapping, run.context.clock
    # Read anew: the rows of the plan are from before the copies, which may have rewritten them.
    rows = await run.context.journal.mirrored(mapping.local_repository) if plan.gone or plan.drop else {}
    reason = f"no longer at {mapping.origin}"
    follow = mapping.rule.on_upstream_delete is OnUpstreamDelete.FOLLOW and not plan.lost
    pinned = mapping.rule.pinned(mapping.local_repository)
    records = []
    for row in (rows[gone.tag] for gone in plan.gone):
        # Recorded once, when the loss is first seen; later runs report nothing.
        if row.gone_at is None:
            row = replace(row, gone_at=clock.now())  # noqa: PLW2901 - the row as it is from now on
            records.append(await _note_gone(run, row, reason))
        # A tag that came from another source, before the rule was edited, may still be there.
        is_from_source = (row.upstream, row.source) == (mapping.rule.source, mapping.upstream_repository)
        if follow and is_from_source and row.dropped_at is None and row.tag not in pinned:
            records.append(await _drop(run, row, reason))
    return records + [await _drop(run, rows[drop.tag], "not kept by the rule's retention") for drop in plan.drop]


async def _note_gone(run: RepositoryRun, row: MirroredTag, reason: str) -> TagRecord:
    digest = row.digest
    record = run.tag_record(row.tag, TagOutcome.GONE, before=digest, after=digest, change=TagChange.GONE, reason=reason)
    run.begin(row.tag).done(record.outcome, reason)
    await run.note(record, row, run.event(row.tag, TagChange.GONE, digest, None))
    return record


async def _drop(run: RepositoryRun, row: MirroredTag, reason: str) -> TagRecord:
    """Remove a tag copied by the rule. A tag pushed over it stays."""
    mapping, tag = run.mapping, row.tag
    pushed = (await run.context.journal.other_tags(mapping.local_repository)).pushed
    try:
        local_digest = (await mapping.destination.resolve(mapping.local_repository, tag)).digest
        is_own = local_digest == row.digest and tag not in pushed
        if is_own:
            await mapping.destination.delete_tag(mapping.local_repository, tag)
    except NotFound:
        local_digest, is_own = row.digest, True  # another client has deleted the tag already
    except Protected as error:
        return await _leave(run, row, str(error))
    except MirrorError as error:
        return await run.fail(tag, error)
    row = replace(row, dropped_at=run.context.clock.now())
    if not is_own:
        record = run.tag_record(
            tag, TagOutcome.SKIPPED, before=local_digest, after=local_digest, reason="the tag was pushed here"
        )
        await run.note(record, row)
    else:
        record = run.tag_record(tag, TagOutcome.DROPPED, before=local_digest, change=TagChange.DROPPED, reason=reason)
        await run.note(record, row, run.event(tag, TagChange.DROPPED, local_digest, None))
    run.begin(tag).done(record.outcome, record.reason)
    return record


async def _leave(run: RepositoryRun, row: MirroredTag, reason: str) -> TagRecord:
    """Report a tag that is immutable or pinned. The next run tries again."""
    record = run.tag_record(row.tag, TagOutcome.SKIPPED, before=row.digest, after=row.digest, reason=reason)
    run.begin(row.tag).done(record.outcome, reason)
    await run.note(record)
    return record
