"""Doing what was planned for a repository."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from mirror.oci.digest import Digest
from mirror.oci.errors import MirrorError, NotFound
from mirror.oci.names import Tag
from mirror.registry.journal import Change, Entry, Mirrored, Outcome, Step, TagEvent
from mirror.runtime.threads import in_thread
from mirror.sync.decide import Action
from mirror.sync.look import Pair, Plan, TagPlan, look_at
from mirror.sync.losses import note_losses
from mirror.sync.privileges import difference
from mirror.sync.result import TagResult
from mirror.sync.scene import Scene
from mirror.transfer.concurrency import at_once
from mirror.transfer.copy import Destination, Origin, copy_graph
from mirror.transfer.derive import derive_beside
from mirror.transfer.progress import TagProgress
from mirror.transfer.referrers import copy_referrers
from mirror.transfer.select import companions

# As many as the gate lets through, which is that of all repositories of the rule.
_TAGS_AT_ONCE = 8


async def carry_out(scene: Scene, plan: Plan) -> list[TagResult]:
    """Do what was planned. A tag that fails does not stop the others.

    Raises:
        StorageFault: it could not be noted.

    Cancelled, it leaves every finished tag, and of unfinished ones what the next run goes on with.
    """
    listed = plan.listed
    results = [await scene.fail(tag, error) for tag, error in plan.failed]
    results += await _do_all(scene, plan.tags, listed)
    followers = await in_thread(companions, listed, await _subjects(scene, results))
    if followers:
        rows = await scene.desk.journal.mirrored(scene.pair.here)
        plans, failed = await look_at(scene.pair, scene.desk, followers, rows, listed)
        results += [await scene.fail(tag, error) for tag, error in failed]
        results += await _do_all(scene, plans, listed)
    return results + await note_losses(scene, plan)


async def _do_all(scene: Scene, plans: Collection[TagPlan], listed: Collection[Tag]) -> list[TagResult]:
    planned = [
        Step(Entry(scene.pair.here, plan.tag, Outcome.PLANNED, plan.known.here, plan.decision.wanted))
        for plan in plans
        if plan.decision.action is Action.COPY
    ]
    await scene.desk.journal.record(scene.run, planned)

    async def do(plan: TagPlan) -> TagResult:
        async with scene.gate:
            return await _do(scene, plan, listed)

    return await at_once(_TAGS_AT_ONCE, do, plans)


async def _do(scene: Scene, plan: TagPlan, listed: Collection[Tag]) -> TagResult:
    progress = scene.begin(plan.tag)
    try:
        result = await _copy(scene, plan, progress)
    except MirrorError as error:
        result = scene.result(plan.tag, Outcome.FAILED, before=plan.known.here, error=error)
    as_wanted = result.outcome is Outcome.COPIED or plan.is_as_wanted
    row = _row(scene, plan, result) if as_wanted and result.error is None else plan.row
    await scene.note(result, row if row != plan.row else None, _event(scene, plan, result))
    if as_wanted and result.error is None:
        result = await _bring_referrers(scene, result, listed, progress)
    progress.done(result.outcome, str(result.error) if result.error else result.reason)
    return result


async def _copy(scene: Scene, plan: TagPlan, progress: TagProgress) -> TagResult:
    decision, here = plan.decision, plan.known.here
    if decision.action is Action.COPY:
        result = await _bring(scene, plan, progress)
    else:
        outcome = Outcome.SKIPPED if decision.action is Action.SKIP else Outcome.UNCHANGED
        original = plan.row.original if plan.row and plan.is_as_wanted else None
        result = scene.result(plan.tag, outcome, before=here, digest=here, original=original, reason=decision.reason)
    result = replace(result, change=decision.change)
    return replace(result, difference=await _difference(scene, plan, result))


async def _bring(scene: Scene, plan: TagPlan, progress: TagProgress) -> TagResult:
    """Copy what is there, and tag it, or a copy of it with changes; then it is kept beside that by its digest."""
    pair, desk, wanted = scene.pair, scene.desk, plan.decision.wanted
    changes, here = pair.rule.changes_of(pair.here, plan.tag), Destination(pair.destination, pair.here)
    origin, tags = await _origin(pair, wanted), [] if changes else [plan.tag]
    copied = await copy_graph(origin, wanted, here, tags, progress, turns=desk.turns)
    before, moved_bytes = plan.known.here, copied.moved_bytes
    if changes is None:
        return scene.result(plan.tag, Outcome.COPIED, before=before, digest=wanted, moved_bytes=moved_bytes)
    made = await derive_beside(here, wanted, [plan.tag], changes, source=pair.origin, maker=desk.maker(pair.rule))
    return scene.result(
        plan.tag,
        Outcome.COPIED,
        before=before,
        digest=made.digest,
        original=wanted,
        moved_bytes=moved_bytes,
        reason=f"derived from {wanted}: {'; '.join(made.changed) or 'nothing had to be changed'}",
    )


async def _origin(pair: Pair, wanted: Digest) -> Origin:
    """Where a manifest is read: under another name here that the rule has brought it to, else there."""
    for twin in pair.twins:
        with suppress(NotFound):
            await pair.destination.resolve(twin, wanted)
            return Origin(pair.destination, twin)
    return Origin(pair.source, pair.there)


async def _difference(scene: Scene, plan: TagPlan, result: TagResult) -> tuple[str, ...]:
    """What a plugin that has moved asks for that it did not ask for as it is, or was, here."""
    pair, there, row, before = scene.pair, plan.there, plan.row, _before(plan)
    if before is None or there is None:
        return ()
    match plan.decision.change:
        case Change.MOVED:
            after = result.digest or there
            return await difference((pair.destination, pair.here, before), (pair.destination, pair.here, after))
        case Change.HELD:
            held = before if row is None else row.copied
            return await difference((pair.destination, pair.here, held), (pair.source, pair.there, there))
        case _:
            return ()


def _before(plan: TagPlan) -> Digest | None:
    """What a tag was here. The run before may have been interrupted when it was copied and not yet noted."""
    return plan.known.here if plan.row is None else plan.row.digest


def _event(scene: Scene, plan: TagPlan, result: TagResult) -> TagEvent | None:
    if result.change is None:
        return None
    if result.change is Change.HELD:
        before, after = plan.known.upstream, plan.there
    else:
        before, after = _before(plan), result.digest
    return scene.event(plan.tag, result.change, before, after, result.difference)


def _row(scene: Scene, plan: TagPlan, result: TagResult) -> Mirrored:
    """What is known of a tag that is as the rule wants it."""
    pair, row, wanted = scene.pair, plan.row, plan.decision.wanted
    digest, changes = result.digest or wanted, pair.rule.changes_of(pair.here, plan.tag)
    as_it_was = row is not None and row.digest == digest and row.dropped_at is None
    now = scene.desk.clock.now()
    return Mirrored(
        pair.here,
        plan.tag,
        pair.rule.name,
        pair.rule.source,
        pair.there,
        digest=digest,
        upstream_digest=plan.there or (row.upstream_digest if row else wanted),
        brought_at=row.brought_at if row and as_it_was else now,
        gone_at=None if plan.there else (row.gone_at if row else now),
        original=wanted if changes else None,
        changes=None if changes is None else changes.to_json(),
    )


async def _bring_referrers(
    scene: Scene, result: TagResult, listed: Collection[Tag], progress: TagProgress
) -> TagResult:
    """Have what refers to a tag's content follow it."""
    pair, turns = scene.pair, scene.desk.turns
    destination = Destination(pair.destination, pair.here)
    count = moved_bytes = 0
    try:
        for subject in await _subjects(scene, [result]):
            copied = await copy_referrers(
                pair.source, pair.there, subject, destination, progress, listed=listed, turns=turns
            )
            count, moved_bytes = count + copied.count, moved_bytes + copied.moved_bytes
    except MirrorError as error:
        result = replace(result, outcome=Outcome.FAILED, error=error)
    else:
        if not count:
            return result
        told = [*([result.reason] if result.reason else []), f"with {count} that refer to it"]
        result = replace(result, outcome=Outcome.COPIED, reason=", ".join(told))
    result = replace(result, moved_bytes=result.moved_bytes + moved_bytes)
    await scene.note(result)
    return result


async def _subjects(scene: Scene, results: Collection[TagResult]) -> set[Digest]:
    """The digests there of what tags lead to here, members of indexes with them."""
    pair = scene.pair
    found: set[Digest] = set()
    there = [result.original or result.digest for result in results]
    for digest in {digest for digest in there if digest is not None}:
        manifest = await pair.destination.get_manifest(pair.here, digest)
        found |= {digest, *(member.digest for member in manifest.manifests)}
    return found
