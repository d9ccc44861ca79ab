"""Signatures, attestations and the like follow what they are about (distribution-spec, "Listing Referrers")."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import NotFound, UpstreamLied
from mirror.oci.names import Repository, Tag
from mirror.registry.port import ReadLister
from mirror.transfer.concurrency import Turns
from mirror.transfer.copy import Destination, Origin, copy_graph
from mirror.transfer.progress import Progress
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers import fallback_tag

#: How far it goes: a signature of an attestation of a plugin is at level 2.
_MOST_LEVELS = 4
_MOST_REFERRERS = 1000


@runtime_checkable
class KeepsUnderTags(Protocol):
    """A registry that may have no API for referrers: then only tags lead to them, and those that it lists tell."""

    @property
    def keeps_referrers_under_tags(self) -> bool:
        """Whether it is known to have none."""
        ...


@dataclass(frozen=True, slots=True)
class CopiedReferrers:
    """What was copied: how many manifests, and how many bytes of blobs were read from the source for them."""

    count: int
    moved_bytes: int


async def missing_referrers(
    source: ReadLister, there: Repository, subject: Digest, destination: Destination, listed: Collection[Tag]
) -> list[Descriptor]:
    """Find what refers to a manifest at the source, and to that in turn, and is not here yet.

    Args:
        source, there: where it is looked for.
        subject: the manifest.
        destination: where it may be held.
        listed: the tags that ``there`` has: they may spare a question.

    Returns:
        Each once, subjects before what refers to them.

    Raises:
        UpstreamLied: there is no end to it.
        And whatever source and destination raise.
    """
    found: dict[Digest, Descriptor] = {}
    level = [subject]
    for _ in range(_MOST_LEVELS):
        newly: dict[Digest, Descriptor] = {}
        for about in level:
            if _has_none(source, about, listed):
                continue
            async for referrer in _referrers(source, there, about):
                if referrer.digest not in found and referrer.digest != subject:
                    newly[referrer.digest] = referrer
                if len(found) + len(newly) > _MOST_REFERRERS:
                    raise UpstreamLied(f"{there}@{subject} has more than {_MOST_REFERRERS} referrers")
        found |= newly
        level = list(newly)
    return [referrer for referrer in found.values() if not await _holds(destination, referrer.digest)]


async def copy_referrers(
    source: ReadLister,
    there: Repository,
    subject: Digest,
    destination: Destination,
    progress: Progress,
    *,
    listed: Collection[Tag],
    turns: Turns,
) -> CopiedReferrers:
    """Copy what refers to a manifest and is not here yet.

    Arguments and errors are as for :func:`missing_referrers` and :func:`mirror.transfer.copy.copy_graph`.
    """
    missing = await missing_referrers(source, there, subject, destination, listed)
    moved_bytes = 0
    for referrer in missing:
        copied = await copy_graph(Origin(source, there), referrer.digest, destination, (), progress, turns=turns)
        moved_bytes += copied.moved_bytes
    return CopiedReferrers(len(missing), moved_bytes)


def _has_none(source: ReadLister, subject: Digest, listed: Collection[Tag]) -> bool:
    """Whether the tags say that nothing refers to it, as far as the registry can tell."""
    by_tag = isinstance(source, KeepsUnderTags) and source.keeps_referrers_under_tags
    return by_tag and fallback_tag(subject) not in listed


async def _referrers(source: ReadLister, there: Repository, subject: Digest) -> AsyncIterator[Descriptor]:
    last: str | None = None
    while True:
        page = await source.list_referrers(there, subject, None, PageRequest(last=last))
        for referrer in page.entries:
            yield referrer
        if not page.more or not page.entries:
            return
        last = str(page.entries[-1].digest)


async def _holds(destination: Destination, digest: Digest) -> bool:
    try:
        await destination.registry.resolve(destination.repository, digest)
    except NotFound:
        return False
    return True
