"""Copies of the referrers of a copied tag."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from mirror.oci import Digest, Tag
from mirror.oci.errors import MirrorError, NotFound, UpstreamPaused
from mirror.records.sync_runs import TagOutcome, TagRecord
from mirror.runtime.error_advice import advised
from mirror.sync.repository_run import RepositoryMapping, RepositoryRun
from mirror.transfer.graph.places import CopyDestination
from mirror.transfer.progress_reporting import TagProgress
from mirror.transfer.referrer_copies import CopiedReferrers, copy_referrers


async def follow_referrers(
    run: RepositoryRun,
    record: TagRecord,
    listed: Collection[Tag],
    subjects: set[Digest],
    progress: TagProgress,
    *,
    as_wanted: bool,
) -> TagRecord:
    """Add the digests reached from a tag to ``subjects``. If the tag is in its wanted state, copy their referrers."""
    count, moved_bytes, warnings = 0, 0, record.warnings
    error: MirrorError | None = None
    try:
        found = await _subjects(run.mapping, record)
        subjects |= found
        for subject in found if as_wanted else ():
            copied = await _copy_referrers(run, subject, listed, progress)
            count, moved_bytes = count + copied.count, moved_bytes + copied.moved_bytes
            warnings += copied.warnings
    except UpstreamPaused:
        pass  # the tag itself is here, and the next run looks for its referrers again
    except MirrorError as failure:
        error = failure
    if warnings:
        record = replace(record, warnings=warnings)
    if count:
        reason = ", ".join([*([record.reason] if record.reason else []), f"with {count} referrer(s)"])
        record = replace(record, outcome=TagOutcome.COPIED, reason=reason, moved_bytes=record.moved_bytes + moved_bytes)
    return record if error is None else record.failed(error, advised(error))


async def _copy_referrers(
    run: RepositoryRun, subject: Digest, listed: Collection[Tag], progress: TagProgress
) -> CopiedReferrers:
    """Copy the referrers of a manifest, once in a run, however many tags lead to the manifest."""
    mapping = run.mapping
    place = CopyDestination(mapping.destination, mapping.local_repository)
    async with run.subject_locks.hold(subject):
        if subject in run.followed:
            return CopiedReferrers(0, 0)
        copied = await copy_referrers(
            mapping.source,
            mapping.upstream_repository,
            subject,
            place,
            progress,
            listed=listed,
            locks=run.context.locks,
            most=mapping.rule.most_referrers,
        )
        run.followed.add(subject)
        return copied


async def _subjects(mapping: RepositoryMapping, record: TagRecord) -> set[Digest]:
    """Return the upstream digests reached from a local tag: its own digest and the held members of an index."""
    digest = record.original or record.after
    if digest is None:
        return set()
    manifest = await mapping.destination.get_manifest(mapping.local_repository, digest)
    subjects = {digest}
    for member in manifest.manifests:
        with suppress(NotFound):  # a member may be left out
            subjects.add((await mapping.destination.resolve(mapping.local_repository, member.digest)).digest)
    return subjects
