"""Status of mirror rules, read from the journal, for ``/api/v1/mirrors``, ``plugin-mirror status`` and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from mirror.oci.timestamps import machine_time
from mirror.records.run_journal import RunHistory
from mirror.records.sync_runs import MirroredTag, Run, RunOutcome, TagEvent, TagRecord
from mirror.sync.rule import MirrorRule
from mirror.sync.schedule import due_at

_RUNS_SHOWN = 5
_EVENTS_SHOWN = 20

#: Tells whether a process currently runs the rule of a given name.
IsRunning = Callable[[str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """Status of a rule.

    Attributes:
        rule: the rule.
        at: time of the status.
        runs: the latest 5 runs, latest first. A run whose process has ended without a record is ``interrupted``.
        last_success_at: time at which the latest successful run ended. None if no run has succeeded.
        next_run_at: time at which the rule is due. None if the rule has no schedule.
        tags: tags copied by the rule, including dropped ones.
        records: tag records of the latest run. Unchanged tags without a warning have no record.
        events: the latest 20 events of the rule's tags, latest first.
        is_changed: True if the rule has been edited since its latest run began.
    """

    rule: MirrorRule
    at: datetime
    runs: Sequence[Run]
    last_success_at: datetime | None
    next_run_at: datetime | None
    tags: Sequence[MirroredTag]
    records: Sequence[TagRecord]
    events: Sequence[TagEvent]
    is_changed: bool = False

    @property
    def last_run(self) -> Run | None:
        """Latest run, None if the rule never ran."""
        return self.runs[0] if self.runs else None

    @property
    def state(self) -> str:
        """Outcome of the latest run (``running``, ``succeeded``, ``failed``, ``interrupted``, ``paused``).

        ``changed`` if the run succeeded and the rule has been edited since. ``never run`` if there is no run.
        """
        if self.last_run is None:
            return "never run"
        is_outdated = self.is_changed and self.last_run.outcome is RunOutcome.SUCCEEDED
        return "changed" if is_outdated else self.last_run.outcome.value

    @property
    def failure(self) -> Run | None:
        """Latest ended run if it failed, was interrupted or is paused, else None.

        A newer run, still going on, may be about to make up for the failure.
        """
        ended = next((run for run in self.runs if run.outcome is not RunOutcome.RUNNING), None)
        return None if ended is None or ended.outcome is RunOutcome.SUCCEEDED else ended

    @property
    def lag_seconds(self) -> float | None:
        """Seconds since the latest success. None if no run has succeeded."""
        return None if self.last_success_at is None else (self.at - self.last_success_at).total_seconds()

    @property
    def held(self) -> list[MirroredTag]:
        """Tags copied and kept by the rule."""
        return [tag for tag in self.tags if tag.dropped_at is None]

    @property
    def gone(self) -> list[MirroredTag]:
        """Kept tags deleted upstream."""
        return [tag for tag in self.held if tag.gone_at is not None]

    @property
    def behind(self) -> list[MirroredTag]:
        """Kept tags, still present upstream, whose upstream tag has moved on."""
        return [tag for tag in self.held if tag.gone_at is None and tag.copied != tag.upstream_digest]

    def to_json(self) -> dict[str, Any]:
        """Return the status as plain values. Times are in UTC (RFC 3339)."""
        targets = self.rule.targets
        return {
            "rule": self.rule.name,
            "from": self.rule.origin,
            "to": targets[0] if len(targets) == 1 else list(targets),
            "derive": None if self.rule.changes is None else self.rule.changes.shown(),
            "schedule": None if self.rule.schedule is None else str(self.rule.schedule),
            "state": self.state,
            "failing": self.failure is not None,
            "changed_since_last_run": self.is_changed,
            "last_success_at": machine_time(self.last_success_at),
            "lag_seconds": self.lag_seconds,
            "next_run_at": machine_time(self.next_run_at),
            "tags": len(self.held),
            "gone": [_tag_as_json(tag) for tag in self.gone],
            "pinned_behind": [_tag_as_json(tag) for tag in self.behind],
            "runs": [_run_as_json(run) for run in self.runs],
            "last_entries": [_record_as_json(record) for record in self.records],
            "events": [_event_as_json(event) for event in self.events],
        }


def upstream_usage(name: str, states: Iterable[RuleStatus]) -> dict[str, Any]:
    """Return the rules that mirror from an upstream and their failures, as plain values."""
    using = [state for state in states if state.rule.source == name]
    return {
        "rules": [state.rule.name for state in using],
        "last_success_at": machine_time(max((at for state in using if (at := state.last_success_at)), default=None)),
        "failing": [
            {"rule": state.rule.name, "reason": state.failure.reason} for state in using if state.failure is not None
        ],
    }


async def rule_statuses(
    rules: Iterable[MirrorRule], history: RunHistory, is_running: IsRunning, now: datetime
) -> list[RuleStatus]:
    """Read the status of rules, in the given order.

    Args:
        rules: rules to report on.
        history: records of runs and tags.
        is_running: tells whether a process runs the rule of a given name.
        now: current time.
    """
    return [await _status(rule, history, is_running, now) for rule in rules]


async def _status(rule: MirrorRule, history: RunHistory, is_running: IsRunning, now: datetime) -> RuleStatus:
    # Before the runs: a run that begins meanwhile would make the edited rule look as if it had run already.
    known = await history.rule_record(rule.name)
    runs = await _runs(rule.name, history, is_running)
    tags = await history.mirrored_by(rule.name)
    records = await history.entries(runs[0].id) if runs else []
    events = await history.events_of(rule.name, _EVENTS_SHOWN)
    due, changed = None, rule.has_changed_since(known)
    if rule.schedule is not None:
        due = due_at(rule.schedule, rule.name, known, known.known_since, now, changed=changed)
    return RuleStatus(rule, now, runs, known.last_success_at, due, tags, records, events, changed)


async def _runs(rule: str, history: RunHistory, is_running: IsRunning) -> list[Run]:
    """Return the latest runs of a rule, latest first."""
    seen = None
    while True:
        # Ask before reading the journal: a run that ends in between has recorded its end by then. In the other order,
        # it would be taken for interrupted.
        running = await is_running(rule)
        latest = await history.runs(rule, _RUNS_SHOWN)
        newest = next(iter(latest), None)
        # A run that the journal shows for the first time may have begun after the question.
        if running or newest is None or newest.outcome is not RunOutcome.RUNNING or newest.id == seen:
            return [_seen(run, running=running and run is newest) for run in latest]
        seen = newest.id


def _seen(run: Run, *, running: bool) -> Run:
    # The process was killed before it could record the end.
    if run.outcome is RunOutcome.RUNNING and not running:
        return replace(run, outcome=RunOutcome.INTERRUPTED)
    return run


def _event_as_json(event: TagEvent) -> dict[str, Any]:
    return {"name": event.repository.name, "tag": event.tag.name, **event.to_json()}


def _run_as_json(run: Run) -> dict[str, Any]:
    values = {name: value for name, value in asdict(run).items() if name != "rule"}
    moments = {"started_at": machine_time(run.started_at), "ended_at": machine_time(run.ended_at)}
    moments["goes_on_at"] = machine_time(run.goes_on_at)
    return values | moments | {"outcome": run.outcome.value}


def _record_as_json(record: TagRecord) -> dict[str, Any]:
    return {
        "name": record.repository.name,
        "tag": record.tag and record.tag.name,
        "outcome": record.outcome.value,
        "before": record.before and str(record.before),
        "after": record.after and str(record.after),
        "moved_bytes": record.moved_bytes,
        "reason": record.reason,
        "warnings": list(record.warnings),
    }


def _tag_as_json(tag: MirroredTag) -> dict[str, Any]:
    return {
        "name": tag.repository.name,
        "tag": tag.tag.name,
        "digest": str(tag.digest),
        "derived_from": tag.original and str(tag.original),
        "upstream_digest": str(tag.upstream_digest),
        "gone_at": machine_time(tag.gone_at),
    }
