"""The disk that the data folder lies on: whether it takes and gives back bytes, and how much room there is."""

from __future__ import annotations

import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass

from mirror.oci.errors import StorageDamaged, StorageFull
from mirror.store.content.data_layout import DataLayout, UploadLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.content.token_key import read_token_key
from mirror.store.storage_threads import in_thread


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Space on the volume, and space taken by uploads.

    Attributes:
        free_bytes: what we may still write.
        size_bytes: the whole volume.
        uploads: sessions that have begun and not ended.
        upload_bytes: what they hold.
    """

    free_bytes: int
    size_bytes: int
    uploads: int
    upload_bytes: int


class Volume:
    """The volume of a data folder."""

    def __init__(self, layout: DataLayout, filesystem: Filesystem) -> None:
        self._layout = layout
        self._filesystem = filesystem

    async def probe(self) -> None:
        """Write a small file, read it, remove it.

        It is not synced: that would take a slow disk's time away from those who push. Left behind by a crash, it
        expires as uploads do.

        Raises:
            StorageFull, StorageFault: one of that cannot be done. StorageDamaged: other bytes came back.
        """
        await in_thread("write, read and remove a small file", self._probe)

    async def token_key(self) -> bytes:
        """The key that signs tokens, the same for all processes. Raises StorageFault, StorageDamaged."""
        return await in_thread("read the key of tokens", read_token_key, self._layout, self._filesystem)

    async def room(self) -> DiskSpace:
        """Measure the space that is taken and free. Raises StorageFault."""
        return await in_thread("measure the data folder", self._room)

    async def require(self, free_bytes: int) -> None:
        """See that so much may still be written. Raises StorageFull: it may not."""
        left = (await in_thread("measure the disk", shutil.disk_usage, self._layout.root)).free
        if left < free_bytes:
            raise StorageFull(
                f"only {left} bytes are free where the data folder lies, of the {free_bytes} that are wanted: free "
                "some space, or lower storage.least_free_bytes",
                free_bytes=left,
            )

    def _probe(self) -> None:
        file = self._layout.uploads / f"{uuid.uuid4().hex}.probe"
        content = uuid.uuid4().bytes
        try:
            self._filesystem.create_file(file, content)
            if file.read_bytes() != content:
                raise StorageDamaged("a small file was written, and other bytes were read from it")
        finally:
            self._filesystem.remove(file)

    def _room(self) -> DiskSpace:
        volume = shutil.disk_usage(self._layout.root)
        sizes = []
        for folder in self._layout.uploads.iterdir():
            with suppress(FileNotFoundError, NotADirectoryError):  # it has ended meanwhile, or is no session
                sizes.append(UploadLayout(folder).data.stat().st_size)
        return DiskSpace(volume.free, volume.total, len(sizes), sum(sizes))
