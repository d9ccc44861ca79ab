"""Records of mirroring: runs of rules, the tags that rules have brought, and the history of tags.

:class:`RunRecorder` is written while a rule runs; :class:`RunHistory` is read afterwards. Our store is both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import MirrorError
from mirror.records.origins import Origin


class TagOutcome(StrEnum):
    """The outcome of a run for a tag."""

    PLANNED = "planned"
    COPIED = "copied"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"
    GONE = "gone"
    DROPPED = "dropped"


class RunOutcome(StrEnum):
    """The outcome of a run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class TagChange(StrEnum):
    """A change of a tag, as a rule saw it.

    ``held``: it moved upstream and was not followed. ``gone``: it is no longer upstream, and stays here. ``dropped``:
    it was taken away here, by the rule.
    """

    APPEARED = "appeared"
    MOVED = "moved"
    HELD = "held"
    GONE = "gone"
    RETURNED = "returned"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a rule.

    Attributes:
        id: its number; later runs have higher ones.
        rule: the rule's name.
        started_at, ended_at: when; ``ended_at`` is None while it runs, and where the process was killed.
        outcome: its outcome, or ``running``.
        copied, unchanged, skipped, failed, gone, dropped: how many tags.
        moved_bytes: bytes of blobs read from the upstream.
        reason: why it failed as a whole, or what failed first.
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


@dataclass(frozen=True, slots=True)
class TagRecord:
    """The record of a tag in a run; or of a repository whose tags could not be listed.

    The catalog keeps the attributes up to ``reason``, and no record of an unchanged tag: unchanged tags are counted.
    Whoever runs a rule, or tries it, is given the others as well.

    Attributes:
        repository: the local repository.
        tag: the tag; None where the tags could not be listed.
        outcome: ``planned`` until something else is known.
        before, after: the local digest before and after; ``after`` is None where that is unknown, or nothing is left.
        moved_bytes: bytes of blobs read from the upstream.
        reason: why the tag was skipped or dropped, or has failed; of a copy with changes, what is different.
        source: the upstream repository.
        original: of a copy with changes, the upstream digest that it was made of.
        change: what has happened to the tag since the run before; None: nothing.
        difference: privileges that a plugin that has moved asks for more, or no longer.
        error: what failed.
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

    @property
    def name(self) -> str:
        """``REPOSITORY:TAG``, or the repository alone."""
        return f"{self.repository}:{self.tag}" if self.tag else str(self.repository)

    def failed(self, error: MirrorError) -> TagRecord:
        """Tell that work on the tag ended with an error."""
        return replace(self, outcome=TagOutcome.FAILED, error=error, reason=str(error))


@dataclass(frozen=True, slots=True)
class MirroredTag:
    """A tag that a rule has brought.

    Attributes:
        repository, tag: its local name.
        rule: the rule that brought it.
        upstream, source: the upstream's name, and its repository.
        digest: the local digest that the rule brought.
        upstream_digest: the upstream digest when the tag was last seen.
        brought_at: when ``digest`` was brought.
        gone_at: since when it is no longer upstream; None while it is.
        dropped_at: since when the rule no longer keeps it; None while it does.
        original, changes: of a copy with changes: the upstream digest that it was made of, and the changes as plain
            values; None where ``digest`` is an upstream digest.
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
        """The upstream digest when the tag was brought."""
        return self.original or self.digest


@dataclass(frozen=True, slots=True)
class TagEvent:
    """Something that happened to a tag.

    Attributes:
        repository, tag: its local name.
        at: when it was seen.
        change: what happened.
        before, after: the digests: upstream's where it was held, else those here.
        source: where it was seen, as ``UPSTREAM/REPOSITORY``.
        difference: privileges that a plugin asks for more (``+ …``) or no longer (``- …``).
    """

    repository: Repository
    tag: Tag
    at: datetime
    change: TagChange
    before: Digest | None
    after: Digest | None
    source: str
    difference: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStep:
    """Notes that are written together, or not at all.

    Attributes:
        record: of the run; it takes the place of the tag's earlier one.
        mirrored: it takes the place of the tag's earlier row.
        event: added to the tag's history.
    """

    record: TagRecord | None = None
    mirrored: MirroredTag | None = None
    event: TagEvent | None = None


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """The record of a rule.

    Attributes:
        known_since: when it was first seen.
        last_run: the latest run, which may be running.
        last_success_at: when the latest run that succeeded ended.
    """

    known_since: datetime
    last_run: Run | None = None
    last_success_at: datetime | None = None


class RunRecorder(Protocol):
    """Written while a rule runs, by one process at a time for each rule."""

    async def begin_run(self, rule: str) -> Run:
        """Begin a run; earlier ones of the rule that have not ended were interrupted, and are noted as such."""
        ...

    async def record(self, run: Run, steps: Sequence[RunStep]) -> None:
        """Note what was planned or done, all of it at once."""
        ...

    async def end_run(self, run: Run) -> None:
        """Note the end of a run. Runs and events that are too many are forgotten, the oldest first."""
        ...

    async def mirrored(self, repository: Repository) -> Mapping[Tag, MirroredTag]:
        """Read the tags that rules have brought into a repository."""
        ...

    async def pulled_since(self, repository: Repository, since: datetime) -> Collection[str]:
        """Tags and digests of a repository that somebody has pulled since then."""
        ...

    async def origin(self, repository: Repository, target: Tag | Digest) -> Origin | None:
        """Read where something that was pulled through came from (:class:`mirror.records.origins.Origins`)."""
        ...


class RunHistory(Protocol):
    """Tells what was done."""

    async def rule_record(self, rule: str) -> RuleRecord:
        """Read the record of a rule; a rule that was not known is from now on."""
        ...

    async def runs(self, rule: str, limit: int) -> Sequence[Run]:
        """The latest runs of a rule, the latest first."""
        ...

    async def entries(self, run_id: int) -> Sequence[TagRecord]:
        """The records of a run, by name and tag."""
        ...

    async def mirrored_by(self, rule: str) -> Sequence[MirroredTag]:
        """Read the tags that a rule has brought, by name and tag."""
        ...

    async def events_of(self, rule: str, limit: int) -> Sequence[TagEvent]:
        """The latest events of the tags that a rule has brought, the latest first."""
        ...

    async def history(self, repository: Repository, tag: Tag | None, limit: int) -> Sequence[TagEvent]:
        """The latest events of a tag, or of all tags of a repository, the latest first."""
        ...
