"""What the store's faces work with."""

from __future__ import annotations

from collections.abc import Hashable

from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.runtime.clock import Clock
from mirror.runtime.heavy_work import HeavyWork
from mirror.runtime.single_flight import SingleFlight
from mirror.store.blobs import Blobs
from mirror.store.bodies import load_manifest
from mirror.store.cache import Cache
from mirror.store.catalog.engine import Catalog
from mirror.store.uploads import Uploads
from mirror.store.volume import Volume


class StoreParts:
    """Holds the parts: the start of each face of the store."""

    def __init__(
        self, *, catalog: Catalog, blobs: Blobs, uploads: Uploads, volume: Volume, cache: Cache, clock: Clock
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._uploads = uploads
        self._volume = volume
        self._cache = cache
        self._clock = clock
        self._heavy = HeavyWork()
        self._reading: SingleFlight[Hashable, Manifest] = SingleFlight()

    def _body(self, digest: Digest, media_type: str, size_bytes: int) -> Manifest:
        """A manifest by what its row says, out of memory or off the disk. Blocks. Raises StorageDamaged."""
        manifest = self._cache.body(digest, media_type)
        return manifest or load_manifest(self._blobs, digest, media_type, size_bytes)
