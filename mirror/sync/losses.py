"""Tags that are no longer there, and tags that the rule no longer keeps."""

from __future__ import annotations

from dataclasses import replace

from mirror.oci.errors import MirrorError, NotFound
from mirror.registry.journal import Change, Mirrored, Outcome
from mirror.sync.look import Plan
from mirror.sync.result import TagResult
from mirror.sync.rule import OnUpstreamDelete
from mirror.sync.scene import Scene


async def note_losses(scene: Scene, plan: Plan) -> list[TagResult]:
    """Note what is gone there, and take away here what follows it or is not kept.

    What is gone stays here, unless the rule says otherwise. Nothing follows where nothing at all is left there: then,
    more likely than not, something else is wrong.

    Raises:
        StorageFault: it could not be noted.
    """
    rows = await scene.desk.journal.mirrored(scene.pair.here) if plan.gone or plan.drop else {}
    reason = f"no longer at {scene.pair.origin}"
    follow = scene.pair.rule.on_upstream_delete is OnUpstreamDelete.FOLLOW and not plan.lost
    pinned = scene.pair.rule.pinned(scene.pair.here)
    results = []
    for row in (rows[gone.tag] for gone in plan.gone):
        if row.gone_at is None:
            row = replace(row, gone_at=scene.desk.clock.now())  # noqa: PLW2901 - the row as it is from now on
            results.append(await _note_gone(scene, row, reason))
        if follow and row.dropped_at is None and row.tag not in pinned:
            results.append(await _drop(scene, row, reason))
    return results + [await _drop(scene, rows[drop.tag], "the rule does not keep it") for drop in plan.drop]


async def _note_gone(scene: Scene, row: Mirrored, reason: str) -> TagResult:
    outcome = Outcome.GONE
    result = scene.result(row.tag, outcome, before=row.digest, digest=row.digest, change=Change.GONE, reason=reason)
    scene.begin(row.tag).done(outcome, reason)
    await scene.note(result, row, scene.event(row.tag, Change.GONE, row.digest, None))
    return result


async def _drop(scene: Scene, row: Mirrored, reason: str) -> TagResult:
    """Take a tag away that the rule has brought; what was pushed over it stays."""
    pair, tag = scene.pair, row.tag
    try:
        here = (await pair.destination.resolve(pair.here, tag)).digest
        if here == row.digest:
            await pair.destination.delete_tag(pair.here, tag)
    except NotFound:
        here = row.digest  # somebody else has taken it away
    except MirrorError as error:
        return await scene.fail(tag, error)
    row = replace(row, dropped_at=scene.desk.clock.now())
    if here != row.digest:
        result = scene.result(tag, Outcome.SKIPPED, before=here, digest=here, reason="it was pushed here")
        await scene.note(result, row)
    else:
        result = scene.result(tag, Outcome.DROPPED, before=here, change=Change.DROPPED, reason=reason)
        await scene.note(result, row, scene.event(tag, Change.DROPPED, here, None))
    scene.begin(tag).done(result.outcome, result.reason)
    return result
