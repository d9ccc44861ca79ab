"""What became of a rule, for whoever ran it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.errors import MirrorError
from mirror.oci.names import Repository, Tag
from mirror.registry.journal import Change, Outcome


@dataclass(frozen=True, slots=True)
class TagResult:
    """What became of one tag, or of a repository whose tags could not be listed.

    Attributes:
        source: the repository there.
        repository: the repository here.
        tag: the tag; None where the tags could not be listed.
        outcome: what became of it.
        before: what it pointed to here before; None where it was not here.
        digest: what it points to now; None where that is not known, or it is not here.
        original: of a copy with changes, what it was made of.
        moved_bytes: bytes of blobs read from the upstream.
        change: what has happened to the tag since the run before; None: nothing.
        difference: privileges that a plugin that has moved asks for more, or no longer.
        reason: why it was skipped or dropped; of a copy with changes, what is different.
        error: why it failed.
    """

    source: Repository
    repository: Repository
    tag: Tag | None
    outcome: Outcome
    before: Digest | None = None
    digest: Digest | None = None
    original: Digest | None = None
    moved_bytes: int = 0
    change: Change | None = None
    difference: tuple[str, ...] = ()
    reason: str = ""
    error: MirrorError | None = None


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What became of a rule.

    Attributes:
        rule: its name.
        tags: every tag that it had to do with, in the order in which they were looked at.
        error: why it could not be run at all, or to its end.
    """

    rule: str
    tags: tuple[TagResult, ...] = ()
    error: MirrorError | None = None

    def with_outcome(self, outcome: Outcome) -> tuple[TagResult, ...]:
        """The tags of which that became."""
        return tuple(result for result in self.tags if result.outcome is outcome)

    @property
    def counts(self) -> Counter[Outcome]:
        """How many tags had each outcome."""
        return Counter(result.outcome for result in self.tags)

    @property
    def failed(self) -> tuple[TagResult, ...]:
        """Those that failed."""
        return self.with_outcome(Outcome.FAILED)

    @property
    def changed(self) -> tuple[TagResult, ...]:
        """Those to which something has happened since the run before, and that were known then."""
        return tuple(result for result in self.tags if result.change not in {None, Change.APPEARED})

    @property
    def moved_bytes(self) -> int:
        """Bytes of blobs read from the upstream."""
        return sum(result.moved_bytes for result in self.tags)

    @property
    def succeeded(self) -> bool:
        """Whether nothing failed."""
        return self.error is None and not self.failed
