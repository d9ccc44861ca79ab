"""A blob that is on its way here, as its readers see it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import IO

from mirror.oci import Digest
from mirror.oci.errors import StorageDamaged
from mirror.store.content.data_layout import DataLayout
from mirror.store.storage_threads import in_thread


class PartialFile:
    """The bytes of a blob as far as they have come. They stay readable when the blob has been stored, or dropped.

    Attributes:
        file: those bytes; its position means nothing.
    """

    def __init__(self, file: IO[bytes], digest: Digest, layout: DataLayout) -> None:
        self.file = file
        self._digest = digest
        self._layout = layout

    @property
    def size_bytes(self) -> int:
        """How many there are. It asks the kernel, never the disk."""
        return os.fstat(self.file.fileno()).st_size

    async def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop``, which must be there.

        Raises:
            StorageDamaged: they are not. StorageFault: the disk failed.
        """
        content = await in_thread(f"read {self._digest}", os.pread, self.file.fileno(), stop - start, start)
        if len(content) < stop - start:
            raise StorageDamaged(f"the bytes of {self._digest} end at {start + len(content)}", digest=self._digest)
        return content

    async def is_current(self) -> bool:
        """Whether they are those of the download still, or of the blob that it has become: they were not dropped."""
        return await in_thread(f"look for {self._digest}", self._is_current)

    def _is_current(self) -> bool:
        status = os.fstat(self.file.fileno())
        for place in (self._layout.download(self._digest).data, self._layout.blob(self._digest)):
            with suppress(FileNotFoundError):
                if os.path.samestat(status, place.stat()):
                    return True
        return False

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()
