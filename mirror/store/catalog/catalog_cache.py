"""Cache of results read from the catalog, valid until the next change of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.records.origins import Origin
from mirror.runtime.lru_cache import LruCache
from mirror.store.catalog.generation import Generation

#: Approximate memory of one entry without the bytes of a manifest: keys, tuples, slots of the dictionary.
_ENTRY_BYTES = 512
#: Memory for users and access tokens, in bytes.
_LOGINS_BYTES = 1024 * 1024
#: Memory of a parsed manifest with its bytes, as a multiple of its size: measured 3.9 for plugins, 4.6 for indexes.
_PARSED_FACTOR = 5


Found = TypeVar("Found")


class Held(NamedTuple, Generic[Found]):
    """Content that a repository holds.

    Attributes:
        found: the manifest, or the size of the blob in bytes.
        counts_from: the time from which its review counts; None without a review.
    """

    found: Found
    counts_from: datetime | None = None


@dataclass(slots=True)
class CacheCounts:
    """Hits and misses of the cache."""

    manifest_hits: int = 0
    manifest_misses: int = 0
    blob_size_hits: int = 0
    blob_size_misses: int = 0


class CatalogCache:
    """Cache of manifests, blob sizes, origins and logins, coherent over all processes on the data folder.

    Parsed manifests never change and stay through changes of the catalog. Everything else is valid for the generation
    under which it was read. Missing manifests and blobs are not cached.

    Args:
        generation: the count that every writer increments.
        limit_bytes: approximate limit of the memory used.

    Attributes:
        lookups: hits and misses so far.
    """

    def __init__(self, generation: Generation, limit_bytes: int) -> None:
        self.lookups = CacheCounts()
        self._generation = generation
        self._bodies: LruCache[str, Manifest] = LruCache(limit_bytes // 2)
        self._targets: LruCache[tuple[Repository, Tag | Digest], tuple[int, Held[str]]] = LruCache(limit_bytes // 4)
        self._sizes: LruCache[tuple[Repository, Digest], tuple[int, Held[int]]] = LruCache(limit_bytes // 4)
        self._logins: LruCache[tuple[str, str], tuple[int, object]] = LruCache(_LOGINS_BYTES)
        self._origins: LruCache[tuple[Repository, Tag | Digest], tuple[int, Origin | None]] = LruCache(limit_bytes // 4)

    @property
    def generation(self) -> int | None:
        """The generation to take before reading the catalog and to pass to ``keep_…`` with the result.

        None while a change is being committed. Results read then are not kept.
        """
        return self._generation.settled

    def manifest(self, repository: Repository, target: Tag | Digest) -> Held[Manifest] | None:
        """Return the current manifest of ``target``, or None if the cache does not know it."""
        held = self._targets.get((repository, target))
        # Entries are kept with even counts only. If the count is the same, the catalog has not changed since.
        if held is not None and held[0] == self._generation.current:
            key, counts_from = held[1]
            manifest = self._bodies.get(key)
            if manifest is not None:
                self.lookups.manifest_hits += 1
                return Held(manifest, counts_from)
        self.lookups.manifest_misses += 1
        return None

    def body(self, digest: Digest, media_type: str) -> Manifest | None:
        """Return the manifest with this digest and media type in any repository, or None. Safe in any thread."""
        # peek() leaves the order of use alone, which only the event loop may change.
        return self._bodies.peek(_body_key(digest, media_type))

    def keep_manifest(
        self, generation: int | None, repository: Repository, target: Tag | Digest, held: Held[Manifest]
    ) -> None:
        """Keep a manifest that was read under ``generation``."""
        key = self.keep_body(held.found)
        if generation is not None:
            self._targets.put((repository, target), (generation, Held(key, held.counts_from)), _ENTRY_BYTES)

    def keep_body(self, manifest: Manifest) -> str:
        """Keep a parsed manifest for all repositories, and return its key."""
        key = _body_key(manifest.digest, manifest.media_type)
        if self._bodies.get(key) is not manifest:
            self._bodies.put(key, manifest, _ENTRY_BYTES + _PARSED_FACTOR * manifest.size_bytes)
        return key

    def blob(self, repository: Repository, digest: Digest) -> Held[int] | None:
        """Return the size in bytes of a blob that the repository holds, or None if the cache does not know it."""
        held = self._sizes.get((repository, digest))
        if held is not None and held[0] == self._generation.current:
            self.lookups.blob_size_hits += 1
            return held[1]
        self.lookups.blob_size_misses += 1
        return None

    def keep_blob(self, generation: int | None, repository: Repository, digest: Digest, held: Held[int]) -> None:
        """Keep the size of a blob that was read under ``generation``."""
        if generation is not None:
            self._sizes.put((repository, digest), (generation, held), _ENTRY_BYTES)

    def origin(self, repository: Repository, target: Tag | Digest) -> tuple[Origin | None] | None:
        """Return the origin of ``target`` in a tuple, which holds None if there is no origin.

        Return None if the cache does not know.
        """
        held = self._origins.get((repository, target))
        return None if held is None or held[0] != self._generation.current else held[1:]

    def keep_origin(
        self, generation: int | None, repository: Repository, target: Tag | Digest, origin: Origin | None
    ) -> None:
        """Keep an origin that was read under ``generation``, or None for no origin, because every pull asks for one."""
        if generation is not None:
            self._origins.put((repository, target), (generation, origin), _ENTRY_BYTES)

    def login(self, key: tuple[str, str]) -> tuple[object] | None:
        """Return the user or token found under ``key`` in a tuple, or None if the cache does not know."""
        held = self._logins.get(key)
        return None if held is None or held[0] != self._generation.current else held[1:]

    def keep_login(self, generation: int | None, key: tuple[str, str], found: object) -> None:
        """Keep a user or token that was read under ``generation``, or None for an unknown one."""
        if generation is not None:
            self._logins.put(key, (generation, found), _ENTRY_BYTES)


def _body_key(digest: Digest, media_type: str) -> str:
    return f"{digest.hex} {media_type}"
