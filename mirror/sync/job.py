"""One rule, run once. Running it again copies only what has changed since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import groupby

from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.oci.names import Repository
from mirror.registry.journal import Outcome, Run, RunOutcome
from mirror.registry.listing import all_repositories
from mirror.registry.port import ReadLister
from mirror.runtime.threads import in_thread
from mirror.sync.deeds import carry_out
from mirror.sync.desk import Desk
from mirror.sync.look import Keeper, Pair, look
from mirror.sync.result import RuleResult, TagResult
from mirror.sync.rule import MirrorRule
from mirror.sync.scene import Scene, entry_of
from mirror.transfer.concurrency import at_once

_REPOSITORIES_AT_ONCE = 8
_TAGS_AT_ONCE = 8


async def run_rule(rule: MirrorRule, source: ReadLister, destination: Keeper, desk: Desk) -> RuleResult:
    """Copy what a rule selects and the destination does not hold yet, and note it. A tag that fails stops no other.

    Args:
        rule: what to copy. Nobody else runs it at the same time.
        source: the registry that the rule calls ``rule.source``.
        destination: where it goes.
        desk: what the run works with.

    Raises:
        StorageFault: the beginning or the end could not be noted.

    Cancelled, it leaves every finished tag, and of the unfinished one what the next run goes on with; it is noted as
    interrupted.
    """
    run = await desk.journal.begin_run(rule.name)
    done: dict[Repository, list[TagResult]] = {}
    error: MirrorError | None = None
    outcome = RunOutcome.INTERRUPTED
    try:
        gate = asyncio.Semaphore(_TAGS_AT_ONCE)
        scenes = [Scene(pair, run, desk, gate) async for pair in pairs(rule, source, destination)]

        async def one(twins: list[Scene]) -> None:
            for scene in twins:  # one after the other: the next takes from here what the first has brought
                done[scene.pair.here] = await _run_repository(scene)

        sources = [list(twins) for _, twins in groupby(scenes, lambda scene: scene.pair.there)]
        await at_once(_REPOSITORIES_AT_ONCE, one, sources)
        outcome = RunOutcome.SUCCEEDED
    except MirrorError as failure:
        error = failure
    except asyncio.CancelledError:
        with suppress(MirrorError):  # the next run finds that this one has not ended
            await desk.journal.end_run(_ended(run, _result(rule, done), outcome, desk))
        raise
    result = _result(rule, done, error)
    outcome = outcome if result.succeeded else RunOutcome.FAILED
    await desk.journal.end_run(_ended(run, result, outcome, desk))
    return result


def _result(
    rule: MirrorRule, done: Mapping[Repository, list[TagResult]], error: MirrorError | None = None
) -> RuleResult:
    return RuleResult(rule.name, tuple(tag for here in sorted(done) for tag in done[here]), error)


async def pairs(rule: MirrorRule, source: ReadLister, destination: Keeper) -> AsyncIterator[Pair]:
    """The repositories that a rule is about; those that are made of the same one follow each other.

    Raises:
        ConfigurationFault: the upstream lists none that the rule's pattern matches.
    """
    plain = rule.plain_source
    there = [plain] if plain else [name async for name in all_repositories(source)]
    matched = await in_thread(_matched, rule, there)
    for repository, names in matched:
        for here in names:
            yield Pair(rule, source, repository, destination, here, tuple(name for name in names if name != here))
    if not matched:
        raise ConfigurationFault(
            f"mirror rule {rule.name}: none of the {len(there)} repositories that {rule.source} lists matches "
            f"{rule.origin.partition('/')[2]}"
        )


def _matched(rule: MirrorRule, there: list[Repository]) -> list[tuple[Repository, tuple[Repository, ...]]]:
    """Those repositories that a rule is about, with their names here."""
    found = ((repository, rule.here(repository)) for repository in there)
    return [(repository, names) for repository, names in found if names]


async def _run_repository(scene: Scene) -> list[TagResult]:
    pair, desk = scene.pair, scene.desk
    try:
        plan = await look(pair, desk)
    except MirrorError as error:
        desk.reporter.begin(str(pair.here)).done(Outcome.FAILED, str(error))
        result = TagResult(pair.there, pair.here, None, Outcome.FAILED, error=error)
        await scene.note(result)
        return [result]
    return await carry_out(scene, plan)


def _ended(run: Run, result: RuleResult, outcome: RunOutcome, desk: Desk) -> Run:
    counts = result.counts
    return replace(
        run,
        ended_at=desk.clock.now(),
        outcome=outcome,
        copied=counts[Outcome.COPIED],
        unchanged=counts[Outcome.UNCHANGED],
        skipped=counts[Outcome.SKIPPED],
        failed=counts[Outcome.FAILED],
        gone=counts[Outcome.GONE],
        dropped=counts[Outcome.DROPPED],
        moved_bytes=result.moved_bytes,
        reason=_reason(result),
    )


def _reason(result: RuleResult) -> str:
    if result.error is not None:
        return str(result.error)
    return next((_told(each) for each in result.failed), "")


def _told(failed: TagResult) -> str:
    name = f"{failed.repository}:{failed.tag}" if failed.tag else str(failed.repository)
    return f"{name}: {entry_of(failed).reason}"
