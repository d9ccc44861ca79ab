"""Runs of rules: one rule once, or several in turn. Running a rule again copies only what has changed since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from itertools import groupby
from typing import Protocol

from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.records.sync_runs import Run, RunOutcome, TagOutcome, TagRecord
from mirror.registry.listing import all_repositories
from mirror.registry.port import ReadLister, ReadWriteDeleter
from mirror.runtime.concurrency.threads import in_thread
from mirror.sync.apply import apply_plan
from mirror.sync.planning import plan_repository
from mirror.sync.repository_run import RepositoryMapping, RepositoryRun, RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.run_result import RuleResult, RunSummary
from mirror.transfer.blob_locks import BlobLocks, map_concurrently

_REPOSITORIES_AT_ONCE = 8
_TAGS_AT_ONCE = 8


class RuleLock(Protocol):
    """Keeps a rule to one holder, over all processes on the same data."""

    def __call__(self, rule_name: str, /) -> AbstractAsyncContextManager[object]:
        """Held inside the ``async with``. Entering raises Busy where another holds it."""
        ...


async def run_rules(
    rules: Iterable[MirrorRule],
    sources: Mapping[str, ReadLister],
    destination: ReadWriteDeleter,
    lock: RuleLock,
    context: RunContext,
) -> RunSummary:
    """Run rules in the order given; one that fails does not stop the others.

    Args:
        rules: the rules to run.
        sources: the upstreams by name, open.
        destination: the registry that everything is copied to.
        lock: held while a rule runs.
        context: the services of the runs.
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
    """Copy what a rule selects and the destination does not hold yet, and note it. A tag that fails stops no other.

    Args:
        rule: what to copy. Nobody else runs it at the same time.
        source: the registry that the rule calls ``rule.source``.
        destination: the registry that everything is copied to.
        context: the services of the run.

    Raises:
        StorageFault: the beginning or the end could not be noted.

    Cancelled, it leaves every finished tag, and of the unfinished one what the next run goes on with; it is noted as
    interrupted.
    """
    run = await context.journal.begin_run(rule.name)
    done: dict[Repository, list[TagRecord]] = {}
    error: MirrorError | None = None
    outcome = RunOutcome.INTERRUPTED
    try:
        gate = asyncio.Semaphore(_TAGS_AT_ONCE)
        found = [mapping async for mapping in mappings(rule, source, destination)]

        async def copy(siblings: list[RepositoryMapping]) -> None:
            for mapping in siblings:  # one after the other: the next takes from here what the first has brought
                records = await _run_repository(RepositoryRun(mapping, run, context, gate, BlobLocks()))
                done[mapping.local_repository] = records

        groups = [list(siblings) for _, siblings in groupby(found, lambda mapping: mapping.upstream_repository)]
        await map_concurrently(_REPOSITORIES_AT_ONCE, copy, groups)
        outcome = RunOutcome.SUCCEEDED
    except MirrorError as failure:
        error = failure
    except asyncio.CancelledError:
        with suppress(MirrorError):  # the next run finds that this one has not ended
            await context.journal.end_run(_ended(run, _result(rule, done), outcome, context))
        raise
    result = _result(rule, done, error)
    outcome = outcome if result.succeeded else RunOutcome.FAILED
    await context.journal.end_run(_ended(run, result, outcome, context))
    return result


async def mappings(
    rule: MirrorRule, source: ReadLister, destination: ReadWriteDeleter
) -> AsyncIterator[RepositoryMapping]:
    """List the repositories that a rule is about; those that are made of the same one follow each other.

    Raises:
        ConfigurationFault: the upstream lists none that the rule's pattern matches.
    """
    plain = rule.plain_source
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
    """The upstream that a rule copies from.

    Raises:
        ConfigurationFault: there is none of that name.
    """
    source = sources.get(rule.source)
    if source is None:
        known = ", ".join(sorted(sources)) or "none"
        raise ConfigurationFault(
            f"mirror rule {rule.name} copies from {rule.source!r}, which is no upstream: {known} are configured"
        )
    return source


def _matched(rule: MirrorRule, listed: list[Repository]) -> list[tuple[Repository, tuple[Repository, ...]]]:
    """The repositories that a rule is about, with their local names."""
    found = ((repository, rule.local_repositories(repository)) for repository in listed)
    return [(repository, names) for repository, names in found if names]


async def _run_repository(run: RepositoryRun) -> list[TagRecord]:
    mapping, context = run.mapping, run.context
    name = mapping.local_repository
    try:
        plan = await plan_repository(mapping, context)
    except MirrorError as error:
        record = TagRecord(name, None, TagOutcome.FAILED, source=mapping.upstream_repository).failed(error)
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
    )
