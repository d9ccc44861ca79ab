"""What the store's faces work with."""

from __future__ import annotations

from mirror.runtime.clock import Clock
from mirror.store.blobs import Blobs
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
