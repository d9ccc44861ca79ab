"""Hashes of uploads that are still growing, kept in memory so that the end of an upload need not read it all again."""

from __future__ import annotations

from cachetools import LRUCache

from mirror.oci import Digest
from mirror.oci.digest import Hasher, new_hasher

#: Uploads whose hash is remembered between requests; the others are read again at their end.
_LIMIT = 4096


class RunningHash:
    """The hash of the first ``size_bytes`` bytes of an upload."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.size_bytes = 0
        self._hasher: Hasher = new_hasher(algorithm)

    def update(self, content: bytes | bytearray) -> None:
        self._hasher.update(content)
        self.size_bytes += len(content)

    @property
    def digest(self) -> Digest:
        return Digest(self.algorithm, self._hasher.hexdigest())


class RunningHashes:
    """The running hashes of this process, by upload id. Only who holds an upload's lock may take its hash."""

    def __init__(self) -> None:
        self._held: LRUCache[str, RunningHash] = LRUCache(_LIMIT)

    def take(self, upload_id: str, size_bytes: int) -> RunningHash | None:
        """The hash of an upload's ``size_bytes`` bytes; None where another process has received some of them.

        An upload only grows, except that what a failed append has added is cut off again, and such a hash is never
        put back: so a hash of as many bytes is one of the same bytes.
        """
        running = self._held.pop(upload_id, None)
        return running if running is not None and running.size_bytes == size_bytes else None

    def put(self, upload_id: str, running: RunningHash) -> None:
        """Remember a hash until it is taken, or too many others are remembered."""
        self._held[upload_id] = running
