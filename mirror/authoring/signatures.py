"""Signatures and other statements about content: referrers, and the tags that cosign derives from digests."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import NotFound
from mirror.registry.port import ReadLister
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers_fallback import fallback_tag

#: Most referrers that are listed.
MOST_REFERRERS: Final = 10_000
_CREATED: Final = "org.opencontainers.image.created"
_COSIGN_TAGS: Final = {"sig": "cosign signature", "att": "cosign attestation", "sbom": "cosign SBOM"}


@dataclass(frozen=True, slots=True)
class HeldSignature:
    """A manifest that refers to content. Its claims are not verified here.

    Attributes:
        what: ``cosign signature`` or similar, or the artifact type of a referrer.
        digest: digest of the manifest.
        tag: tag under which the manifest was found. None for a referrer.
        created: time of creation that a referrer states about itself. None if it states none.
    """

    what: str
    digest: Digest
    tag: Tag | None = None
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class SignatureSummary:
    """Many manifests that refer to content, in a few lines.

    Attributes:
        total: number of manifests.
        kinds: what they are, with their numbers, the most frequent first.
        newest: some of those that state a time of creation, the newest first.
    """

    total: int
    kinds: tuple[tuple[str, int], ...]
    newest: tuple[HeldSignature, ...]

    @classmethod
    def of(cls, found: Sequence[HeldSignature], most_newest: int) -> SignatureSummary:
        """Summarise manifests, with at most ``most_newest`` of the newest."""
        dated = [(one.created, one) for one in found if one.created is not None]
        newest = heapq.nlargest(most_newest, dated, key=lambda entry: (entry[0], str(entry[1].digest)))
        kinds = Counter(one.what for one in found).most_common()
        return cls(len(found), tuple(kinds), tuple(one for _, one in newest))


async def signatures(registry: ReadLister, repository: Repository, digest: Digest) -> tuple[HeldSignature, ...]:
    """Return the manifests that refer to a manifest: cosign tags, and at most :data:`MOST_REFERRERS` referrers.

    Raises:
        MirrorError: any error of the registry.
    """
    return tuple([found async for found in _signatures(registry, repository, digest)])


async def _signatures(registry: ReadLister, repository: Repository, digest: Digest) -> AsyncIterator[HeldSignature]:
    # cosign uses such tags by default, and OCI referrers with an option.
    for ending, what in _COSIGN_TAGS.items():
        tag = Tag(f"{fallback_tag(digest)}.{ending}")
        try:
            held = await registry.resolve(repository, tag)
        except NotFound:
            continue
        yield HeldSignature(what, held.digest, tag)
    page, left = PageRequest(), MOST_REFERRERS
    while True:
        listed = await registry.list_referrers(repository, digest, None, page)
        for referrer in listed.entries[:left]:
            created = _time(referrer.annotations.get(_CREATED))
            yield HeldSignature(referrer.artifact_type or referrer.media_type, referrer.digest, created=created)
        left -= len(listed.entries)
        # A page may be shorter than asked for although more follow.
        if not listed.more or not listed.entries or left <= 0:
            return
        page = PageRequest(last=str(listed.entries[-1].digest))


def _time(text: object) -> datetime | None:
    """Parse a time of RFC 3339. Return None for anything else. A time without a zone counts as UTC."""
    try:
        time = datetime.fromisoformat(str(text))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
