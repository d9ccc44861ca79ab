"""Cache of what was read from the catalog, valid for as long as nobody changes the catalog."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.records.origins import Origin
from mirror.runtime.lru_cache import LruCache
from mirror.store.catalog.generation import Generation

#: About what one entry takes beside the bytes of a manifest, in bytes: keys, tuples, the dictionary's slots.
_ENTRY_BYTES = 512
#: Memory for users and tokens that were looked up, in bytes.
_LOGINS_BYTES = 1024 * 1024
#: Memory of a parsed manifest, bytes included, as a multiple of its bytes: measured 3.9 for plugins, 4.6 for indexes.
_PARSED_FACTOR = 5


@dataclass(slots=True)
class CacheCounts:
    """Hits and misses of the cache."""

    manifest_hits: int = 0
    manifest_misses: int = 0
    blob_size_hits: int = 0
    blob_size_misses: int = 0


class CatalogCache:
    """Manifests and blob sizes, coherent over all processes on the data folder.

    A manifest's parsed bytes never change and are kept through changes of the catalog; what a repository holds is
    kept with the generation it was read under. Absence of content is not kept.

    Args:
        generation: the count that every writer moves.
        limit_bytes: memory to use, about.

    Attributes:
        lookups: how many there were, by what was looked for and whether it was found.
    """

    def __init__(self, generation: Generation, limit_bytes: int) -> None:
        self.lookups = CacheCounts()
        self._generation = generation
        self._bodies: LruCache[str, Manifest] = LruCache(limit_bytes // 2)
        self._targets: LruCache[tuple[Repository, Tag | Digest], tuple[int, str]] = LruCache(limit_bytes // 4)
        self._sizes: LruCache[tuple[Repository, Digest], tuple[int, int]] = LruCache(limit_bytes // 4)
        self._logins: LruCache[tuple[str, str], tuple[int, object]] = LruCache(_LOGINS_BYTES)
        self._origins: LruCache[tuple[Repository, Tag | Digest], tuple[int, Origin | None]] = LruCache(limit_bytes // 4)

    @property
    def generation(self) -> int | None:
        """To be taken before the catalog is read, and handed back with what was read; None: nothing will be kept."""
        return self._generation.settled

    def manifest(self, repository: Repository, target: Tag | Digest) -> Manifest | None:
        """The manifest of ``target`` now; None where that is not known."""
        held = self._targets.get((repository, target))
        # Kept entries carry even counts, so one that equals the current count was not overtaken.
        if held is not None and held[0] == self._generation.current:
            manifest = self._bodies.get(held[1])
            if manifest is not None:
                self.lookups.manifest_hits += 1
                return manifest
        self.lookups.manifest_misses += 1
        return None

    def body(self, digest: Digest, media_type: str) -> Manifest | None:
        """The manifest of that digest and type, whoever holds it. Any thread may ask."""
        return self._bodies.peek(_body_key(digest, media_type))

    def keep_manifest(
        self, generation: int | None, repository: Repository, target: Tag | Digest, manifest: Manifest
    ) -> None:
        """Keep what was read under ``generation``."""
        key = self.keep_body(manifest)
        if generation is not None:
            self._targets.put((repository, target), (generation, key), _ENTRY_BYTES)

    def keep_body(self, manifest: Manifest) -> str:
        """Keep a manifest, whoever holds it; gives its key."""
        key = _body_key(manifest.digest, manifest.media_type)
        if self._bodies.get(key) is not manifest:
            self._bodies.put(key, manifest, _ENTRY_BYTES + _PARSED_FACTOR * manifest.size_bytes)
        return key

    def blob_size(self, repository: Repository, digest: Digest) -> int | None:
        """The size in bytes of a blob that the repository holds now, if known."""
        held = self._sizes.get((repository, digest))
        if held is not None and held[0] == self._generation.current:
            self.lookups.blob_size_hits += 1
            return held[1]
        self.lookups.blob_size_misses += 1
        return None

    def keep_blob_size(self, generation: int | None, repository: Repository, digest: Digest, size_bytes: int) -> None:
        """Keep what was read under ``generation``."""
        if generation is not None:
            self._sizes.put((repository, digest), (generation, size_bytes), _ENTRY_BYTES)

    def origin(self, repository: Repository, target: Tag | Digest) -> tuple[Origin | None] | None:
        """Where ``target`` came from, if anywhere; None where that is not known."""
        held = self._origins.get((repository, target))
        return None if held is None or held[0] != self._generation.current else held[1:]

    def keep_origin(
        self, generation: int | None, repository: Repository, target: Tag | Digest, origin: Origin | None
    ) -> None:
        """Keep what was read under ``generation``; also that there is none, because each pull asks for it."""
        if generation is not None:
            self._origins.put((repository, target), (generation, origin), _ENTRY_BYTES)

    def login(self, key: tuple[str, str]) -> tuple[object] | None:
        """The user or token that was found under ``key``, in a tuple; None where that is not known."""
        held = self._logins.get(key)
        return None if held is None or held[0] != self._generation.current else held[1:]

    def keep_login(self, generation: int | None, key: tuple[str, str], found: object) -> None:
        """Keep what was read under ``generation`` of users and their tokens; also that there is none."""
        if generation is not None:
            self._logins.put(key, (generation, found), _ENTRY_BYTES)


def _body_key(digest: Digest, media_type: str) -> str:
    return f"{digest.hex} {media_type}"
