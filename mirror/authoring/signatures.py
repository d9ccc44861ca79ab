"""What is signed, or otherwise told, about content: referrers, and the tags that cosign makes of digests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import NotFound
from mirror.registry.port import ReadLister
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers_fallback import fallback_tag

_COSIGN_TAGS: Final = {"sig": "cosign signature", "att": "cosign attestation", "sbom": "cosign SBOM"}


@dataclass(frozen=True, slots=True)
class Signature:
    """Something that refers to content. It is present; whether it is true is for its maker's tools to say.

    Attributes:
        what: ``cosign signature``, or the type of the artifact that refers to it.
        digest: of its manifest.
        tag: the tag that it was found under; None where it is a referrer.
    """

    what: str
    digest: Digest
    tag: Tag | None = None


async def signatures(registry: ReadLister, repository: Repository, digest: Digest) -> tuple[Signature, ...]:
    """What refers to a manifest, the first page of it.

    Raises:
        Whatever the registry raises.
    """
    return tuple([found async for found in _signatures(registry, repository, digest)])


async def _signatures(registry: ReadLister, repository: Repository, digest: Digest) -> AsyncIterator[Signature]:
    for ending, what in _COSIGN_TAGS.items():
        tag = Tag(f"{fallback_tag(digest)}.{ending}")
        try:
            held = await registry.resolve(repository, tag)
        except NotFound:
            continue
        yield Signature(what, held.digest, tag)
    for referrer in (await registry.list_referrers(repository, digest, None, PageRequest())).entries:
        yield Signature(referrer.artifact_type or referrer.media_type, referrer.digest)
