"""Import of a bundle into a registry.

Blobs come first, in the order of the tar, then manifests, and all tags in one transaction at the end. An interrupted
import leaves blobs and manifests without a tag, and the next import goes on from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from mirror.bundle.bundle_errors import BundleFault, BundleIncomplete
from mirror.bundle.importing.blob_intake import BlobIntake
from mirror.bundle.importing.import_plan import ImportPlan, PlannedName
from mirror.bundle.importing.import_result import ImportedName, ImportResult
from mirror.bundle.importing.import_source import ImportSource
from mirror.oci import Digest, Repository
from mirror.oci.errors import MirrorError, TagConflict
from mirror.records.absent_content import AbsentContents, warnings_about
from mirror.records.admission.arrivals import ContentSource, coming_from
from mirror.records.bundle_imports import BundleImports, ComingTag, ImportChanges, owner_of_stream
from mirror.records.bundle_trust import StreamState
from mirror.records.sync_runs import MirroredTag, TagOutcome
from mirror.registry.port import ReadWriter
from mirror.runtime.current_rule import working_for
from mirror.runtime.error_advice import advised
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import Progress, SilentProgress
from mirror.transfer.referrer_copies import concerns_one_content
from mirror.transfer.tags.tag_decision import TagAction


@dataclass(frozen=True, slots=True)
class ImportDestination:
    """Registry that a bundle is imported into.

    Attributes:
        registry: the registry, which checks and judges plugins.
        imports: records of imports.
        absent: content that repositories lack.
        locks: locks and leases of blobs.
        why_withheld: returns the reason for which hosts do not get a stored plugin; empty if they do.
    """

    registry: ReadWriter
    imports: BundleImports
    absent: AbsentContents
    locks: BlobLocks
    why_withheld: Callable[[Repository, Digest], Awaitable[str]]


async def import_bundle(
    source: ImportSource,
    plan: ImportPlan,
    stream: tuple[StreamState, Callable[[StreamState | None], object]],
    destination: ImportDestination,
    progress: Progress,
) -> ImportResult:
    """Carry out the plan of an import. A name whose plugin is refused does not stop the others.

    Args:
        source: the bundle, whose signatures were verified.
        plan: plan of the import.
        stream: state of the stream after the import; and a function that judges the state before it, see
            :meth:`mirror.records.bundle_imports.BundleImports.finish_import`.
        destination: registry to write to.
        progress: receiver of the progress.

    Raises:
        BundleIncomplete: parts of the bundle are missing. The content of the others was imported.
        BundleInvalid: the bundle is damaged. Blobs read so far stay. No tag was moved.
        BundleUntrusted: an import at the same time brought a later bundle of the stream. No tag was moved.
        StorageFault: the registry failed. No tag was moved.

    Cancellation leaves the same state as an error.
    """
    head, (state, judge) = source.bundle.head, stream
    run = _Import(source, plan, destination)
    with working_for(owner_of_stream(head.statement.stream)):
        await run.copy(progress)
    origins = {name: origin.source for name, origin in head.statement.notes.origins.items()}
    tags = [
        ComingTag(name.coming, name.before, origins.get(str(name.local.named), ""))
        for name in plan.names
        if name.moves and name.coming is not None and str(name.local) not in run.done.failed
    ]
    copied = {name.local.digest for name in plan.names if name.copies}
    changes = ImportChanges(
        state,
        tags,
        {digest: derivation for digest, derivation in plan.notes.derivations.items() if digest in copied},
        {digest: moment for digest, moment in head.statement.notes.first_seen.items() if digest in copied},
    )
    kept = await destination.imports.finish_import(changes, judge)
    return _result(source, plan, run.done, kept)


def dry_run_result(source: ImportSource, plan: ImportPlan) -> ImportResult:
    """Return the result that an import would have, as far as its plan tells. Nothing is read or written."""
    return _result(source, plan, _Done(plan.needed.size_bytes), ())


@dataclass
class _Done:
    """Outcome of copying the content.

    Attributes:
        moved_bytes: bytes of blobs read from the bundle.
        failed: errors by the local names that failed.
        notes: sentences for users by local names.
    """

    moved_bytes: int = 0
    failed: dict[str, MirrorError] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass
class _Import:
    source: ImportSource
    plan: ImportPlan
    destination: ImportDestination
    done: _Done = field(default_factory=_Done)

    async def copy(self, progress: Progress) -> None:
        """Copy blobs and manifests. Raises BundleIncomplete if parts of the bundle are missing."""
        needed, locks, source = self.plan.needed, self.destination.locks, self.source.bundle.source
        # Of names with the same content, one is copied.
        names: dict[tuple[Repository, Digest], PlannedName] = {}
        others: list[tuple[PlannedName, PlannedName]] = []
        for name in self.plan.names:
            if name.copies:
                first = names.setdefault((name.local.repository, name.local.digest), name)
                others += [(name, first)] if first is not name else []
        absent = {blob.digest: parts for blob in needed.blobs if (parts := self.source.missing_parts(blob.digest))}
        readable = [blob for blob in needed.blobs if blob.digest not in absent]
        if locks.partials is not None:
            await locks.partials.require_room(readable)
        if readable:
            progress.expect(sum(blob.size_bytes for blob in readable))
        intake = BlobIntake(self.source, self._place, locks, progress)
        await intake.take(names.values(), needed, readable, self._complete)
        for name, first in others:
            if (error := self.done.failed.get(str(first.local))) is not None:
                self.done.failed[str(name.local)] = error
            self.done.notes[str(name.local)] = self.done.notes.get(str(first.local), ())
        self.done.moved_bytes += intake.moved_bytes
        if absent:
            missing = dict.fromkeys(part for parts in absent.values() for part in parts)
            raise BundleIncomplete(
                f"{source.name}: {'; '.join(missing)}; what the other parts hold is kept, and no tag was moved yet; "
                "fix: run the same command again with the drives of these parts (--parts DIR)",
                parts=list(missing),
            )

    async def _complete(self, name: PlannedName) -> None:
        """Store the manifests of a name whose blobs have arrived."""
        origin = CopySource(self.source, name.local.named.repository, self.plan.notes)
        try:
            with self._came_from(name):
                copied = await copy_graph(
                    origin, name.local.digest, self._place(name), (), SilentProgress(), locks=self.destination.locks
                )
        except MirrorError as error:
            if isinstance(error, BundleFault) or not concerns_one_content(error):
                raise
            self.done.failed[str(name.local)] = error
        else:
            self.done.moved_bytes += copied.moved_bytes
            withheld = await self.destination.why_withheld(name.local.repository, name.local.digest)
            self.done.notes[str(name.local)] = (*warnings_about(copied.absent), *([withheld] if withheld else []))

    def _came_from(self, name: PlannedName) -> AbstractContextManager[None]:
        """Name the repository from which the sender got the content, under which a signer may know it."""
        origin = self.source.bundle.head.statement.notes.origins.get(str(name.local.named))
        # The first component is the upstream of the sender, or a host.
        repository = "" if origin is None else origin.source.partition("/")[2]
        if not Repository.is_valid(repository):
            return nullcontext()
        return coming_from(ContentSource("", Repository(repository)))

    def _place(self, name: PlannedName) -> CopyDestination:
        return CopyDestination(self.destination.registry, name.local.repository, absent=self.destination.absent)


def _result(source: ImportSource, plan: ImportPlan, done: _Done, kept: Sequence[MirroredTag]) -> ImportResult:
    """Return the result, given the tags that others moved meanwhile."""
    statement, others = source.bundle.head.statement, {(row.repository, row.tag) for row in kept}
    results = [
        _name_result(name, plan, done, was_kept=(name.local.repository, name.local.named.tag) in others)
        for name in plan.names
    ]
    results.sort(key=lambda each: str(each.local))
    return ImportResult(statement.stream, statement.serial, tuple(results), done.moved_bytes)


def _name_result(name: PlannedName, plan: ImportPlan, done: _Done, *, was_kept: bool) -> ImportedName:
    local, decision = name.local, name.decision
    error, notes = done.failed.get(str(local)), done.notes.get(str(local), ())
    if error is not None:
        return ImportedName(local, TagOutcome.FAILED, name.before, advised(error), error, notes)
    if was_kept:
        reason = "somebody else moved the tag here during the import; fix: import again to see what may be done"
        return ImportedName(local, TagOutcome.SKIPPED, name.before, reason, notes=notes)
    if decision is not None and decision.action is TagAction.FAIL:
        conflict = TagConflict(f"{local}: {decision.reason}", name=local.repository, reference=local.named.target)
        return ImportedName(local, TagOutcome.FAILED, name.before, decision.reason, conflict)
    if decision is not None and decision.action is TagAction.SKIP:
        return ImportedName(local, TagOutcome.SKIPPED, name.before, decision.reason)
    outcome = TagOutcome.COPIED if name.copies else TagOutcome.UNCHANGED
    reason, difference = "" if decision is None else decision.reason, plan.privileges.get(str(local), ())
    return ImportedName(local, outcome, name.before, reason, notes=notes, difference=difference)
