"""What a run of a rule would do, with sizes. Nothing is changed or noted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.errors import MirrorError
from mirror.oci.names import Repository, Tag
from mirror.registry.journal import Change, Outcome
from mirror.registry.port import ReadLister
from mirror.sync.decide import Action
from mirror.sync.desk import Desk
from mirror.sync.job import pairs
from mirror.sync.look import Keeper, Pair, TagPlan, look
from mirror.sync.rule import MirrorRule, OnUpstreamDelete
from mirror.transfer.copy import Destination, Origin, plan_graph
from mirror.transfer.plan import Plan
from mirror.transfer.referrers import missing_referrers


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a tag, or of a repository whose tags could not be listed.

    Attributes:
        source, repository: the repository there and here.
        tag: the tag; None where the tags could not be listed.
        outcome: as :class:`Outcome`; ``planned`` where it would be copied.
        change: what has happened to the tag; None: nothing.
        before, after: what it points to here, and would; ``after`` is None where that is known only once it is made.
        derived: what a copy would have that is not there, in one line; empty: it would be as it is there.
        blobs, size_bytes: how many blobs would move for it, and their bytes; those that move for another tag before it
            do not count again.
        referrers: how many manifests that refer to it would come with it.
        reason: why it would be skipped, dropped, or would fail.
        error: what failed.
    """

    source: Repository
    repository: Repository
    tag: Tag | None
    outcome: Outcome
    change: Change | None = None
    before: Digest | None = None
    after: Digest | None = None
    blobs: int = 0
    size_bytes: int = 0
    referrers: int = 0
    derived: str = ""
    reason: str = ""
    error: MirrorError | None = None


@dataclass(frozen=True, slots=True)
class RulePreview:
    """What a rule would do.

    Attributes:
        rule: its name.
        tags: what would become of each tag.
        error: why nothing can be told, or not everything.
    """

    rule: str
    tags: tuple[Preview, ...]
    error: MirrorError | None = None


async def preview_rule(rule: MirrorRule, source: ReadLister, destination: Keeper, desk: Desk) -> RulePreview:
    """Work out what :func:`mirror.sync.job.run_rule` would do. It reads manifests from the upstream, and no blobs.

    Args:
        rule, source, destination, desk: as there; of the desk, only the journal is read.
    """
    previews: list[Preview] = []
    counted: set[Digest] = set()
    try:
        async for pair in pairs(rule, source, destination):
            try:
                previews += [preview async for preview in _repository(pair, desk, counted)]
            except MirrorError as error:
                previews.append(Preview(pair.there, pair.here, None, Outcome.FAILED, reason=str(error), error=error))
    except MirrorError as error:
        return RulePreview(rule.name, tuple(previews), error)
    return RulePreview(rule.name, tuple(previews))


async def _repository(pair: Pair, desk: Desk, counted: set[Digest]) -> AsyncIterator[Preview]:
    plan = await look(pair, desk)
    there, here = pair.there, pair.here
    for tag, error in plan.failed:
        yield Preview(there, here, tag, Outcome.FAILED, reason=str(error), error=error)
    listed = plan.listed
    for each in plan.tags:
        yield await _tag(pair, each, listed, counted)
    follow = pair.rule.on_upstream_delete is OnUpstreamDelete.FOLLOW and not plan.lost
    for row in plan.gone:
        dropped = follow and row.dropped_at is None and row.tag not in pair.rule.pinned(here)
        reason = f"no longer at {pair.origin}"
        if dropped or row.gone_at is None:
            outcome = Outcome.DROPPED if dropped else Outcome.GONE
            yield Preview(there, here, row.tag, outcome, Change.GONE, before=row.digest, reason=reason)
    for row in plan.drop:
        yield Preview(there, here, row.tag, Outcome.DROPPED, before=row.digest, reason="the rule does not keep it")


async def _tag(pair: Pair, plan: TagPlan, listed: Collection[Tag], counted: set[Digest]) -> Preview:
    decision, before = plan.decision, plan.known.here
    there, here, tag = pair.there, pair.here, plan.tag
    if decision.action is not Action.COPY:
        outcome = Outcome.SKIPPED if decision.action is Action.SKIP else Outcome.UNCHANGED
        return Preview(there, here, tag, outcome, decision.change, before, before, reason=decision.reason)
    try:
        graphs = [graph async for graph in _graphs(pair, decision.wanted, listed)]
    except MirrorError as error:
        return Preview(there, here, tag, Outcome.FAILED, before=before, reason=str(error), error=error)
    blobs = {blob.digest: blob for graph in graphs for blob in graph.blobs if blob.digest not in counted}
    counted.update(blobs)
    changes = pair.rule.changes_of(here, tag)
    return Preview(
        there,
        here,
        tag,
        Outcome.PLANNED,
        decision.change,
        before,
        decision.wanted if changes is None else None,
        blobs=len(blobs),
        size_bytes=sum(blob.size_bytes for blob in blobs.values()),
        referrers=len(graphs) - 1,
        derived=str(changes or ""),
    )


async def _graphs(pair: Pair, digest: Digest, listed: Collection[Tag]) -> AsyncIterator[Plan]:
    """What moves for a manifest, then for each that refers to it."""
    origin, destination = Origin(pair.source, pair.there), Destination(pair.destination, pair.here)
    yield await plan_graph(origin, digest, destination)
    for referrer in await missing_referrers(pair.source, pair.there, digest, destination, listed):
        yield await plan_graph(origin, referrer.digest, destination)
