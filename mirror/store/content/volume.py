"""The disk of the data folder: a write probe, and its free space."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mirror.oci.errors import StorageDamaged
from mirror.store.content.data_folder_keys import read_key, read_token_key
from mirror.store.content.data_layout import DataLayout, UploadLayout
from mirror.store.content.disk_room import DiskRoom
from mirror.store.content.filesystem import Filesystem
from mirror.store.content.folder_access import require_readable
from mirror.store.content.kept_free import KeptFree
from mirror.store.storage_threads import in_thread


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Space on the disk, and space used by uploads.

    Attributes:
        free_bytes: space that this process may still write.
        size_bytes: size of the whole disk.
        free_inodes: number of files and folders that may still be created; 0 if the filesystem has no fixed number.
        inodes: number of files and folders that the disk can hold; 0 if the filesystem has no fixed number.
        uploads: number of open upload sessions and downloads.
        upload_bytes: bytes held by them.
    """

    free_bytes: int
    size_bytes: int
    free_inodes: int
    inodes: int
    uploads: int
    upload_bytes: int


class Volume:
    """The disk of a data folder."""

    def __init__(self, layout: DataLayout, filesystem: Filesystem, room: DiskRoom) -> None:
        self._layout = layout
        self._filesystem = filesystem
        self._room = room

    def keep_free(self, kept: KeptFree) -> None:
        """Leave another part of the disk free from now on."""
        self._room.kept = kept

    async def probe(self) -> None:
        """Write a small file, read it and remove it.

        The file is not synced, because a sync would take the time of a slow disk from clients that push. A file that a
        crash leaves behind expires as uploads do.

        Raises:
            StorageFull: the disk has no space left.
            StorageFault: the file cannot be written, read or removed.
            StorageDamaged: the bytes read differ from the bytes written.
        """
        await in_thread("write, read and remove a small file", self._probe)

    async def require_access(self, refused: Collection[Path]) -> None:
        """Check that this process may use the files of the data folder. Raises StorageFault.

        Args:
            refused: files that could not be opened before.
        """
        await in_thread("check the access to files", require_readable, self._layout, tuple(refused))

    async def probe_reading(self) -> None:
        """List the folder of blobs. Raises StorageFault if it cannot be read."""
        await in_thread(f"read {self._layout.root}", os.listdir, self._layout.root / "blobs")

    async def token_key(self) -> bytes:
        """Return the key that signs tokens. Raises StorageFault, StorageDamaged."""
        return await in_thread("read the key that signs tokens", read_token_key, self._layout, self._filesystem)

    async def audit_key(self, make: Callable[[], bytes]) -> bytes:
        """Return the file with the key of the audit. Create it with the bytes of ``make`` if there is none.

        Raises StorageFault.
        """
        file = self._layout.audit_key
        return await in_thread("read the key of the audit", read_key, file, make, self._layout, self._filesystem)

    async def space(self) -> DiskSpace:
        """Measure the space on the disk, and the space used by uploads. Raises StorageFault."""
        return await in_thread("measure the data folder", self._space)

    async def require(self) -> None:
        """Check that the disk has space for new content. Raises StorageFull, StorageFault."""
        await in_thread("measure the disk", self._room.require)

    async def missing_bytes(self, size_bytes: int | None = None) -> int:
        """Return the number of bytes to free, as :meth:`DiskRoom.missing_bytes`. Raises StorageFault."""
        return await in_thread("measure the disk", self._room.missing_bytes, size_bytes)

    def _probe(self) -> None:
        file = self._layout.uploads / f"{uuid.uuid4().hex}.probe"
        content = uuid.uuid4().bytes
        try:
            self._filesystem.create_file(file, content)
            if file.read_bytes() != content:
                raise StorageDamaged("a small file was written, but other bytes were read; fix: check the disk")
        finally:
            self._filesystem.remove(file)

    def _space(self) -> DiskSpace:
        found = os.statvfs(self._layout.root)
        sizes = []
        for folder in self._layout.uploads.iterdir():
            with suppress(FileNotFoundError, NotADirectoryError):  # the session has ended, or this is a plain file
                sizes.append(UploadLayout(folder).data.stat().st_size)
        return DiskSpace(
            found.f_bavail * found.f_frsize,
            found.f_blocks * found.f_frsize,
            found.f_favail,
            found.f_files,
            len(sizes),
            sum(sizes),
        )
