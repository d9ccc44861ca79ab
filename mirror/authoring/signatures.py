"""Signatures and other statements about content: referrers, and the tags that cosign derives from digests."""

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
    """A manifest that refers to content. Its claims are not verified here.

    Attributes:
        what: ``cosign signature`` or similar, or the artifact type of a referrer.
        digest: digest of the manifest.
        tag: tag under which the manifest was found. None for a referrer.
    """

    what: str
    digest: Digest
    tag: Tag | None = None


async def signatures(registry: ReadLister, repository: Repository, digest: Digest) -> tuple[Signature, ...]:
    """Return the manifests that refer to a manifest: cosign tags, and the first page of referrers.

    Raises:
        MirrorError: any error of the registry.
    """
    return tuple([found async for found in _signatures(registry, repository, digest)])


async def _signatures(registry: ReadLister, repository: Repository, digest: Digest) -> AsyncIterator[Signature]:
    # cosign uses such tags by default, and OCI referrers with an option.
    for ending, what in _COSIGN_TAGS.items():
        tag = Tag(f"{fallback_tag(digest)}.{ending}")
        try:
            held = await registry.resolve(repository, tag)
        except NotFound:
            continue
        yield Signature(what, held.digest, tag)
    for referrer in (await registry.list_referrers(repository, digest, None, PageRequest())).entries:
        yield Signature(referrer.artifact_type or referrer.media_type, referrer.digest)
