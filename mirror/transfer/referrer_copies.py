"""Copies of referrers, such as signatures and attestations (distribution-spec, "Listing Referrers")."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import Busy, DoesNotFit, MirrorError, NotFound, StorageFault, UpstreamPaused, UpstreamUnreachable
from mirror.registry.port import ReadLister
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.content_choice import MOST_REFERRERS
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import Progress
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers_fallback import fallback_tag

#: Levels of referrers to follow. A signature of an attestation of a plugin is at level 2.
_MOST_LEVELS = 4
_CREATED: Final = "org.opencontainers.image.created"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FoundReferrers:
    """Referrers of a manifest, and their referrers.

    Attributes:
        missing: referrers that the destination does not hold, each once, subjects before their referrers.
        warnings: sentences about referrers that are left out.
    """

    missing: tuple[Descriptor, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CopiedReferrers:
    """Result of copying the referrers of a manifest.

    Attributes:
        count: number of copied manifests.
        moved_bytes: bytes of blobs read from the source.
        warnings: sentences about referrers that are left out or could not be copied.
    """

    count: int
    moved_bytes: int
    warnings: tuple[str, ...] = ()


def concerns_one_content(error: MirrorError) -> bool:
    """Return True if an error is about the content at hand, such as wrong bytes, and not about disk, line or pause.

    Anybody who may attach content to a plugin of an upstream can cause these errors.
    """
    if isinstance(error, DoesNotFit):  # a manifest may claim layers of any size
        return True
    return not isinstance(error, (StorageFault, UpstreamUnreachable, UpstreamPaused, Busy))


async def find_referrers(
    source: ReadLister,
    source_repository: Repository,
    subject: Digest,
    destination: CopyDestination,
    *,
    listed: Collection[Tag],
    most: int = MOST_REFERRERS,
) -> FoundReferrers:
    """Find the referrers of a manifest, and their referrers, which the destination does not hold.

    If there are more than ``most``, the newest are taken: by ``org.opencontainers.image.created``, and the referrers
    without this annotation last, in the order of the list.

    Args:
        source: registry that lists the referrers.
        source_repository: repository at the source.
        subject: digest of the manifest.
        destination: repository that may hold referrers already.
        listed: tags of the source repository, which may save requests.
        most: largest number of referrers, including those that the destination holds.

    Raises:
        MirrorError: an error that does not concern single content (:func:`concerns_one_content`).
    """
    found: dict[Digest, Descriptor] = {}
    warnings: list[str] = []
    level = [subject] if most else []
    for _ in range(_MOST_LEVELS):
        newly: dict[Digest, Descriptor] = {}
        for about in level:
            if _has_none(source, about, listed):
                continue
            entries, warning = await _referrers(source, source_repository, about)
            warnings += [warning] if warning else []
            # The list is not trusted: it may repeat a referrer at another level, or name the subject itself.
            newly |= {each.digest: each for each in entries if each.digest not in found and each.digest != subject}
            # The list is bounded, and so is the number of lists. No more is kept than may be taken.
            newly = {each.digest: each for each in _newest_first(newly.values())[: most + 1]}
        level = list(newly)[: most - len(found)]
        found |= {digest: newly[digest] for digest in level}
        if len(newly) > len(level):
            warnings.append(
                f"{source_repository}@{subject} has more than {most} referrers, so only the newest are copied; "
                "fix: raise referrers.most of the rule if they are wanted"
            )
        # Not to ask for the referrers of each of them, if none may be taken.
        if len(found) == most:
            break
    return FoundReferrers(
        tuple([referrer for referrer in found.values() if not await _holds(destination, referrer.digest)]),
        tuple(warnings),
    )


async def copy_referrers(
    source: ReadLister,
    source_repository: Repository,
    subject: Digest,
    destination: CopyDestination,
    progress: Progress,
    *,
    listed: Collection[Tag],
    locks: BlobLocks,
    most: int = MOST_REFERRERS,
) -> CopiedReferrers:
    """Copy the referrers of a manifest which the destination does not hold.

    A referrer that cannot be copied does not stop the others, and is told in the warnings. Arguments and errors are
    those of :func:`find_referrers`.
    """
    found = await find_referrers(source, source_repository, subject, destination, listed=listed, most=most)
    origin = CopySource(source, source_repository)
    count, moved_bytes, broken = 0, 0, list[str]()
    for referrer in found.missing:
        try:
            copied = await copy_graph(origin, referrer.digest, destination, (), progress, locks=locks)
        except MirrorError as error:
            if not concerns_one_content(error):
                raise
            broken.append(f"{referrer.digest}: {error}")
            continue
        count, moved_bytes = count + 1, moved_bytes + copied.moved_bytes
    warnings = found.warnings
    if broken:
        others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        warnings += (f"a referrer of {source_repository}@{subject} was not copied: {broken[0]}{others}",)
    return CopiedReferrers(count, moved_bytes, warnings)


def keeps_under_tags(source: ReadLister) -> bool:
    """Return True if a registry is known to lack the referrers API, so its referrers are only found through tags."""
    # No protocol with isinstance(): sources wrap sources, each test would ask twice, and each tag of a run asks.
    return bool(getattr(source, "keeps_referrers_under_tags", False))


def _has_none(source: ReadLister, subject: Digest, listed: Collection[Tag]) -> bool:
    """Return True if the tags of the source prove a manifest to have no referrers."""
    # Without the referrers API, an index of referrers lies under a tag made of the subject's digest (distribution-spec,
    # "Referrers Tag Schema"). If that tag is not listed, no request is needed.
    return keeps_under_tags(source) and fallback_tag(subject) not in listed


async def _referrers(
    source: ReadLister, source_repository: Repository, subject: Digest
) -> tuple[list[Descriptor], str]:
    """Return the referrers of a manifest as far as they can be listed, and a warning if there may be more."""
    entries: list[Descriptor] = []
    # Page by page. A page may claim more entries although it is empty, which would never end.
    last: str | None = None
    while True:
        try:
            page = await source.list_referrers(source_repository, subject, None, PageRequest(last=last))
        except MirrorError as error:
            if not concerns_one_content(error):
                raise
            return entries, f"the referrers of {source_repository}@{subject} could not be listed: {error}"
        entries += page.entries
        if page.shortened:
            return entries, f"the list of referrers of {source_repository}@{subject} is too long to be read to its end"
        if not page.more or not page.entries:
            return entries, ""
        last = str(page.entries[-1].digest)


def _newest_first(referrers: Iterable[Descriptor]) -> list[Descriptor]:
    return sorted(referrers, key=_created, reverse=True)  # stable: without times, the order of the list stays


def _created(referrer: Descriptor) -> datetime:
    try:
        moment = datetime.fromisoformat(referrer.annotations.get(_CREATED, ""))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return _NEVER


async def _holds(destination: CopyDestination, digest: Digest) -> bool:
    try:
        await destination.registry.resolve(destination.repository, digest)
    except NotFound:
        return False
    return True
