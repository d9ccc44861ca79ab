"""Runs of mirror rules: one rule, or several one after the other. A repeated run copies only changed content."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from itertools import groupby
from typing import Protocol

from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault, MirrorError, UpstreamPaused
from mirror.records.admission.arrivals import ContentSource, coming_from
from mirror.records.sync_runs import Run, RunOutcome, TagOutcome, TagRecord
from mirror.registry.listing import all_repositories
from mirror.registry.port import ReadLister, ReadWriteDeleter
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.current_rule import working_for
from mirror.runtime.error_advice import advised
from mirror.sync.apply import apply_plan
from mirror.sync.planning import plan_repository
from mirror.sync.repository_run import RepositoryMapping, RepositoryRun, RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.run_result import RuleResult, RunSummary
from mirror.sync.schedule import goes_on_at
from mirror.sync.source.pausing_source import PausingSource
from mirror.transfer.blob_locks import map_concurrently

_REPOSITORIES_AT_ONCE = 8
# Shared by all repositories of a rule: eight repositories at once must not mean 64 tags at once.
_TAGS_AT_ONCE = 8


class RuleLock(Protocol):
    """Lock that keeps a rule to one holder among all processes on the same data folder."""

    def __call__(self, rule_name: str, /) -> AbstractAsyncContextManager[object]:
        """Return a context manager that holds the lock. Entering raises Busy if another holder has the lock."""
        ...


async def run_rules(
    rules: Iterable[MirrorRule],
    sources: Mapping[str, ReadLister],
    destination: ReadWriteDeleter,
    lock: RuleLock,
    context: RunContext,
) -> RunSummary:
    """Run rules in the given order. A failed rule does not stop the others.

    Args:
        rules: rules to run.
        sources: open upstreams by name.
        destination: registry to copy to.
        lock: lock held while a rule runs.
        context: services used by the runs.
    """

    async def run(rule: MirrorRule) -> RuleResult:
        try:
            async with lock(rule.name):
                return await run_rule(rule, source_of(rule, sources), destination, context)
        except MirrorError as error:
            return RuleResult(rule.name, error=error)

    return RunSummary(tuple([await run(rule) for rule in rules]))


async def run_rule(
    rule: MirrorRule, source: ReadLister, destination: ReadWriteDeleter, context: RunContext
) -> RuleResult:
    """Copy the selected content missing at the destination, and record the run. A failed tag does not stop the others.

    Args:
        rule: rule to run. The caller ensures that nobody else runs the rule at the same time.
        source: registry named ``rule.source`` by the rule.
        destination: registry to copy to.
        context: services used by the run.

    Raises:
        StorageFault: the start or the end of the run could not be recorded.

    Cancellation keeps every finished tag. Of an unfinished tag it keeps the content from which the next run continues.
    The run is recorded as interrupted.
    """
    run, upstream = await context.journal.begin_run(rule.name, rule.fingerprint), PausingSource(source)
    done: dict[Repository, list[TagRecord]] = {}
    error: MirrorError | None = None
    outcome = RunOutcome.INTERRUPTED
    try:
        gate, turns = asyncio.Semaphore(_TAGS_AT_ONCE), defaultdict[Repository, asyncio.Lock](asyncio.Lock)
        found = [mapping async for mapping in mappings(rule, upstream, destination)]

        async def copy(siblings: list[RepositoryMapping]) -> None:
            # One after the other: the second sibling is copied locally from the first, so the upstream sends each blob
            # once.
            for mapping in siblings:
                # Several upstream repositories of a pattern may meet in one local repository.
                came_from = ContentSource(rule.source, mapping.upstream_repository)
                async with turns[mapping.local_repository]:
                    with coming_from(came_from):
                        records = await _run_repository(RepositoryRun(mapping, run, context, gate, upstream))
                    done.setdefault(mapping.local_repository, []).extend(records)

        # groupby joins neighbours only; mappings() yields siblings next to each other.
        groups = [list(siblings) for _, siblings in groupby(found, lambda mapping: mapping.upstream_repository)]
        with working_for(rule.name):
            await map_concurrently(_REPOSITORIES_AT_ONCE, copy, groups)
        outcome, error = RunOutcome.SUCCEEDED, upstream.pause
    except MirrorError as failure:
        error = failure
    except asyncio.CancelledError:
        # If this record fails, the next run marks the run as interrupted, because it has not ended.
        with suppress(MirrorError):
            await context.journal.end_run(_ended(run, _result(rule, done), outcome, context), rule.source)
        raise
    result = _result(rule, done, error)
    if isinstance(error, UpstreamPaused):
        outcome = RunOutcome.PAUSED
        result = replace(result, goes_on_at=goes_on_at(rule.schedule, run.started_at, context.clock.now(), error))
    elif not result.succeeded:
        outcome = RunOutcome.FAILED
    await context.journal.end_run(_ended(run, result, outcome, context), rule.source)
    return result


async def mappings(
    rule: MirrorRule, source: ReadLister, destination: ReadWriteDeleter
) -> AsyncIterator[RepositoryMapping]:
    """Yield the repositories covered by a rule. Local repositories of one upstream repository follow each other.

    Raises:
        ConfigurationFault: the upstream lists no repository matched by the rule.
    """
    plain = rule.plain_source
    # A plain name needs no catalog, which some upstreams do not offer.
    listed = [plain] if plain else [name async for name in all_repositories(source)]
    matched = await in_thread(_matched, rule, listed)
    for upstream_repository, names in matched:
        for name in names:
            siblings = tuple(other for other in names if other != name)
            yield RepositoryMapping(rule, source, upstream_repository, destination, name, siblings)
    if not matched:
        raise ConfigurationFault(
            f"mirror rule {rule.name}: none of the {len(listed)} repositories that {rule.source} lists matches "
            f"{rule.origin.partition('/')[2]}"
        )


def source_of(rule: MirrorRule, sources: Mapping[str, ReadLister]) -> ReadLister:
    """Return the upstream of a rule.

    Raises:
        ConfigurationFault: no upstream of this name is configured.
    """
    source = sources.get(rule.source)
    if source is None:
        known = ", ".join(sorted(sources)) or "none"
        raise ConfigurationFault(
            f"mirror rule {rule.name} copies from {rule.source!r}, which is not configured as an upstream; "
            f"configured: {known}"
        )
    return source


def _matched(rule: MirrorRule, listed: list[Repository]) -> list[tuple[Repository, tuple[Repository, ...]]]:
    """Return the listed repositories covered by a rule, with their local names."""
    found = ((repository, rule.local_repositories(repository)) for repository in listed)
    return [(repository, names) for repository, names in found if names]


async def _run_repository(run: RepositoryRun) -> list[TagRecord]:
    mapping, context = run.mapping, run.context
    name = mapping.local_repository
    try:
        plan = await plan_repository(mapping, context)
    except UpstreamPaused:
        record = run.untried(None)
        await run.note(record)
        return [record]
    except MirrorError as error:
        record = TagRecord(name, None, TagOutcome.FAILED, source=mapping.upstream_repository).failed(
            error, advised(error)
        )
        context.reporter.begin(str(name)).done(record.outcome, record.reason)
        await run.note(record)
        return [record]
    return await apply_plan(run, plan)


def _result(
    rule: MirrorRule, done: Mapping[Repository, list[TagRecord]], error: MirrorError | None = None
) -> RuleResult:
    return RuleResult(rule.name, tuple(record for name in sorted(done) for record in done[name]), error)


def _ended(run: Run, result: RuleResult, outcome: RunOutcome, context: RunContext) -> Run:
    counts = result.counts
    return replace(
        run,
        ended_at=context.clock.now(),
        outcome=outcome,
        copied=counts[TagOutcome.COPIED],
        unchanged=counts[TagOutcome.UNCHANGED],
        skipped=counts[TagOutcome.SKIPPED],
        failed=counts[TagOutcome.FAILED],
        gone=counts[TagOutcome.GONE],
        dropped=counts[TagOutcome.DROPPED],
        moved_bytes=result.moved_bytes,
        reason=result.reason,
        goes_on_at=result.goes_on_at,
    )
