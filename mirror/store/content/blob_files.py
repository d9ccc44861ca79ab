"""Content-addressed blob files on a filesystem. The catalog records which repository holds which blob."""

from __future__ import annotations

import os
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from mirror.oci import Digest
from mirror.oci.digest import ALGORITHMS
from mirror.oci.errors import DigestInvalid, StorageDamaged, StorageFault
from mirror.oci.remote_storage_errors import NotCached
from mirror.registry.port import Blob
from mirror.store.content.blob_examination import BlobExamination, Suspects
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.file_blob import FileBlob
from mirror.store.content.filesystem import Filesystem
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import in_thread
from mirror.wire.ranges import RangeRequest, Span

#: Files that could not be opened, kept for the readiness check.
_MOST_REFUSED = 16
#: Time between two notes of the use of a file in a cache.
_USE_IS_NOTED_AFTER_NS = 10 * 10**9


class BlobStorage(Protocol):
    """Storage of blobs and manifests by digest. The implementation here uses a filesystem.

    The methods that are not coroutines block. They are called in the catalog's reader and writer threads, inside a
    transaction.
    """

    @property
    def refused(self) -> Collection[Path]:
        """The latest files that this process was not allowed to open."""
        ...

    @property
    def suspects(self) -> Suspects:
        """Content that a read of this process found damaged."""
        ...

    @property
    def examination(self) -> BlobExamination:
        """Finds damaged files, and sets them aside."""
        ...

    def staged(self, content: bytes) -> AbstractAsyncContextManager[Path]:
        """Write ``content`` to a finished, synced file for :meth:`adopt`. Remove the file if the block raises."""
        ...

    def adopt(self, file: Path, digest: Digest) -> None:
        """Move a finished, synced file to its place in the storage. Only ``store.uploads.adoption`` may call this.

        The move is durable after :meth:`flush`.
        """
        ...

    def flush(self) -> None:
        """Make all adopted files durable.

        Raises:
            OSError: a sync failed; any of the adopted files may not be durable.
        """
        ...

    def withdraw(self, digest: Digest, file: Path) -> None:
        """Undo :meth:`adopt`, even if it failed half-way. Only ``store.uploads.adoption`` may call this."""
        ...

    def remove(self, digest: Digest) -> None:
        """Remove the file of content that the catalog no longer has. Only the collection may call this.

        A missing file is no error. Readers that have opened the file can read on.

        Raises:
            StorageFault: the file cannot be removed.
        """
        ...

    def path(self, digest: Digest) -> Path:
        """Return the path of the file of ``digest``."""
        ...

    def find_size(self, digest: Digest) -> int | None:
        """Return the size of the file of ``digest`` in bytes; None if there is none."""
        ...

    def keep(self, file: Path, digest: Digest) -> None:
        """Move a verified file to its place in a data folder that is a cache. Durable or not, it can come again."""
        ...

    def list_files(self, prefix: str) -> Sequence[tuple[str, int, datetime]]:
        """List the files whose digests begin with two hexadecimal digits, of every algorithm. Other files are left out.

        Returns:
            Digest, size in bytes and time of the last change of each file.
        """
        ...

    def read(self, digest: Digest, size_bytes: int) -> bytes:
        """Read all bytes of small content without verifying the digest.

        Raises:
            NotCached: the file is missing from a data folder that is a cache.
            StorageDamaged: the file is missing or has another size.
        """
        ...

    def open(self, digest: Digest, size_bytes: int, part: RangeRequest | None) -> AbstractAsyncContextManager[Blob]:
        """Open content of ``size_bytes`` bytes, or the range ``part`` of the content.

        Raises:
            NotCached: the file is missing from a data folder that is a cache.
            StorageDamaged: the file is missing or has another size. Iterating over the whole content raises this too if
                the digest differs.
            RangeInvalid: ``part`` lies outside the content.
        """
        ...


class FilesystemBlobStorage:
    """Implements :class:`BlobStorage` in a data folder.

    Args:
        layout: the data folder.
        filesystem: changes the files.
        is_cache: True if a bucket holds the content. The times of access then tell what was read least recently.
    """

    def __init__(self, layout: DataLayout, filesystem: Filesystem, *, is_cache: bool = False) -> None:
        self._layout = layout
        self._is_cache = is_cache
        self._filesystem = filesystem
        self._unsynced: set[Path] = set()
        self.refused: deque[Path] = deque(maxlen=_MOST_REFUSED)
        self.suspects = Suspects()
        self.examination = BlobExamination(layout, filesystem, self._unsynced)

    @asynccontextmanager
    async def staged(self, content: bytes) -> AsyncIterator[Path]:
        file = self._layout.uploads / f"{uuid.uuid4().hex}.manifest"
        try:
            await in_thread("store a manifest", self._filesystem.create_file, file, content, is_synced=True)
            yield file
        except BaseException:
            with suppress(StorageFault):  # a file that stays behind expires as uploads do
                await in_thread("remove a temporary file", self._filesystem.remove, file)
            raise

    def adopt(self, file: Path, digest: Digest) -> None:
        blob = self._layout.blob(digest)
        with storage_faults(f"store {digest}"):
            # Replaces an existing blob of the same digest. This repairs a damaged blob file.
            self._filesystem.rename(file, blob)
        self._unsynced.add(blob.parent)

    def flush(self) -> None:
        # The folders of all changes of a group commit are synced together. After the first sync a journaling
        # filesystem has little left to do, because the sync writes the whole journal.
        folders = set(self._unsynced)
        self._unsynced.clear()
        for folder in folders:
            self._filesystem.sync_folder(folder)

    def withdraw(self, digest: Digest, file: Path) -> None:
        blob = self._layout.blob(digest)
        with storage_faults(f"withdraw {digest}"):
            if blob.exists():  # the rename of adopt() may have failed
                self._filesystem.rename(blob, file)

    def remove(self, digest: Digest) -> None:
        with storage_faults(f"remove {digest}"):
            self._filesystem.remove(self._layout.blob(digest))

    def path(self, digest: Digest) -> Path:
        return self._layout.blob(digest)

    def find_size(self, digest: Digest) -> int | None:
        with suppress(FileNotFoundError):
            return self._layout.blob(digest).stat().st_size
        return None

    def keep(self, file: Path, digest: Digest) -> None:
        with storage_faults(f"store {digest}"):
            self._filesystem.rename(file, self._layout.blob(digest))

    def list_files(self, prefix: str) -> Sequence[tuple[str, int, datetime]]:
        found = []
        with storage_faults("list the blobs"):
            for algorithm in ALGORITHMS:
                with os.scandir(self._layout.blob_folder(algorithm, prefix)) as entries:
                    for entry in entries:
                        with suppress(DigestInvalid, FileNotFoundError):  # not ours; or removed meanwhile
                            digest = Digest.parse(f"{algorithm}:{entry.name}")
                            stat = entry.stat(follow_symlinks=False)
                            changed_at = datetime.fromtimestamp(stat.st_mtime, UTC)
                            found.append((str(digest), stat.st_size, changed_at))
        return found

    def read(self, digest: Digest, size_bytes: int) -> bytes:
        with storage_faults(f"read {digest}"), os.fdopen(self._open(digest, size_bytes), "rb") as file:
            return file.read()

    @asynccontextmanager
    async def open(self, digest: Digest, size_bytes: int, part: RangeRequest | None) -> AsyncIterator[Blob]:
        span = Span(0, size_bytes) if part is None else part.resolve(size_bytes)
        # Opened in the event loop: a hop into a thread takes longer than the call.
        with storage_faults(f"open {digest}"):
            descriptor = self._open(digest, size_bytes)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            yield FileBlob(file, digest, size_bytes, span, self.suspects)

    def _open(self, digest: Digest, size_bytes: int) -> int:
        try:
            descriptor = os.open(self._layout.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError:
            self.refused.append(self._layout.blob(digest))
            raise
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        found = os.fstat(descriptor)
        if found.st_size != size_bytes:
            os.close(descriptor)
            self.suspects.add(digest)
            raise StorageDamaged(
                f"the file of {digest} has {found.st_size} bytes, not {size_bytes}",
                digest=digest,
                size_bytes=size_bytes,
            )
        if self._is_cache:
            _note_use(descriptor, found)
        return descriptor

    def _missing(self, digest: Digest) -> StorageDamaged:
        if self._is_cache:
            return NotCached(f"{digest} is in the bucket, and not in this data folder", digest=digest)
        if self._layout.set_aside(digest).exists():
            return StorageDamaged(
                f"{digest} was damaged and has been set aside; fix: push it again, or see 'plugin-mirror scrub'",
                digest=digest,
            )
        self.suspects.add(digest)
        return StorageDamaged(
            f"the file of {digest} is missing from the disk; fix: push it again, or see 'plugin-mirror scrub'",
            digest=digest,
        )


def _note_use(descriptor: int, found: os.stat_result) -> None:
    """Set the time of access, which most mounts keep only roughly. The time of the last change stays."""
    now_ns = time.time_ns()
    if now_ns - found.st_atime_ns >= _USE_IS_NOTED_AFTER_NS:
        with suppress(OSError):  # the file belongs to another user
            os.utime(descriptor, ns=(now_ns, found.st_mtime_ns))
