"""A reader's view of a blob that is being downloaded."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import IO

from mirror.oci import Digest
from mirror.oci.errors import StorageDamaged
from mirror.store.content.data_layout import DataLayout
from mirror.store.storage_threads import in_thread


class PartialFile:
    """The bytes of a download so far. They stay readable after the download was stored or dropped.

    Implements :class:`mirror.transfer.partial_store.PartialBlob`.

    Attributes:
        file: the file that holds the bytes. Its position has no meaning.
    """

    def __init__(self, file: IO[bytes], digest: Digest, layout: DataLayout) -> None:
        self.file = file
        self._digest = digest
        self._layout = layout

    @property
    def size_bytes(self) -> int:
        """The number of bytes so far. Asks the kernel, never the disk."""
        return os.fstat(self.file.fileno()).st_size

    async def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` up to ``stop``, all of which must have come.

        Raises:
            StorageDamaged: the file ends before ``stop``.
            StorageFault: the disk failed.
        """
        content = await in_thread(f"read {self._digest}", os.pread, self.file.fileno(), stop - start, start)
        if len(content) < stop - start:
            raise StorageDamaged(f"the file of {self._digest} ends at byte {start + len(content)}", digest=self._digest)
        return content

    async def is_current(self) -> bool:
        """Return True unless the download was dropped: the file is that of the download or of the stored blob."""
        return await in_thread(f"look for {self._digest}", self._is_current)

    def _is_current(self) -> bool:
        status = os.fstat(self.file.fileno())
        # The inode is compared, not the path: a new download of the digest has the same path as a dropped one.
        for place in (self._layout.download(self._digest).data, self._layout.blob(self._digest)):
            with suppress(FileNotFoundError):
                if os.path.samestat(status, place.stat()):
                    return True
        return False

    def close(self) -> None:
        """Close the file."""
        self.file.close()
