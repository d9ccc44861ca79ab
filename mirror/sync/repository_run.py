"""Mapping of an upstream repository to a local one, and the run of a rule for one repository."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import MirrorError
from mirror.records.absent_content import AbsentContents
from mirror.records.derivations import Derivations
from mirror.records.run_journal import RunRecorder
from mirror.records.sync_runs import MirroredTag, Run, RunStep, TagChange, TagEvent, TagOutcome, TagRecord
from mirror.registry.port import ReadLister, ReadWriteDeleter
from mirror.runtime.clock import Clock
from mirror.runtime.clock_jumps import ClockJumps
from mirror.runtime.error_advice import advised
from mirror.sync.rule import MirrorRule
from mirror.sync.source.pausing_source import PausingSource
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.derive_copy import Derived, DerivedCopyMaker, LayerFactsReader, derive_beside
from mirror.transfer.progress_reporting import Reporter, TagProgress
from mirror.transfer.referrer_copies import concerns_one_content
from mirror.wire.referrers_fallback import is_digest_tag

#: Makes a copy with changes, like :func:`mirror.transfer.derive_copy.derive_beside`. Returns None if the digest of the
#: copy cannot be known, because its layers are missing here (dry runs only).
Derive = Callable[..., Awaitable[Derived | None]]
#: Keeps the collection away from a local repository while its tags are copied: their blobs come first.
Hold = Callable[[Repository], AbstractAsyncContextManager[None]]


def _hold_nothing(_repository: Repository) -> AbstractAsyncContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class RunContext:
    """Services used by runs of rules.

    Attributes:
        journal: records of the runs.
        derivations: records of the origins of copies with changes.
        layers: reader of facts about layers, needed for changes with ``fix``.
        clock: source of the current time.
        reporter: receiver of the progress of each tag.
        locks: blob locks shared by simultaneous runs, so each blob moves once.
        derive: function that makes copies with changes.
        rules: all configured rules in their order, which decides where rules meet in one repository.
        jumps: jumps of the clock that a long-lived process has seen; None in commands.
        absent: records of the content that repositories lack.
        hold: holds the content of a repository while its tags are copied.
    """

    journal: RunRecorder
    derivations: Derivations
    layers: LayerFactsReader
    clock: Clock
    reporter: Reporter
    locks: BlobLocks
    derive: Derive = derive_beside
    absent: AbsentContents = field(kw_only=True)
    rules: Sequence[MirrorRule] = ()
    jumps: ClockJumps | None = None
    hold: Hold = _hold_nothing

    def trusted(self, moment: datetime) -> datetime:
        """Return ``moment``, or a later one if the clock jumped after it (:class:`ClockJumps`)."""
        return moment if self.jumps is None else self.jumps.trusted(moment)

    def maker(self, rule: MirrorRule) -> DerivedCopyMaker:
        """Return the maker of a rule's copies with changes."""
        return DerivedCopyMaker(f"rule {rule.name}", self.derivations, self.layers, self.clock.now)


@dataclass(frozen=True, slots=True)
class RepositoryMapping:
    """An upstream repository and the local repository copied from it.

    Attributes:
        rule: rule that copies the repository.
        source: upstream registry.
        upstream_repository: repository at the upstream.
        destination: our registry.
        local_repository: repository in our registry.
        siblings: other local repositories copied from the same upstream repository.
    """

    rule: MirrorRule
    source: ReadLister
    upstream_repository: Repository
    destination: ReadWriteDeleter
    local_repository: Repository
    siblings: tuple[Repository, ...] = ()

    @property
    def origin(self) -> str:
        """``UPSTREAM/REPOSITORY``."""
        return f"{self.rule.source}/{self.upstream_repository}"


@dataclass(frozen=True, slots=True)
class RepositoryRun:
    """Run of a rule for one repository.

    Attributes:
        mapping: upstream repository and local repository.
        run: the run.
        context: services used by the run.
        gate: limit of the tags handled at the same time, shared by all repositories of the run.
        pausing: upstream of the run, which knows of a pause.
        subject_locks: locks by subject digest, so each referrer is counted once.
        followed: subjects whose referrers have been copied in this run.
    """

    mapping: RepositoryMapping
    run: Run
    context: RunContext
    gate: asyncio.Semaphore
    pausing: PausingSource
    subject_locks: BlobLocks = field(default_factory=BlobLocks)
    followed: set[Digest] = field(default_factory=set)

    def begin(self, tag: Tag) -> TagProgress:
        """Report the start of work on a tag."""
        return self.context.reporter.begin(f"{self.mapping.local_repository}:{tag}")

    def tag_record(self, tag: Tag, outcome: TagOutcome, **attributes: Any) -> TagRecord:
        """Make a record of a tag of the repository. Further attributes are those of :class:`TagRecord`."""
        mapping = self.mapping
        return TagRecord(mapping.local_repository, tag, outcome, source=mapping.upstream_repository, **attributes)

    def event(
        self, tag: Tag, change: TagChange, before: Digest | None, after: Digest | None, difference: tuple[str, ...] = ()
    ) -> TagEvent:
        """Make an event of a tag's history at the current time."""
        mapping, now = self.mapping, self.context.clock.now()
        return TagEvent(mapping.local_repository, tag, now, change, before, after, mapping.origin, difference)

    async def note(
        self,
        record: TagRecord,
        mirrored: MirroredTag | None = None,
        event: TagEvent | None = None,
        *,
        pulled: bool = False,
    ) -> None:
        """Record the outcome of a tag in one step. Unchanged tags without a warning get no record."""
        # One step, so that the record, the origin and the move of a tag are one transaction (ADR 9). Unchanged tags are
        # only counted: a rule may select very many.
        unchanged = record.outcome is TagOutcome.UNCHANGED and not (record.reason or record.warnings)
        step = RunStep(None if unchanged else record, mirrored, event, pulled)
        if step != RunStep():
            await self.context.journal.record(self.run, [step])

    def untried(self, tag: Tag | None, before: Digest | None = None, wanted: Digest | None = None) -> TagRecord:
        """Make the record of a tag, or of the whole repository, that was not tried because the upstream paused."""
        mapping = self.mapping
        return TagRecord(
            mapping.local_repository,
            tag,
            TagOutcome.PLANNED,
            before,
            wanted,
            reason="not tried, because the upstream asked for a pause",
            source=mapping.upstream_repository,
        )

    def failure(self, tag: Tag, error: MirrorError, before: Digest | None = None) -> TagRecord:
        """Make the record of a tag for which work ended with an error.

        A tag of a signature or the like, whose content is at fault, is skipped with a warning: anybody who may add
        such a tag at an upstream must not make the rule fail for good.
        """
        record = self.tag_record(tag, TagOutcome.FAILED, before=before)
        if is_digest_tag(tag) and concerns_one_content(error):
            return replace(record, outcome=TagOutcome.SKIPPED, after=before, warnings=(f"not copied: {error}",))
        return record.failed(error, advised(error))

    async def fail(self, tag: Tag, error: MirrorError) -> TagRecord:
        """Report and record a failed tag."""
        record = self.failure(tag, error)
        self.begin(tag).done(record.outcome, record.reason)
        await self.note(record)
        return record
