"""The mapping of an upstream repository to a local one, and one run of a rule for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import MirrorError
from mirror.records.derivations import Derivations
from mirror.records.sync_runs import MirroredTag, Run, RunRecorder, RunStep, TagChange, TagEvent, TagOutcome, TagRecord
from mirror.registry.port import ReadLister, ReadWriteDeleter
from mirror.runtime.clock import Clock
from mirror.sync.rule import MirrorRule
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.derive_copy import Derived, DerivedCopyMaker, LayerFactsReader, derive_beside
from mirror.transfer.progress_reporting import Reporter, TagProgress

#: Makes a copy with changes, as :func:`mirror.transfer.derive_copy.derive_beside`. None: its digest is unknown as
#: long as its layers are not here.
Derive = Callable[..., Awaitable[Derived | None]]


@dataclass(frozen=True, slots=True)
class RunContext:
    """The services that runs of rules work with.

    Attributes:
        journal: records the runs.
        derivations: records how copies with changes came about.
        layers: tells facts of layers, where something is to be mended.
        clock: tells the time.
        reporter: told of each tag.
        locks: shared by runs at the same time, so that each blob moves once.
        derive: makes copies with changes.
    """

    journal: RunRecorder
    derivations: Derivations
    layers: LayerFactsReader
    clock: Clock
    reporter: Reporter
    locks: BlobLocks
    derive: Derive = derive_beside

    def maker(self, rule: MirrorRule) -> DerivedCopyMaker:
        """The maker of a rule's copies with changes."""
        return DerivedCopyMaker(f"rule {rule.name}", self.derivations, self.layers, self.clock.now)


@dataclass(frozen=True, slots=True)
class RepositoryMapping:
    """An upstream repository, and the local one that is made of it.

    Attributes:
        rule: the rule that copies one to the other.
        source, upstream_repository: the upstream, and its repository.
        destination, local_repository: our registry, and its repository.
        siblings: the other local repositories that are made of the same upstream one.
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
    """A run of a rule, for one repository.

    Attributes:
        mapping: the upstream repository and the local one.
        run: the run.
        context: the services of the run.
        gate: lets so many tags of the run through at a time.
        subject_locks: takes turns at digests that others may refer to, so that each referrer is counted once.
    """

    mapping: RepositoryMapping
    run: Run
    context: RunContext
    gate: asyncio.Semaphore
    subject_locks: BlobLocks

    def begin(self, tag: Tag) -> TagProgress:
        """Report that work on a tag begins."""
        return self.context.reporter.begin(f"{self.mapping.local_repository}:{tag}")

    def tag_record(self, tag: Tag, outcome: TagOutcome, **attributes: Any) -> TagRecord:
        """A record of a tag of the repository. Further attributes are those of :class:`TagRecord`."""
        mapping = self.mapping
        return TagRecord(mapping.local_repository, tag, outcome, source=mapping.upstream_repository, **attributes)

    def event(
        self, tag: Tag, change: TagChange, before: Digest | None, after: Digest | None, difference: tuple[str, ...] = ()
    ) -> TagEvent:
        """An event of a tag's history, at this moment."""
        mapping, now = self.mapping, self.context.clock.now()
        return TagEvent(mapping.local_repository, tag, now, change, before, after, mapping.origin, difference)

    async def note(self, record: TagRecord, mirrored: MirroredTag | None = None, event: TagEvent | None = None) -> None:
        """Note what became of a tag, all of it at once; unchanged tags have no record."""
        step = RunStep(None if record.outcome is TagOutcome.UNCHANGED else record, mirrored, event)
        if step != RunStep():
            await self.context.journal.record(self.run, [step])

    async def fail(self, tag: Tag, error: MirrorError) -> TagRecord:
        """Report and note that nothing could be done about a tag."""
        record = self.tag_record(tag, TagOutcome.FAILED).failed(error)
        self.begin(tag).done(record.outcome, record.reason)
        await self.note(record)
        return record
