"""Scheduler that runs each mirror rule when it is due, for as long as the process serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from mirror.oci.errors import Busy, MirrorError
from mirror.records.run_journal import RunHistory
from mirror.records.sync_runs import TagChange, TagRecord
from mirror.registry.port import ReadLister, ReadWriteDeleter
from mirror.sync.repository_run import RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.run import RuleLock, run_rule, source_of
from mirror.sync.run_result import RuleResult
from mirror.sync.schedule import Schedule, due_at

_LOG = structlog.get_logger(__name__)

_RULES_AT_ONCE = 2
# The system clock may be set during a sleep, so the time left is computed anew at least this often.
_LONGEST_SLEEP = timedelta(minutes=1)
# Pause after another process was found to hold the lock of the rule. Its run moves the time when the rule is due.
_PAUSE_BUSY_SECONDS = 5.0
_PAUSE_FAILED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RuleScheduler:
    """Runs the rules that have a schedule.

    Every process has a scheduler. The lock of a rule decides which process runs the rule.

    Attributes:
        sources: open upstreams by name.
        destination: registry to copy to.
        lock: lock held while a rule runs.
        history: records of earlier runs.
        context: services used by the runs.
        ran: called with the result of each run made by this process.
    """

    sources: Mapping[str, ReadLister]
    destination: ReadWriteDeleter
    lock: RuleLock
    history: RunHistory
    context: RunContext
    ran: Callable[[RuleResult], None]

    async def run(self, rules: Iterable[MirrorRule]) -> None:
        """Run each rule whenever it is due, until cancelled. Failures are logged and do not end the scheduler."""
        opened_at = self.context.clock.now()
        gate = asyncio.Semaphore(_RULES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for rule in rules:
                if rule.schedule is not None:
                    group.create_task(
                        self._run_when_due(rule, rule.schedule, opened_at, gate), name=f"rule {rule.name}"
                    )

    async def _run_when_due(
        self, rule: MirrorRule, schedule: Schedule, opened_at: datetime, gate: asyncio.Semaphore
    ) -> None:
        while True:
            try:
                await self._wait(rule, schedule, opened_at)
                # The gate comes first: a rule that waits for its turn here must not hold the lock that another
                # process could use.
                async with gate, self.lock(rule.name):
                    # Ask again under the lock: another process may have run the rule since the first answer.
                    if await self._due_in(rule, schedule, opened_at) <= timedelta(0):
                        result = await run_rule(rule, source_of(rule, self.sources), self.destination, self.context)
                        tell(result)
                        self.ran(result)
            except Busy:
                await asyncio.sleep(_PAUSE_BUSY_SECONDS)
            except MirrorError as error:
                _LOG.error("mirror rule could not be run", rule=rule.name, error=str(error), **error.detail)
                await asyncio.sleep(_PAUSE_FAILED_SECONDS)
            except Exception as error:  # noqa: BLE001 - a rule that fails in any way must not end the server
                _LOG.error("mirror rule failed unexpectedly", rule=rule.name, exc_info=error)
                await asyncio.sleep(_PAUSE_FAILED_SECONDS)

    async def _wait(self, rule: MirrorRule, schedule: Schedule, opened_at: datetime) -> None:
        left = await self._due_in(rule, schedule, opened_at)
        while left > timedelta(0):
            await asyncio.sleep(min(left, _LONGEST_SLEEP).total_seconds())
            left = await self._due_in(rule, schedule, opened_at)

    async def _due_in(self, rule: MirrorRule, schedule: Schedule, opened_at: datetime) -> timedelta:
        known = await self.history.rule_record(rule.name)
        last = known.last_run
        # A process knows the configuration as it was at its start. If another process ran the rule since, that process
        # may know a later one, and two processes with different configurations must not take turns without a pause.
        changed = last is not None and last.started_at <= opened_at and rule.has_changed_since(known)
        now = self.context.clock.now()
        return due_at(schedule, rule.name, known, opened_at, now, changed=changed) - now


def tell(result: RuleResult) -> None:
    """Log the result of a run and the changes of the rule's tags."""
    for tag in result.changed:
        _tell_change(result.rule, tag)
    for tag in result.failed:
        _LOG.error(
            "tag could not be mirrored",
            rule=result.rule,
            name=tag.repository.name,
            tag=tag.tag and tag.tag.name,
            error=str(tag.error),
        )
    for tag in result.tags:
        for warning in tag.warnings:
            _LOG.warning("tag mirrored with a warning", rule=result.rule, name=tag.name, warning=warning)
    counts = {outcome.value: count for outcome, count in result.counts.items()}
    if result.goes_on_at is not None:
        _LOG.warning("mirror rule paused", rule=result.rule, reason=result.reason, **counts)
    elif result.error is not None:
        _LOG.error("mirror rule failed", rule=result.rule, error=str(result.error), **counts)
    else:
        _LOG.info("mirror rule ran", rule=result.rule, moved_bytes=result.moved_bytes, **counts)


_TOLD = {
    TagChange.MOVED: "tag moved upstream and updated here",
    TagChange.HELD: "tag moved upstream but is pinned here",
    TagChange.GONE: "tag deleted upstream but kept here",
    TagChange.RETURNED: "tag is upstream again",
    TagChange.DROPPED: "tag dropped here",
    TagChange.TAKEN_OVER: "tag taken over from another source",
}


def _tell_change(rule: str, tag: TagRecord) -> None:
    if tag.change is None or tag.change not in _TOLD:
        return
    _LOG.warning(
        _TOLD[tag.change],
        rule=rule,
        name=tag.repository.name,
        tag=tag.tag and tag.tag.name,
        before=tag.before and str(tag.before),
        now=tag.after and str(tag.after),
        privileges=list(tag.difference),
        reason=tag.reason,
    )
