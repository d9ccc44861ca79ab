"""Counters of runs of rules, in memory that all processes share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mirror.oci import errors
from mirror.oci.errors import MirrorError
from mirror.registry.journal import Change, Outcome
from mirror.runtime.metrics import Family, Kind, Share
from mirror.sync.run_result import RuleResult

_OUTCOMES: Final = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.PLANNED)
_REASONS: Final[tuple[tuple[type[MirrorError], str], ...]] = (
    (errors.UpstreamUnreachable, "unreachable"),
    (errors.UpstreamRefused, "refused"),
    (errors.UpstreamBusy, "busy"),
    (errors.UpstreamLied, "lied"),
    (errors.NotFound, "not_found"),
    (errors.StorageFault, "storage"),
)
_OTHER: Final = "other"
_MOVED: Final = (Change.MOVED, Change.HELD)


def families(rules: Iterable[str]) -> tuple[Family, ...]:
    """The metric families for rules of those names."""
    names = tuple(rules)
    reasons = [reason for _, reason in _REASONS] + [_OTHER]

    def counter(what: str, explanation: str, label: str = "", values: Iterable[str] = ()) -> Family:
        series = [(rule, value) for rule in names for value in values] if label else [(rule,) for rule in names]
        labels = ("rule", label) if label else ("rule",)
        return Family(f"plugin_mirror_rule_{what}_total", explanation, Kind.COUNTER, labels, series)

    runs = "Runs of a mirror rule that have ended, by whether they succeeded."
    tags = "Tags that runs of a mirror rule had to do with, by what became of them."
    moved = "Tags that had moved upstream when a mirror rule ran, whether they were followed or held."
    return (
        counter("runs", runs, "outcome", ("succeeded", "failed")),
        counter("tags", tags, "outcome", _OUTCOMES),
        counter("tags_moved", moved),
        counter("errors", "Tags and whole runs of a mirror rule that failed, by reason.", "reason", reasons),
        counter("moved_bytes", "Bytes of blobs that runs of a mirror rule have read from its upstream."),
    )


class SyncMetrics:
    """Counts runs of rules.

    Args:
        share: where; its figures have :func:`families` of ``rules``.
        rules: names of the rules.
    """

    def __init__(self, share: Share, rules: Iterable[str]) -> None:
        self._figures = {
            (family.name, labels): share.figure(family, *labels)
            for family in families(rules)
            for labels in family.series
        }

    def ran(self, result: RuleResult) -> None:
        """Count a run."""
        rule = result.rule
        self._add("runs", rule, "succeeded" if result.succeeded else "failed")
        for outcome, count in result.counts.items():
            self._add("tags", rule, outcome.value, amount=count)
        for error in result.errors:
            self._add("errors", rule, _reason(error))
        self._add("tags_moved", rule, amount=sum(tag.change in _MOVED for tag in result.tags))
        self._add("moved_bytes", rule, amount=result.moved_bytes)

    def _add(self, what: str, *labels: str, amount: float = 1) -> None:
        self._figures[f"plugin_mirror_rule_{what}_total", labels].add(amount)


def _reason(error: MirrorError) -> str:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), _OTHER)
