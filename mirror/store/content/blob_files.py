"""Content-addressed bytes on a filesystem. What says who holds them is the catalog."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from mirror.oci import Digest
from mirror.oci.digest import Hasher, new_hasher
from mirror.oci.errors import StorageDamaged, StorageFault
from mirror.registry.port import Blob
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import in_thread
from mirror.wire.ranges import RangeRequest, Span

_CHUNK_BYTES = 1024 * 1024


class BlobStorage(Protocol):
    """Where bytes are kept, by digest: a filesystem now, a bucket as well could be.

    What is no coroutine blocks: it is called in the thread that reads or writes the rows, between them.
    """

    def staged(self, content: bytes) -> AbstractAsyncContextManager[Path]:
        """Bytes as a finished file, to be adopted; removed where the block raises."""
        ...

    def adopt(self, file: Path, digest: Digest) -> None:
        """Take over a finished, synced file; it lasts after :meth:`flush`. For ``store.uploads.adoption`` only."""
        ...

    def flush(self) -> None:
        """Make all that was adopted last. Raises OSError: some of it may not, and nobody knows which."""
        ...

    def withdraw(self, digest: Digest, file: Path) -> None:
        """Undo :meth:`adopt`, also one that failed half-way. For ``store.uploads.adoption`` only."""
        ...

    def read(self, digest: Digest, size_bytes: int) -> bytes:
        """All bytes of small content, not yet verified. Raises StorageDamaged: they are not there."""
        ...

    def open(self, digest: Digest, size_bytes: int, part: RangeRequest | None) -> AbstractAsyncContextManager[Blob]:
        """Open content that has ``size_bytes``.

        Raises:
            StorageDamaged: it is not there, or has another size; while iterating the whole: another digest.
            RangeInvalid: none of ``part`` exists.
        """
        ...


class FilesystemBlobStorage:
    """Implements :class:`BlobStorage` in a data folder."""

    def __init__(self, layout: DataLayout, filesystem: Filesystem) -> None:
        self._layout = layout
        self._filesystem = filesystem
        self._unsynced: set[Path] = set()

    @asynccontextmanager
    async def staged(self, content: bytes) -> AsyncIterator[Path]:
        file = self._layout.uploads / f"{uuid.uuid4().hex}.manifest"
        try:
            await in_thread("store a manifest", self._filesystem.create_file, file, content, is_synced=True)
            yield file
        except BaseException:
            with suppress(StorageFault):  # it expires
                await in_thread("remove a temporary file", self._filesystem.remove, file)
            raise

    def adopt(self, file: Path, digest: Digest) -> None:
        blob = self._layout.blob(digest)
        with storage_faults(f"store {digest}"):
            # Also in place of a blob of the same digest: should that one be damaged, it is so no longer.
            self._filesystem.rename(file, blob)
        self._unsynced.add(blob.parent)

    def flush(self) -> None:
        # After the first one, a filesystem with a journal has little left to do: it is written as a whole.
        folders, self._unsynced = self._unsynced, set()
        for folder in folders:
            self._filesystem.sync_folder(folder)

    def withdraw(self, digest: Digest, file: Path) -> None:
        blob = self._layout.blob(digest)
        with storage_faults(f"take back {digest}"):
            if blob.exists():
                self._filesystem.rename(blob, file)

    def read(self, digest: Digest, size_bytes: int) -> bytes:
        with storage_faults(f"read {digest}"), os.fdopen(self._open(digest, size_bytes), "rb") as file:
            return file.read()

    @asynccontextmanager
    async def open(self, digest: Digest, size_bytes: int, part: RangeRequest | None) -> AsyncIterator[Blob]:
        span = Span(0, size_bytes) if part is None else part.resolve(size_bytes)
        # Here, and not in a thread: the way there and back takes longer than the call.
        with storage_faults(f"open {digest}"):
            descriptor = self._open(digest, size_bytes)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            yield FileBlob(file, digest, size_bytes, span)

    def _open(self, digest: Digest, size_bytes: int) -> int:
        try:
            descriptor = os.open(self._layout.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise StorageDamaged(f"the bytes of {digest} are gone from the disk", digest=digest) from error
        actual_bytes = os.fstat(descriptor).st_size
        if actual_bytes != size_bytes:
            os.close(descriptor)
            raise StorageDamaged(
                f"the file of {digest} has {actual_bytes} bytes, not {size_bytes}", digest=digest, size_bytes=size_bytes
            )
        return descriptor


class FileBlob:
    """An open file as a blob; removing the file takes nothing from it. The whole is verified as it is iterated."""

    def __init__(self, file: IO[bytes], digest: Digest, size_bytes: int, span: Span) -> None:
        self.file = file
        self.size_bytes = size_bytes
        self.span = span
        self._digest = digest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        whole = self.span.size_bytes == self.size_bytes
        hasher = new_hasher(self._digest.algorithm) if whole else None
        for start in range(self.span.start, self.span.stop, _CHUNK_BYTES):
            stop = min(start + _CHUNK_BYTES, self.span.stop)
            chunk = await in_thread(f"read {self._digest}", self._read, start, stop, hasher)
            # The last chunk leaves only when the whole is known to be right.
            if hasher is not None and stop == self.size_bytes and hasher.hexdigest() != self._digest.hex:
                raise StorageDamaged(f"the file of {self._digest} holds other bytes", digest=self._digest)
            yield chunk

    def _read(self, start: int, stop: int, hasher: Hasher | None) -> bytes:
        chunk = os.pread(self.file.fileno(), stop - start, start)
        if len(chunk) < stop - start:
            raise StorageDamaged(f"the file of {self._digest} ends at {start + len(chunk)}", digest=self._digest)
        if hasher is not None:
            hasher.update(chunk)
        return chunk
