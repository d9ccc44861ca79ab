"""The content of a future bundle: where each manifest and blob is read. Read like a registry."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, UpstreamProtocolError
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.port import Blob, Reader
from mirror.runtime.lru_cache import LruCache
from mirror.wire.ranges import RangeRequest

#: Bytes of manifests kept in memory. Manifests beyond are read again when they are written.
_MOST_REMEMBERED_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class UpstreamPlace:
    """Place of a manifest or blob.

    Attributes:
        registry: registry that holds the content.
        repository: repository at the registry.
        media_type: media type of a manifest; empty for a blob.
        size_bytes: size of the content.
        is_config: True for the config of a manifest.
    """

    registry: Reader
    repository: Repository
    media_type: str
    size_bytes: int
    is_config: bool = False

    @property
    def is_early(self) -> bool:
        """True for manifests and configs, which stand before the layers."""
        return bool(self.media_type) or self.is_config


class CollectedContent:
    """Manifests and blobs of several registries, by digest. Implements :class:`mirror.registry.port.Reader`.

    The repository of a request does not matter: content is the same everywhere.

    Attributes:
        places: place of each digest.
    """

    def __init__(self) -> None:
        self.places: dict[Digest, UpstreamPlace] = {}
        # The bytes alone: a parsed manifest takes ten times as much.
        self._remembered: LruCache[Digest, bytes] = LruCache(_MOST_REMEMBERED_BYTES)

    def add_manifest(self, registry: Reader, repository: Repository, manifest: Manifest) -> None:
        """Add a manifest with its config and layers, except for foreign layers."""
        place = UpstreamPlace(registry, repository, manifest.media_type, manifest.size_bytes)
        # A digest may be a manifest for one manifest and a layer for another one. Then it stands early.
        self.places[manifest.digest] = place
        self._remembered.put(manifest.digest, manifest.content, manifest.size_bytes)
        self.add_blobs(registry, repository, manifest.blobs, manifest.config)

    def add_blobs(
        self, registry: Reader, repository: Repository, blobs: Iterable[Descriptor], config: Descriptor | None = None
    ) -> None:
        """Add blobs.

        Raises:
            UpstreamProtocolError: two manifests state different sizes for one digest.
        """
        for blob in blobs:
            is_config = config is not None and blob.digest == config.digest
            known = self.places.get(blob.digest)
            if known is not None and known.size_bytes != blob.size_bytes:
                raise UpstreamProtocolError(
                    f"manifests state two sizes for {blob.digest}: {known.size_bytes} and {blob.size_bytes} bytes",
                    digest=blob.digest,
                )
            if known is None or (is_config and not known.is_early):
                self.places[blob.digest] = UpstreamPlace(registry, repository, "", blob.size_bytes, is_config)

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        place = self.places.get(target) if isinstance(target, Digest) else None
        if place is None or not place.media_type or not isinstance(target, Digest):
            raise ManifestUnknown(f"the bundle does not hold {repository} {target}", name=repository)
        return Descriptor(place.media_type, target, place.size_bytes)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        found = await self.resolve(repository, target)
        if (remembered := self._remembered.get(found.digest)) is not None:
            return Manifest.parse_stored(remembered, found.media_type, found.digest)
        place = self.places[found.digest]
        return await place.registry.get_manifest(place.repository, found.digest)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return Descriptor(OCTET_STREAM, digest, self._blob(repository, digest).size_bytes)

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        place = self._blob(repository, digest)
        return place.registry.open_blob(place.repository, digest, part, place.size_bytes)

    def _blob(self, repository: Repository, digest: Digest) -> UpstreamPlace:
        place = self.places.get(digest)
        if place is None or place.media_type:
            raise BlobUnknown(f"the bundle does not hold the blob {digest}", name=repository, digest=digest)
        return place
