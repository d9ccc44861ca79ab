"""Hashes of unfinished uploads, kept in memory so that committing an upload need not read the whole file again."""

from __future__ import annotations

from cachetools import LRUCache

from mirror.oci import Digest
from mirror.oci.digest import Hasher, new_hasher

#: Most uploads whose hash is kept between requests. The file of any other upload is read again when it is committed.
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
    """The running hashes of this process by upload id. Only the holder of an upload's lock may take its hash."""

    def __init__(self) -> None:
        self._held: LRUCache[str, RunningHash] = LRUCache(_LIMIT)

    def take(self, upload_id: str, size_bytes: int) -> RunningHash | None:
        """Remove and return the hash of an upload that holds ``size_bytes`` bytes.

        Return None if the hash does not cover exactly these bytes, because another process received some of them.
        Comparing sizes is sufficient. An upload only grows, except that the bytes of a failed append are cut off. The
        hash of a failed append is never put back.
        """
        running = self._held.pop(upload_id, None)
        return running if running is not None and running.size_bytes == size_bytes else None

    def put(self, upload_id: str, running: RunningHash) -> None:
        """Keep a hash until it is taken, or until too many others are kept."""
        self._held[upload_id] = running
