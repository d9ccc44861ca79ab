"""Copies of referrers, such as signatures and attestations (distribution-spec, "Listing Referrers")."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import NotFound, UpstreamProtocolError
from mirror.registry.port import ReadLister
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import Progress
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers_fallback import fallback_tag

#: Levels of referrers to follow. A signature of an attestation of a plugin is at level 2.
_MOST_LEVELS = 4
# The upstream decides how many referrers there are, so their number is bounded.
_MOST_REFERRERS = 1000


@runtime_checkable
class KeepsUnderTags(Protocol):
    """Registry that may lack the referrers API, so its referrers are only found through tags."""

    @property
    def keeps_referrers_under_tags(self) -> bool:
        """True if the registry is known to lack the referrers API."""
        ...


@dataclass(frozen=True, slots=True)
class CopiedReferrers:
    """Number of copied manifests, and bytes of blobs read from the source for them."""

    count: int
    moved_bytes: int


async def missing_referrers(
    source: ReadLister,
    source_repository: Repository,
    subject: Digest,
    destination: CopyDestination,
    listed: Collection[Tag],
) -> list[Descriptor]:
    """Find the referrers of a manifest, and their referrers, which the destination does not hold.

    Args:
        source: registry that lists the referrers.
        source_repository: repository at the source.
        subject: digest of the manifest.
        destination: repository that may hold referrers already.
        listed: tags of the source repository, which may save requests.

    Returns:
        Each missing referrer once, subjects before their referrers.

    Raises:
        UpstreamProtocolError: there are more than 1000 referrers.
        MirrorError: any error of source or destination.
    """
    found: dict[Digest, Descriptor] = {}
    level = [subject]
    for _ in range(_MOST_LEVELS):
        newly: dict[Digest, Descriptor] = {}
        for about in level:
            if _has_none(source, about, listed):
                continue
            async for referrer in _referrers(source, source_repository, about):
                # The list is not trusted: it may repeat a referrer at another level, or name the subject itself.
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
    """Copy the referrers of a manifest which the destination does not hold.

    Arguments and errors are those of :func:`missing_referrers` and :func:`mirror.transfer.copy_engine.copy_graph`.
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
    """Return True if the tags of the source prove a manifest to have no referrers."""
    # Without the referrers API, an index of referrers lies under a tag made of the subject's digest (distribution-spec,
    # "Referrers Tag Schema"). If that tag is not listed, no request is needed.
    by_tag = isinstance(source, KeepsUnderTags) and source.keeps_referrers_under_tags
    return by_tag and fallback_tag(subject) not in listed


async def _referrers(source: ReadLister, source_repository: Repository, subject: Digest) -> AsyncIterator[Descriptor]:
    # Page by page. A page may claim more entries although it is empty, which would never end.
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
