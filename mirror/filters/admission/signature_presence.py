"""Whether a signature is there. It is not verified, and nothing is said of who made it."""

from __future__ import annotations

from typing import Final

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import NotFound
from mirror.registry.port import Registry
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers_fallback import fallback_tag

_FIRST_REFERRERS: Final = PageRequest(limit=1000)

#: How the types of signatures begin, by those who make them: cosign, the same in its newer form, notation.
_SIGNATURES: Final = (
    "application/vnd.dev.cosign.artifact.sig.",
    "application/vnd.dev.sigstore.bundle.",
    "application/vnd.cncf.notary.signature",
)


async def is_signed(registry: Registry, repository: Repository, digest: Digest) -> bool:
    """Whether a signature refers to a manifest, as a referrer or under the tag where cosign puts it."""
    found = await registry.list_referrers(repository, digest, None, _FIRST_REFERRERS)
    if any((referrer.artifact_type or "").startswith(_SIGNATURES) for referrer in found.entries):
        return True
    try:
        await registry.resolve(repository, Tag(f"{fallback_tag(digest)}.sig"))
    except NotFound:
        return False
    return True
