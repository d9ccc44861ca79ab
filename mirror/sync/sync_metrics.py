"""Metrics of mirror rules: counters of runs in memory shared by all processes, and gauges of the rules' status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from mirror.oci.errors import MirrorError, reasons
from mirror.records.sync_runs import TagChange, TagOutcome
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind, WorkerSlot
from mirror.sync.rule_status import RuleStatus
from mirror.sync.run_result import RuleResult

_OUTCOMES: Final = tuple(outcome.value for outcome in TagOutcome if outcome is not TagOutcome.PLANNED)
_MOVED: Final = (TagChange.MOVED, TagChange.HELD)


def families(rules: Iterable[str]) -> tuple[MetricFamily, ...]:
    """Return the metric families for rules of the given names."""
    names = tuple(rules)

    def counter(what: str, explanation: str, label: str = "", values: Iterable[str] = ()) -> MetricFamily:
        series = [(rule, value) for rule in names for value in values] if label else [(rule,) for rule in names]
        labels = ("rule", label) if label else ("rule",)
        return MetricFamily(f"plugin_mirror_rule_{what}_total", explanation, MetricKind.COUNTER, labels, series)

    runs = "Ended runs of a mirror rule, by outcome (succeeded, failed, paused)."
    tags = "Tags that runs of a mirror rule processed, by outcome."
    moved = "Tags that runs of a mirror rule found to point to other content upstream, updated here or not."
    return (
        counter("runs", runs, "outcome", ("succeeded", "failed", "paused")),
        counter("tags", tags, "outcome", _OUTCOMES),
        counter("tags_moved", moved),
        counter(
            "errors",
            "Failures of single tags and of whole runs of a mirror rule, by reason.",
            "reason",
            reasons(MirrorError),
        ),
        counter("received_bytes", "Bytes of blobs that runs of a mirror rule received from its upstream."),
    )


class SyncMetrics:
    """Counters of runs of rules.

    Args:
        slot: place of the counters, which are :func:`families` of ``rules``.
        rules: names of the rules.
    """

    def __init__(self, slot: WorkerSlot, rules: Iterable[str]) -> None:
        self._counters = {
            (family.name, labels): slot.counter(family, *labels)
            for family in families(rules)
            for labels in family.series
        }

    def ran(self, result: RuleResult) -> None:
        """Count a run."""
        rule = result.rule
        ended = "paused" if result.goes_on_at else "succeeded" if result.succeeded else "failed"
        self._add("runs", rule, ended)
        for outcome in _OUTCOMES:
            self._add("tags", rule, outcome, amount=result.counts[TagOutcome(outcome)])
        for error in result.errors:
            self._add("errors", rule, error.reason)
        self._add("tags_moved", rule, amount=sum(tag.change in _MOVED for tag in result.tags))
        self._add("received_bytes", rule, amount=result.moved_bytes)

    def _add(self, what: str, *labels: str, amount: float = 1) -> None:
        self._counters[f"plugin_mirror_rule_{what}_total", labels].add(amount)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _gauge(name: str, explanation: str) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_rule_{name}", explanation, MetricKind.GAUGE, ("rule",))


#: Gauges of each rule, with the functions that read their values from a status. None: the rule has no series.
GAUGES: Final[tuple[tuple[MetricFamily, Callable[[RuleStatus], float | None]], ...]] = (
    (
        _gauge(
            "last_success_timestamp_seconds",
            "Unix time in seconds when the last successful run of a mirror rule ended.",
        ),
        lambda state: _seconds(state.last_success_at),
    ),
    (
        _gauge("lag_seconds", "Seconds since the last successful run of a mirror rule ended."),
        lambda state: state.lag_seconds,
    ),
    (
        _gauge("next_run_timestamp_seconds", "Unix time in seconds when a mirror rule is due to run next."),
        lambda state: _seconds(state.next_run_at),
    ),
    (
        _gauge("running", "1 while a process runs the mirror rule, else 0."),
        lambda state: float(state.state == "running"),
    ),
    (_gauge("tags", "Tags that a mirror rule has copied and keeps."), lambda state: len(state.held)),
    (_gauge("tags_gone", "Tags kept by a mirror rule that no longer exist upstream."), lambda state: len(state.gone)),
    (
        _gauge("tags_behind", "Pinned tags of a mirror rule that point to other content upstream."),
        lambda state: len(state.behind),
    ),
)


def rule_gauges(states: Sequence[RuleStatus]) -> list[tuple[MetricFamily, list[tuple[Labels, list[float]]]]]:
    """Read :data:`GAUGES` of rules. A rule without a value for a gauge has no series."""
    return [
        (family, [((state.rule.name,), [value]) for state in states if (value := read(state)) is not None])
        for family, read in GAUGES
    ]
