"""Copies of referrers: signatures, attestations and the like (distribution-spec, "Listing Referrers")."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import NotFound, UpstreamProtocolError
from mirror.registry.port import ReadLister
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import CopyDestination, CopySource, copy_graph
from mirror.transfer.progress_reporting import Progress
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers_fallback import fallback_tag

#: How many levels are followed: a signature of an attestation of a plugin is at level 2.
_MOST_LEVELS = 4
_MOST_REFERRERS = 1000


@runtime_checkable
class KeepsUnderTags(Protocol):
    """A registry that may have no referrers API: then only tags lead to referrers."""

    @property
    def keeps_referrers_under_tags(self) -> bool:
        """Whether the registry is known to have no referrers API."""
        ...


@dataclass(frozen=True, slots=True)
class CopiedReferrers:
    """Number of manifests that were copied, and bytes of blobs that were read from the source for them."""

    count: int
    moved_bytes: int


async def missing_referrers(
    source: ReadLister,
    source_repository: Repository,
    subject: Digest,
    destination: CopyDestination,
    listed: Collection[Tag],
) -> list[Descriptor]:
    """Find the referrers of a manifest at the source, and theirs, that the destination does not hold.

    Args:
        source, source_repository: where referrers are listed.
        subject: the manifest.
        destination: where they may be held already.
        listed: the tags of the source repository: they may save a request.

    Returns:
        Each once, subjects before what refers to them.

    Raises:
        UpstreamProtocolError: there are too many.
        And whatever source and destination raise.
    """
    found: dict[Digest, Descriptor] = {}
    level = [subject]
    for _ in range(_MOST_LEVELS):
        newly: dict[Digest, Descriptor] = {}
        for about in level:
            if _has_none(source, about, listed):
                continue
            async for referrer in _referrers(source, source_repository, about):
                if referrer.digest not in found and referrer.digest != subject:
                    newly[referrer.digest] = referrer
                if len(found) + len(newly) > _MOST_REFERRERS:
                    raise UpstreamProtocolError(
                        f"{source_repository}@{subject} has more than {_MOST_REFERRERS} referrers"
                    )
        found |= newly
        level = list(newly)
    return [referrer for referrer in found.values() if not await _holds(destination, referrer.digest)]


async def copy_referrers(
    source: ReadLister,
    source_repository: Repository,
    subject: Digest,
    destination: CopyDestination,
    progress: Progress,
    *,
    listed: Collection[Tag],
    locks: BlobLocks,
) -> CopiedReferrers:
    """Copy the referrers of a manifest that the destination does not hold.

    Arguments and errors are as for :func:`missing_referrers` and :func:`mirror.transfer.copy_engine.copy_graph`.
    """
    missing = await missing_referrers(source, source_repository, subject, destination, listed)
    moved_bytes = 0
    for referrer in missing:
        copied = await copy_graph(
            CopySource(source, source_repository), referrer.digest, destination, (), progress, locks=locks
        )
        moved_bytes += copied.moved_bytes
    return CopiedReferrers(len(missing), moved_bytes)


def _has_none(source: ReadLister, subject: Digest, listed: Collection[Tag]) -> bool:
    """Tell whether the tags show that a manifest has no referrers."""
    by_tag = isinstance(source, KeepsUnderTags) and source.keeps_referrers_under_tags
    return by_tag and fallback_tag(subject) not in listed


async def _referrers(source: ReadLister, source_repository: Repository, subject: Digest) -> AsyncIterator[Descriptor]:
    last: str | None = None
    while True:
        page = await source.list_referrers(source_repository, subject, None, PageRequest(last=last))
        for referrer in page.entries:
            yield referrer
        if not page.more or not page.entries:
            return
        last = str(page.entries[-1].digest)


async def _holds(destination: CopyDestination, digest: Digest) -> bool:
    try:
        await destination.registry.resolve(destination.repository, digest)
    except NotFound:
        return False
    return True
