"""Sign content of a registry, and verify the signatures of content."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.name_pattern import NamePattern
from mirror.oci.timestamps import machine_time
from mirror.registry.port import ReadLister, Registry
from mirror.registry.signature_reading import checked_signatures
from mirror.registry.streams import single_chunk
from mirror.signing.claim import simple_signing_payload
from mirror.signing.private_keys import PrivateKey
from mirror.signing.public_keys import PublicKey
from mirror.signing.signature_manifest import CONFIG, signature_manifest
from mirror.signing.signature_verification import VerifiedContent

_CREATOR: Final = "docker-plugin-mirror"


@dataclass(frozen=True, slots=True)
class SignedContent:
    """A signature that was made.

    Attributes:
        name: name of the content in the signature.
        subject: digest of the signed manifest.
        signature: digest of the manifest of the signature.
        key: the key that verifies it.
        expires_at: time in UTC from which the signature does not count any more; None for no end.
    """

    name: str
    subject: Digest
    signature: Digest
    key: PublicKey
    expires_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """Return the signature as plain values."""
        return {
            "name": self.name,
            "digest": str(self.subject),
            "signature": str(self.signature),
            "key": self.key.name,
            "fingerprint": self.key.fingerprint,
            "expires_at": machine_time(self.expires_at),
        }


async def sign_content(
    registry: Registry,
    repository: Repository,
    target: Tag | Digest,
    key: PrivateKey,
    *,
    name: str,
    now: datetime,
    expires_at: datetime | None = None,
) -> SignedContent:
    """Sign a manifest, and store the signature as a referrer in its repository, as cosign reads it.

    Args:
        registry: registry of the manifest.
        repository: repository of the manifest.
        target: tag or digest of the manifest.
        key: the key.
        name: name of the content in the signature.
        now: the present time, in UTC.
        expires_at: time from which the signature does not count any more; None for no end.

    Raises:
        ManifestUnknown, RepositoryUnknown: the manifest does not exist.
        MirrorError: any error of the registry.
    """
    subject = (await registry.get_manifest(repository, target)).descriptor
    payload = simple_signing_payload(name, subject.digest, _CREATOR, now, expires_at)
    manifest = signature_manifest(subject, payload, key.sign(payload))
    for content in (CONFIG, payload):
        await _store(registry, repository, content)
    await registry.put_manifest(repository, manifest)
    return SignedContent(name, subject.digest, manifest.digest, key.public, expires_at)


async def verify_content(
    registry: ReadLister,
    repository: Repository,
    digest: Digest,
    keys: Sequence[PublicKey],
    *,
    names: Collection[Repository],
    patterns: Sequence[NamePattern],
    now: datetime,
) -> VerifiedContent:
    """Verify the signatures of a manifest.

    Args:
        registry: registry of the manifest.
        repository: repository of the manifest.
        digest: digest of the manifest.
        keys: the known keys.
        names: names under which a signer may know the content, besides its own.
        patterns: patterns of further such names.
        now: the present time, in UTC.

    Raises:
        MirrorError: any error of the registry.
    """
    found = await checked_signatures(registry, repository, digest, keys, now)
    return VerifiedContent(digest, frozenset((repository, *names)), found, tuple(patterns))


async def _store(registry: Registry, repository: Repository, content: bytes) -> Descriptor:
    upload = await registry.begin_upload(repository)
    await upload.append(single_chunk(content))
    return await upload.commit(Digest.of(content))
