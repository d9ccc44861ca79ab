"""Fingerprints of plugins in a registry, by which a rejection recognises a plugin."""

from __future__ import annotations

import asyncio
from typing import Final

from cachetools import LRUCache

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.digest import new_hasher
from mirror.oci.errors import BlobUnknown
from mirror.plugin.policy import fingerprint
from mirror.registry.port import Reader

#: Size in bytes of the largest manifest hashed in the event loop, which takes 0.2 ms.
_SMALL_BYTES: Final = 64 * 1024
#: Plugins, and blobs without a sha256 digest, kept in memory.
_MOST_KEPT: Final = 1024
#: Blobs without a sha256 digest read at the same time.
_READ_AT_ONCE: Final = 2


class Fingerprints:
    """Computes fingerprints of plugins and keeps them in memory."""

    def __init__(self) -> None:
        self._known: LRUCache[Digest, tuple[str, ...]] = LRUCache(_MOST_KEPT)
        self._sha256: LRUCache[Digest, Digest] = LRUCache(_MOST_KEPT)
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)

    async def of(self, registry: Reader, repository: Repository, manifest: Manifest) -> tuple[str, ...]:
        """Return all fingerprints of a plugin.

        The fingerprint of the content is left out while some of the content is missing. The first call reads all blobs
        with another digest algorithm than sha256.

        Args:
            registry: registry to read from.
            repository: repository of the plugin.
            manifest: manifest of the plugin.

        Raises:
            MirrorError: any error of the registry other than BlobUnknown.
        """
        known = self._known.get(manifest.digest)
        if known is not None:
            return known
        if manifest.size_bytes <= _SMALL_BYTES:
            of_bytes = fingerprint.bytes_fingerprints(manifest.content)
        else:
            of_bytes = await asyncio.to_thread(fingerprint.bytes_fingerprints, manifest.content)
        content = fingerprint.content_digests(manifest)
        if not content:
            return of_bytes
        try:
            named = [await self._named(registry, repository, digest) for digest in content]
        except BlobUnknown:
            return of_bytes  # not kept: the content may still arrive
        known = self._known[manifest.digest] = (*of_bytes, fingerprint.content_fingerprint(named))
        return known

    async def _named(self, registry: Reader, repository: Repository, digest: Digest) -> Digest:
        """Return the sha256 digest of a blob."""
        # One content must have one fingerprint, whichever algorithm its manifest uses (ADR 20).
        if digest.algorithm == "sha256":
            return digest
        known = self._sha256.get(digest)
        if known is not None:
            return known
        hasher = new_hasher("sha256")
        async with self._reading, registry.open_blob(repository, digest) as blob:
            async for chunk in blob:
                await asyncio.to_thread(hasher.update, chunk)
        known = self._sha256[digest] = Digest("sha256", hasher.hexdigest())
        return known
