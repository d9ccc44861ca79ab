"""Doing what was planned for a repository."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mirror.oci.digest import Digest
from mirror.oci.errors import MirrorError
from mirror.oci.names import Tag
from mirror.registry.journal import Change, Entry, Mirrored, Outcome, Step, TagEvent
from mirror.sync.decide import Action
from mirror.sync.look import Plan, TagPlan, look_at
from mirror.sync.losses import note_losses
from mirror.sync.privileges import difference
from mirror.sync.result import TagResult
from mirror.sync.scene import Scene
from mirror.transfer.concurrency import at_once
from mirror.transfer.copy import Destination, Origin, copy_graph
from mirror.transfer.progress import TagProgress
from mirror.transfer.referrers import copy_referrers
from mirror.transfer.select import companions


async def carry_out(scene: Scene, plan: Plan) -> list[TagResult]:
    """Do what was planned. A tag that fails does not stop the others.

    Raises:
        StorageFault: it could not be noted.

    Cancelled, it leaves every finished tag, and of unfinished ones what the next run goes on with.
    """
    listed = frozenset(plan.listed)
    results = [await scene.fail(tag, error) for tag, error in plan.failed]
    results += await _do_all(scene, plan.tags, listed)
    followers = companions(plan.listed, await _subjects(scene, results))
    if followers:
        journal, pair = scene.desk.journal, scene.pair
        rows = await journal.mirrored(pair.here)
        plans, failed = await look_at(pair, journal, followers, rows, listed)
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

    return await at_once(len(plans) or 1, do, plans)


async def _do(scene: Scene, plan: TagPlan, listed: Collection[Tag]) -> TagResult:
    progress = scene.begin(plan.tag)
    try:
        result = await _copy(scene, plan, progress)
    except MirrorError as error:
        result = scene.result(plan.tag, Outcome.FAILED, before=plan.known.here, error=error)
    row = _row(scene, plan) if result.digest == plan.decision.wanted else plan.row
    await scene.note(result, row if row != plan.row else None, _event(scene, plan, result))
    if result.digest == plan.decision.wanted:
        result = await _bring_referrers(scene, result, listed, progress)
    progress.done(result.outcome, str(result.error) if result.error else result.reason)
    return result


async def _copy(scene: Scene, plan: TagPlan, progress: TagProgress) -> TagResult:
    pair, decision, here = scene.pair, plan.decision, plan.known.here
    if decision.action is Action.COPY:
        origin, destination = Origin(pair.source, pair.there), Destination(pair.destination, pair.here)
        copied = await copy_graph(origin, decision.wanted, destination, [plan.tag], progress, turns=scene.desk.turns)
        moved_bytes = copied.moved_bytes
        result = scene.result(plan.tag, Outcome.COPIED, before=here, digest=decision.wanted, moved_bytes=moved_bytes)
    else:
        outcome = Outcome.SKIPPED if decision.action is Action.SKIP else Outcome.UNCHANGED
        result = scene.result(plan.tag, outcome, before=here, digest=here, reason=decision.reason)
    return replace(result, change=decision.change, difference=await _difference(scene, plan))


async def _difference(scene: Scene, plan: TagPlan) -> tuple[str, ...]:
    """What a plugin that has moved asks for that it did not ask for as it is, or was, here."""
    pair, there, before = scene.pair, plan.there, _before(plan)
    if before is None or there is None:
        return ()
    match plan.decision.change:
        case Change.MOVED:
            return await difference((pair.destination, pair.here, before), (pair.destination, pair.here, there))
        case Change.HELD:
            return await difference((pair.destination, pair.here, before), (pair.source, pair.there, there))
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


def _row(scene: Scene, plan: TagPlan) -> Mirrored:
    """What is known of a tag that is as the rule wants it."""
    pair, row, wanted = scene.pair, plan.row, plan.decision.wanted
    as_it_was = row is not None and row.digest == wanted and row.dropped_at is None
    now = scene.desk.clock.now()
    return Mirrored(
        pair.here,
        plan.tag,
        pair.rule.name,
        pair.rule.source,
        pair.there,
        digest=wanted,
        upstream_digest=plan.there or (row.upstream_digest if row else wanted),
        brought_at=row.brought_at if row and as_it_was else now,
        gone_at=None if plan.there else (row.gone_at if row else now),
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
        result = replace(result, outcome=Outcome.COPIED, reason=f"with {count} that refer to it")
    result = replace(result, moved_bytes=result.moved_bytes + moved_bytes)
    await scene.note(result)
    return result


async def _subjects(scene: Scene, results: Collection[TagResult]) -> set[Digest]:
    """The digests that tags lead to here, members of indexes with them."""
    pair = scene.pair
    found: set[Digest] = set()
    for digest in {result.digest for result in results if result.digest is not None}:
        manifest = await pair.destination.get_manifest(pair.here, digest)
        found |= {digest, *(member.digest for member in manifest.manifests)}
    return found
