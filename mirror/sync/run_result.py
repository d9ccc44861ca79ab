"""The results of runs: of one rule, and of several."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mirror.oci.errors import MirrorError
from mirror.records.sync_runs import TagChange, TagOutcome, TagRecord


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one run of a rule.

    Attributes:
        rule: the rule's name.
        tags: a record of every tag that the run had to do with, in the order in which they were looked at.
        error: why the rule could not be run at all, or to its end.
    """

    rule: str
    tags: tuple[TagRecord, ...] = ()
    error: MirrorError | None = None

    def with_outcome(self, outcome: TagOutcome) -> tuple[TagRecord, ...]:
        """The tags with one outcome."""
        return tuple(record for record in self.tags if record.outcome is outcome)

    @property
    def counts(self) -> Counter[TagOutcome]:
        """The number of tags with each outcome."""
        return Counter(record.outcome for record in self.tags)

    @property
    def failed(self) -> tuple[TagRecord, ...]:
        """The tags that failed."""
        return self.with_outcome(TagOutcome.FAILED)

    @property
    def changed(self) -> tuple[TagRecord, ...]:
        """The tags that were known before, and to which something has happened since the run before."""
        return tuple(record for record in self.tags if record.change not in {None, TagChange.APPEARED})

    @property
    def moved_bytes(self) -> int:
        """Bytes of blobs read from the upstream."""
        return sum(record.moved_bytes for record in self.tags)

    @property
    def errors(self) -> tuple[MirrorError, ...]:
        """Every error: the rule's own, then those of its tags."""
        return tuple(error for error in (self.error, *(tag.error for tag in self.failed)) if error is not None)

    @property
    def succeeded(self) -> bool:
        """True where nothing failed."""
        return self.error is None and not self.failed

    @property
    def reason(self) -> str:
        """Why the run failed as a whole, or what failed first."""
        if self.error is not None:
            return str(self.error)
        return next((f"{tag.name}: {tag.reason}" for tag in self.failed), "")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The results of several rules, in the order in which they ran."""

    rules: tuple[RuleResult, ...]

    def count(self, outcome: TagOutcome) -> int:
        """The number of tags, or lists of tags, with an outcome; whole rules that failed count as failed."""
        failed_rules = sum(result.error is not None for result in self.rules) if outcome is TagOutcome.FAILED else 0
        return failed_rules + sum(result.counts[outcome] for result in self.rules)

    @property
    def moved_bytes(self) -> int:
        """Bytes of blobs read from upstreams."""
        return sum(result.moved_bytes for result in self.rules)

    @property
    def succeeded(self) -> bool:
        """True where nothing failed."""
        return all(result.succeeded for result in self.rules)
