"""Export of a bundle: collect, plan, write, and give the file its name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mirror.bundle.bundle_errors import BundleFault, BundleInvalid
from mirror.bundle.export.collection import Collected, collect
from mirror.bundle.export.export_plan import ExportPlan, plan_documents, plan_members
from mirror.bundle.export.export_request import Exported, ExportRequest
from mirror.bundle.export.output.bundle_output import BundleOutput
from mirror.bundle.export.output.content_writer import ContentWriter
from mirror.bundle.export.output.export_journal import ExportJournal
from mirror.bundle.export.output.journal_keeping import kept_journal, read_journal
from mirror.bundle.export.output.parts_output import PartsOutput
from mirror.bundle.export.output.removable_media import is_removable
from mirror.bundle.export.output.single_file_output import SingleFileOutput
from mirror.bundle.format.bundle_head import read_head, read_recorded_head
from mirror.bundle.format.member_header import END
from mirror.bundle.format.statement import Notes, Statement
from mirror.bundle.report.plugin_report import plugin_report
from mirror.bundle.trust.signing_keys import SigningKey
from mirror.bundle.verification import verify_bytes
from mirror.oci import Digest
from mirror.oci.errors import Busy, StorageDamaged
from mirror.records.bundle_exports import BundleExports, ExportRecord
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.error_advice import without_fix
from mirror.transfer.progress_reporting import Progress

#: Blobs written at a time. Each has a thread that reads, hashes and writes.
_BLOBS_AT_ONCE: Final = 4


async def plan_export(request: ExportRequest) -> Exported:
    """Return what an export would write, without writing anything.

    Raises:
        BundleFault: there is nothing to export, or more than a bundle may hold.
        MirrorError: see :func:`mirror.bundle.export.collection.collect`.
    """
    collected, draft = await _draft(request)
    plan = draft.plan()
    await read_recorded_head(plan.head)
    return _exported(request, collected, plan)


async def export_bundle(request: ExportRequest, progress: Progress) -> Exported:
    """Write a bundle. An export that was interrupted goes on where it was, if its content is the same.

    Memory does not grow with the content. The file appears when all of it is on the disk.

    Args:
        request: content and place of the bundle.
        progress: receiver of the progress in bytes.

    Raises:
        BundleFault: there is nothing to export, or more than a bundle may hold.
        Busy: another export writes the same file, or takes the serial at the same time.
        StorageFull: the disk is too small.
        StorageDamaged: content differs from its digest, or the medium has lost bytes.
        MirrorError: see :func:`mirror.bundle.export.collection.collect`.
    """
    collected, draft = await _draft(request)
    async with _opened(request) as output:
        journal = await read_journal(output)
        plan = await _plan(request, draft, journal)
        # Read as every reader does, whose limits are those of the export.
        await read_recorded_head(plan.head)
        if journal is None or journal.places != plan.places:
            await in_thread(output.truncate, 0)
            journal = None
        await in_thread(output.require_room, plan.layout.size_bytes)
        removable = await in_thread(is_removable, output.path.parent)
        # Filesystems of removable media fill gaps with zeros, so these are written in order.
        at_once = 1 if removable else _BLOBS_AT_ONCE
        blobs = plan.layout.blobs()
        begun = await in_thread(_journal, plan, journal, output)
        writer = ContentWriter(collected.content, output, blobs, begun, progress=progress, at_once=at_once)
        async with kept_journal(output, writer):
            await in_thread(output.write, plan.head, 0)
            await writer.write_all()
            await in_thread(output.write, END, plan.layout.size_bytes - len(END))
            await in_thread(output.truncate, plan.layout.size_bytes)
            await writer.sync()
            verified = request.verify_written or (request.verify_written is None and removable)
            if verified:
                await _verify(output, plan.envelope.digest, progress)
            plan = await _recorded(request, draft, plan, output)
        await output.finish(plan.envelope.digest, progress)
    return replace(_exported(request, collected, plan), continued_bytes=writer.continued_bytes, is_verified=verified)


def _exported(request: ExportRequest, collected: Collected, plan: ExportPlan) -> Exported:
    statement, blobs = plan.statement, plan.layout.blobs()
    return Exported(
        request.output,
        plan.envelope.digest,
        statement.stream,
        statement.serial,
        statement.created,
        plan.layout.size_bytes,
        collected.names,
        len(blobs),
        sum(placed.member.size_bytes for placed in blobs),
        collected.left_out,
        collected.warnings,
    )


def _opened(request: ExportRequest) -> AbstractAsyncContextManager[BundleOutput]:
    if request.part_bytes is None:
        return SingleFileOutput.open(request.output)
    return PartsOutput.open(request.output, request.part_bytes)


async def _verify(output: BundleOutput, statement: Digest, progress: Progress) -> None:
    """Read the bundle back from the medium. Raises StorageDamaged if it differs from what was written."""
    source = await output.read_back(statement, progress)
    try:
        await verify_bytes(await read_head(source), source, progress)
    except BundleInvalid as error:
        raise StorageDamaged(f"{without_fix(error)}; fix: use another medium, for this one loses bytes") from error


@dataclass(frozen=True, slots=True)
class _Draft:
    """A new bundle with its place in the stream, which may still change."""

    statement: Statement
    documents: dict[str, bytes]
    keys: Sequence[SigningKey]

    def plan(self) -> ExportPlan:
        return ExportPlan.of(self.statement, self.documents, self.keys)

    def placed(self, serial: int, created: datetime, previous: Digest | None) -> _Draft:
        return replace(self, statement=replace(self.statement, serial=serial, created=created, previous=previous))


async def _draft(request: ExportRequest) -> tuple[Collected, _Draft]:
    collected = await collect(request.sources, request.choice, request.base)
    if not collected.names and not collected.members and request.base is None:
        raise BundleFault("; ".join(["there is nothing to export", *collected.left_out]))
    report = await plugin_report(collected.content, collected.names)
    documents = plan_documents(collected.names, request.key_sets, report)
    places = collected.content.places
    sizes = {digest: places[digest].size_bytes for digest in collected.members}
    early = {digest: size_bytes for digest, size_bytes in sizes.items() if places[digest].is_early}
    layers = {digest: size_bytes for digest, size_bytes in sizes.items() if digest not in early}
    statement = Statement(
        request.stream,
        request.serial or request.next_serial,
        request.created.replace(microsecond=0),
        plan_members(documents, early, layers),
        request.previous,
        None if request.base is None else request.base.since,
        await _notes(request.exports, collected),
    )
    return collected, _Draft(statement, documents, request.keys)


async def _notes(exports: BundleExports | None, collected: Collected) -> Notes:
    if exports is None:
        return Notes(collected.origins, absent=collected.absent)
    places = collected.content.places
    manifests = [digest for digest in collected.members if places[digest].media_type]
    derivations = await exports.derivations_of(manifests)
    return Notes(
        collected.origins,
        {digest: derivation.to_json() for digest, derivation in derivations.items()},
        await exports.first_seen(manifests),
        collected.absent,
    )


async def _plan(request: ExportRequest, draft: _Draft, journal: ExportJournal | None) -> ExportPlan:
    """Return the plan. It has the serial and time of the interrupted export if they are still free."""
    if journal is not None and journal.stream == request.stream and request.serial in {None, journal.serial}:
        plan = draft.placed(journal.serial, journal.created, journal.previous).plan()
        last = None if request.exports is None else await request.exports.last_export(request.stream)
        recorded = (last.serial, last.statement) if last is not None else (0, None)
        # Without records, bundles with later serials may have been written since the interruption.
        is_free = journal.serial > recorded[0] and journal.serial >= (request.serial or request.next_serial)
        # The export may have been killed between its record and its new name.
        if is_free or (journal.serial, plan.envelope.digest) == recorded:
            return plan
    return draft.plan()


def _journal(plan: ExportPlan, earlier: ExportJournal | None, output: BundleOutput) -> ExportJournal:
    statement = plan.statement
    new = ExportJournal(plan.places, statement.stream, statement.serial, statement.created, statement.previous)
    if earlier is None:
        return new
    blobs = plan.layout.blobs()
    synced = {number for number in earlier.synced if output.holds(blobs[number].start_bytes, blobs[number].end_bytes)}
    return replace(new, synced=frozenset(synced), written=earlier.written, begun=earlier.begun)


async def _recorded(request: ExportRequest, draft: _Draft, plan: ExportPlan, output: BundleOutput) -> ExportPlan:
    """Record the bundle. If another export has taken the serial meanwhile, use the next one."""
    exports = request.exports
    while exports is not None:
        statement = plan.statement
        record = ExportRecord(statement.stream, statement.serial, statement.created, plan.envelope.digest, plan.head)
        if await exports.record_export(record):
            return plan
        last = await exports.last_export(request.stream)
        taken = Busy(
            f"another export of the stream {statement.stream} took serial {statement.serial}; fix: run it again"
        )
        if last is None or request.serial is not None:
            raise taken
        later = draft.placed(last.serial + 1, draft.statement.created, last.statement).plan()
        if later.places != plan.places:  # a serial with more digits moves all content
            raise taken
        plan = later
        await in_thread(output.write, plan.head, 0)
        await in_thread(output.sync)
    return plan
