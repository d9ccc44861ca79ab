"""Results of runs, for one rule and for several."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from mirror.oci.errors import MirrorError
from mirror.oci.timestamps import machine_time
from mirror.records.sync_runs import TagChange, TagOutcome, TagRecord
from mirror.runtime.error_advice import advised, without_fix


@dataclass(frozen=True, slots=True)
class RuleResult:
    """Result of one run of a rule.

    Attributes:
        rule: name of the rule.
        tags: records of all tags handled by the run, in the order of handling.
        error: error that kept the rule from running, or from running to its end. None if there was none.
        goes_on_at: time at which a paused run may go on. None if the run is not paused.
    """

    rule: str
    tags: tuple[TagRecord, ...] = ()
    error: MirrorError | None = None
    goes_on_at: datetime | None = None

    def with_outcome(self, outcome: TagOutcome) -> tuple[TagRecord, ...]:
        """Return the records of the tags with one outcome."""
        return tuple(record for record in self.tags if record.outcome is outcome)

    @property
    def counts(self) -> Counter[TagOutcome]:
        """Number of tags by outcome."""
        return Counter(record.outcome for record in self.tags)

    @property
    def failed(self) -> tuple[TagRecord, ...]:
        """Records of the failed tags."""
        return self.with_outcome(TagOutcome.FAILED)

    @property
    def changed(self) -> tuple[TagRecord, ...]:
        """Records of the tags known before this run and changed since the run before."""
        return tuple(record for record in self.tags if record.change not in {None, TagChange.APPEARED})

    @property
    def moved_bytes(self) -> int:
        """Bytes of blobs read from the upstream."""
        return sum(record.moved_bytes for record in self.tags)

    @property
    def errors(self) -> tuple[MirrorError, ...]:
        """All errors: the error of the rule first, then the errors of its tags."""
        return tuple(error for error in (self.error, *(tag.error for tag in self.failed)) if error is not None)

    @property
    def succeeded(self) -> bool:
        """True if nothing failed, and the run is not paused."""
        return self.error is None and not self.failed

    @property
    def reason(self) -> str:
        """Error of the run as a whole, else the first failed tag with its reason, else empty."""
        if self.goes_on_at is not None and self.error is not None:
            return f"paused: {without_fix(self.error)}; may go on at {machine_time(self.goes_on_at)}"
        if self.error is not None:
            return advised(self.error)
        return next((f"{tag.name}: {tag.reason}" for tag in self.failed), "")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Results of several rules, in the order of their runs."""

    rules: tuple[RuleResult, ...]

    def count(self, outcome: TagOutcome) -> int:
        """Count the tags, or lists of tags, with an outcome.

        A rule that failed as a whole counts as one failure. A paused rule has not failed.
        """
        broken = sum(result.error is not None and result.goes_on_at is None for result in self.rules)
        failed_rules = broken if outcome is TagOutcome.FAILED else 0
        return failed_rules + sum(result.counts[outcome] for result in self.rules)

    @property
    def moved_bytes(self) -> int:
        """Bytes of blobs read from all upstreams."""
        return sum(result.moved_bytes for result in self.rules)

    @property
    def succeeded(self) -> bool:
        """True if nothing failed, and no run is paused."""
        return all(result.succeeded for result in self.rules)
