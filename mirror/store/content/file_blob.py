"""An open blob file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import IO

from mirror.oci import Digest
from mirror.oci.digest import Hasher, new_hasher
from mirror.oci.errors import StorageDamaged
from mirror.store.content.blob_examination import Suspects
from mirror.store.storage_threads import in_thread
from mirror.wire.ranges import Span

_CHUNK_BYTES = 1024 * 1024


class FileBlob:
    """An open blob file. Iterating over the whole blob verifies its digest.

    The blob stays readable after its file is removed, because the descriptor keeps the bytes.
    """

    def __init__(self, file: IO[bytes], digest: Digest, size_bytes: int, span: Span, suspects: Suspects) -> None:
        self.file = file
        self.size_bytes = size_bytes
        self.span = span
        self._digest = digest
        self._suspects = suspects

    async def __aiter__(self) -> AsyncIterator[bytes]:
        whole = self.span.size_bytes == self.size_bytes
        hasher = new_hasher(self._digest.algorithm) if whole else None
        for start in range(self.span.start, self.span.stop, _CHUNK_BYTES):
            stop = min(start + _CHUNK_BYTES, self.span.stop)
            chunk = await in_thread(f"read {self._digest}", self._read, start, stop, hasher)
            # The last chunk is held back until the digest of the whole is verified, so that no client gets a
            # complete wrong blob.
            if hasher is not None and stop == self.size_bytes and hasher.hexdigest() != self._digest.hex:
                self._suspects.add(self._digest)
                raise StorageDamaged(
                    f"the file of {self._digest} is damaged: its bytes have another digest", digest=self._digest
                )
            yield chunk

    def _read(self, start: int, stop: int, hasher: Hasher | None) -> bytes:
        try:
            chunk = os.pread(self.file.fileno(), stop - start, start)
        except OSError:
            self._suspects.add(self._digest)
            raise
        if len(chunk) < stop - start:
            self._suspects.add(self._digest)
            raise StorageDamaged(f"the file of {self._digest} ends at byte {start + len(chunk)}", digest=self._digest)
        if hasher is not None:
            hasher.update(chunk)
        return chunk
