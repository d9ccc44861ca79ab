"""Content-addressed blob files on a filesystem. The catalog records which repository holds which blob."""

from __future__ import annotations

import os
import uuid
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from mirror.oci import Digest
from mirror.oci.digest import ALGORITHMS, Hasher, new_hasher
from mirror.oci.errors import DigestInvalid, StorageDamaged, StorageFault
from mirror.registry.port import Blob
from mirror.store.content.blob_examination import BlobExamination, Suspects
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import in_thread
from mirror.wire.ranges import RangeRequest, Span

_CHUNK_BYTES = 1024 * 1024
#: Files that could not be opened, kept for the readiness check.
_MOST_REFUSED = 16


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

    def list_files(self, prefix: str) -> Sequence[tuple[str, int, datetime]]:
        """List the files whose digests begin with two hexadecimal digits, of every algorithm. Other files are left out.

        Returns:
            Digest, size in bytes and time of the last change of each file.
        """
        ...

    def read(self, digest: Digest, size_bytes: int) -> bytes:
        """Read all bytes of small content without verifying the digest.

        Raises:
            StorageDamaged: the file is missing or has another size.
        """
        ...

    def open(self, digest: Digest, size_bytes: int, part: RangeRequest | None) -> AbstractAsyncContextManager[Blob]:
        """Open content of ``size_bytes`` bytes, or the range ``part`` of the content.

        Raises:
            StorageDamaged: the file is missing or has another size. Iterating over the whole content raises this too if
                the digest differs.
            RangeInvalid: ``part`` lies outside the content.
        """
        ...


class FilesystemBlobStorage:
    """Implements :class:`BlobStorage` in a data folder."""

    def __init__(self, layout: DataLayout, filesystem: Filesystem) -> None:
        self._layout = layout
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
        actual_bytes = os.fstat(descriptor).st_size
        if actual_bytes != size_bytes:
            os.close(descriptor)
            self.suspects.add(digest)
            raise StorageDamaged(
                f"the file of {digest} has {actual_bytes} bytes, not {size_bytes}", digest=digest, size_bytes=size_bytes
            )
        return descriptor

    def _missing(self, digest: Digest) -> StorageDamaged:
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
