"""Records of mirroring: runs of rules, tags that rules have copied, and the history of tags.

:class:`RunRecorder` is the port for writing while a rule runs. :class:`RunHistory` is the port for reading. The store
implements both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import MirrorError
from mirror.oci.timestamps import machine_time

#: Beginning of the names under which bundles own tags. No rule and no upstream has such a name.
BUNDLE_OWNER: Final = "bundle:"


class TagOutcome(StrEnum):
    """Outcome of a run for a tag."""

    #: Written before anything moves, so that the records of an interrupted run show its plan.
    PLANNED = "planned"
    COPIED = "copied"
    UNCHANGED = "unchanged"
    #: Left alone on purpose: for example, pushed content takes precedence over a rule.
    SKIPPED = "skipped"
    FAILED = "failed"
    #: The tag no longer exists upstream and stays here.
    GONE = "gone"
    #: The rule removed the tag here.
    DROPPED = "dropped"


class RunOutcome(StrEnum):
    """Outcome of a run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: The process was stopped or died. A death is recorded when the next run of the rule begins.
    INTERRUPTED = "interrupted"
    #: The upstream answered 429 or 503. The tags that were not tried are tried when the rule goes on.
    PAUSED = "paused"


class TagChange(StrEnum):
    """Change of a tag that a rule observed.

    ``held``: the tag moved upstream and the rule did not follow. ``gone``: the tag no longer exists upstream and stays
    here. ``dropped``: the rule removed the tag here. ``taken over``: the tag came from another source before.
    """

    APPEARED = "appeared"
    MOVED = "moved"
    HELD = "held"
    GONE = "gone"
    RETURNED = "returned"
    DROPPED = "dropped"
    TAKEN_OVER = "taken over"


@dataclass(frozen=True, slots=True)
class Run:
    """Run of a rule.

    Attributes:
        id: number of the run. Later runs have higher numbers.
        rule: name of the rule.
        started_at: start time, in UTC.
        ended_at: end time, in UTC; None during the run, and after the process was killed.
        outcome: outcome of the run, or ``running``.
        copied, unchanged, skipped, failed, gone, dropped: number of tags with this outcome.
        moved_bytes: bytes of blobs read from the upstream.
        reason: reason of a failed or paused run, or else of its first failed tag.
        goes_on_at: time at which a paused run may go on, in UTC; None for other runs.
    """

    id: int
    rule: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: RunOutcome = RunOutcome.RUNNING
    copied: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    gone: int = 0
    dropped: int = 0
    moved_bytes: int = 0
    reason: str = ""
    goes_on_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TagRecord:
    """Record of a tag in a run, or of a repository whose tags could not be listed.

    The catalog stores the attributes up to ``reason``, and ``warnings``. Unchanged tags without a reason or warning are
    only counted. The caller that runs or tries a rule gets all attributes and records.

    Attributes:
        repository: local repository.
        tag: the tag; None if the tags of the repository could not be listed.
        outcome: ``planned`` until the outcome is known, and for a tag that a paused run has not tried.
        before: local digest before the run.
        after: local digest after the run; None if unknown or if the tag was removed.
        moved_bytes: bytes of blobs read from the upstream.
        reason: reason why the tag was skipped, was dropped or failed. For a derived copy, its differences.
        source: repository at the upstream.
        original: upstream digest that a derived copy was made from.
        change: change of the tag since the previous run; None if there is none.
        difference: privileges that a moved plugin requests more or no longer.
        error: error that made the tag fail.
        advice: sentence for users of a copied plugin. Empty if there is none.
        warnings: sentences about content of the tag, or beside it, that is not here: absent members of indexes, foreign
            layers, referrers.
    """

    repository: Repository
    tag: Tag | None
    outcome: TagOutcome
    before: Digest | None = None
    after: Digest | None = None
    moved_bytes: int = 0
    reason: str = ""
    source: Repository | None = None
    original: Digest | None = None
    change: TagChange | None = None
    difference: tuple[str, ...] = ()
    error: MirrorError | None = None
    advice: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``REPOSITORY:TAG``, or the repository alone."""
        return f"{self.repository}:{self.tag}" if self.tag else str(self.repository)

    def failed(self, error: MirrorError, reason: str) -> TagRecord:
        """Return the record of a tag for which work ended with an error, with what people read about it."""
        return replace(self, outcome=TagOutcome.FAILED, error=error, reason=reason)


@dataclass(frozen=True, slots=True)
class MirroredTag:
    """Tag that a rule has copied.

    Attributes:
        repository: local repository.
        tag: local tag.
        rule: name of the rule that copied the tag.
        upstream: name of the upstream.
        source: repository at the upstream.
        digest: local digest that the rule stored.
        upstream_digest: upstream digest when the tag was last seen.
        brought_at: time at which ``digest`` was stored.
        gone_at: time since which the tag no longer exists upstream; None while it exists.
        dropped_at: time since which the rule no longer keeps the tag; None while it does.
        original: upstream digest that a derived copy was made from; None if ``digest`` is an upstream digest.
        changes: changes of a derived copy as plain values; None if ``digest`` is an upstream digest.
    """

    repository: Repository
    tag: Tag
    rule: str
    upstream: str
    source: Repository
    digest: Digest
    upstream_digest: Digest
    brought_at: datetime
    gone_at: datetime | None = None
    dropped_at: datetime | None = None
    original: Digest | None = None
    changes: Mapping[str, Any] | None = None

    @property
    def copied(self) -> Digest:
        """Upstream digest when the tag was copied."""
        # A derived copy has a digest of its own, which no upstream knows.
        return self.original or self.digest

    def origin_text(self, owner: str | None = None) -> str:
        """Return the origin of the tag for messages, such as ``brought by rule contiv from hub/store/contiv``.

        Args:
            owner: rule that owns the tag by now; None for the one that brought it. A bundle is both rule and upstream.
        """
        rule = owner or self.rule
        by = "" if rule == self.upstream else f" by rule {rule}"
        return f"brought{by} from {self.upstream}/{self.source}"


@dataclass(frozen=True, slots=True)
class TagEvent:
    """Event in the history of a tag.

    Attributes:
        repository: local repository.
        tag: local tag.
        at: time at which the event was observed.
        change: the change.
        before, after: digests before and after the change. For ``held`` upstream digests, else local ones.
        source: place where the event was observed, as ``UPSTREAM/REPOSITORY``. For a tag of a bundle, the place where
            its sender had the tag from follows.
        difference: privileges that a plugin requests more (``+ …``) or no longer (``- …``).
    """

    repository: Repository
    tag: Tag
    at: datetime
    change: TagChange
    before: Digest | None
    after: Digest | None
    source: str
    difference: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain values, without the name of the tag."""
        return {
            "at": machine_time(self.at),
            "change": self.change.value,
            "before": self.before and str(self.before),
            "after": self.after and str(self.after),
            "source": self.source,
            "privileges": list(self.difference),
        }


@dataclass(frozen=True, slots=True)
class RunStep:
    """Records that are written together in one transaction.

    Attributes:
        record: record of the run. Replaces the earlier record of the tag.
        mirrored: mirrored tag. Replaces the earlier row of the tag.
        pulled: True if the mirrored tag was pulled through before. From now on pull-through leaves the tag alone.
        event: event that is added to the history of the tag.
    """

    record: TagRecord | None = None
    mirrored: MirroredTag | None = None
    event: TagEvent | None = None
    pulled: bool = False


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """Record of a rule.

    Attributes:
        known_since: time at which the rule was first seen.
        last_run: latest run, which may still be running; None if there is none.
        last_success_at: end time of the latest successful run; None if there is none.
        fingerprint: fingerprint of the rule at its latest run; None if unknown.
    """

    known_since: datetime
    last_run: Run | None = None
    last_success_at: datetime | None = None
    fingerprint: str | None = None
