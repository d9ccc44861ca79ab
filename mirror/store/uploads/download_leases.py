"""Download leases: one writer over all processes for each digest, and any number of readers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import IO, Final

from sqlalchemy import Connection

from mirror.oci import Descriptor, Digest, Repository
from mirror.oci.digest import ALGORITHMS
from mirror.oci.errors import DigestInvalid, StorageFault, StorageFull, UploadInvalid, UploadUnknown
from mirror.oci.media_types import OCTET_STREAM
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.registry.streams import closing_stream
from mirror.runtime.concurrency.threads import await_or_release
from mirror.store.catalog import rows
from mirror.store.content.data_layout import DataLayout, UploadLayout
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import begin_in_thread, in_thread
from mirror.store.uploads.download_flow import DownloadFlow
from mirror.store.uploads.partial_file import PartialFile
from mirror.store.uploads.running_hashes import RunningHash
from mirror.store.uploads.session_file import UploadSessionFile
from mirror.store.uploads.upload_session import UploadParts
from mirror.store.uploads.upload_writer import UploadWriter, remove_upload

#: A download without new bytes for this time is not under way. Its client has left, or its upstream fails.
_UNDER_WAY_FOR: Final = timedelta(minutes=10)


class StoreDownloadLease:
    """The right of this process to write one blob. Made by :meth:`DownloadLeases.claim_download`.

    Implements :class:`mirror.transfer.partial_store.DownloadLease`.
    """

    def __init__(
        self, parts: UploadParts, layout: DataLayout, receiving: UploadWriter, repository: Repository, digest: Digest
    ) -> None:
        self._parts = parts
        self._layout = layout
        self._files = layout.download(digest)
        self._receiving = receiving
        self._repository = repository
        self._digest = digest
        self._is_full = False
        # A holder that continues a download has not hashed its first bytes: verify() reads the file instead.
        self._running = None if receiving.size_bytes else RunningHash(digest.algorithm)

    @property
    def offset(self) -> int:
        """The number of bytes held, those of earlier holders of the lease included."""
        return self._receiving.size_bytes

    def partial(self) -> PartialFile:
        """Open the bytes held for reading, including bytes that come later. The caller closes the file.

        Raises:
            StorageFault: the file cannot be opened.
        """
        with storage_faults(f"read {self._digest}"):
            return PartialFile(self._receiving.reader(), self._digest, self._layout)

    async def expect(self, size_bytes: int) -> None:
        """Keep space for a blob of this size until :meth:`release`.

        Raises:
            StorageFull: the blob does not fit. Its bytes are dropped at the release.
        """
        with self._noting_a_full_disk():
            self._parts.room.promise(self._receiving, size_bytes)
        self._is_full = False  # the room was made since an earlier refusal

    async def append(self, chunks: AsyncIterable[bytes], on_progress: Callable[[], object]) -> None:
        """Add bytes to the end, and write each soon after it came.

        Args:
            chunks: the bytes. A generator is closed at the end.
            on_progress: called after bytes were written, when readers can see them.

        Raises:
            StorageFull: the disk is full. The bytes are dropped at the release.
            StorageFault: the disk failed.
            Exception: any error of ``chunks``. Bytes that came before an error or a cancellation are kept.
        """
        flow = DownloadFlow(self._receiving, self._running, on_progress)
        with self._noting_a_full_disk():
            async with closing_stream(chunks):
                try:
                    async for chunk in chunks:
                        await flow.add(chunk)
                except BaseException:
                    with suppress(StorageFault):  # the first error is raised, not one that follows from it
                        await flow.finish()
                    raise
                await flow.finish()

    async def verify(self) -> None:
        """Compare the digest of the bytes held.

        Raises:
            DigestInvalid: the bytes have another digest.
        """
        if self._running is not None and self._running.size_bytes == self.offset:
            actual = self._running.digest
        else:
            actual = await self._parts.rehashing.digest(self._receiving, self._digest.algorithm)
        if actual != self._digest:
            raise DigestInvalid(
                f"the bytes downloaded as {self._digest} have digest {actual}", expected=self._digest, actual=actual
            )

    async def commit(self) -> Descriptor:
        """Make the verified bytes a blob of the repository, durably, and end the download.

        Raises:
            StorageFull: the disk is full. The bytes are dropped at the release.
            StorageFault: the disk failed. The bytes are kept unless the sync of the file failed.
        """
        size_bytes = self.offset
        try:
            await in_thread(f"store {self._digest}", self._receiving.sync)
        except StorageFault:
            # After a failed sync Linux reports success for the next one, although the bytes are on no disk. These bytes
            # must not be committed: the next holder of the lease fetches them again.
            await self._discard()
            raise
        with self._noting_a_full_disk():
            await self._store(size_bytes)
        with suppress(StorageFault):  # the blob is stored; the rest of the download expires
            await self.drop()
        return Descriptor(OCTET_STREAM, self._digest, size_bytes)

    async def _store(self, size_bytes: int) -> None:
        now = self._parts.clock.now()

        def hold(connection: Connection) -> None:
            rows.add_blob(connection, self._repository, self._digest, now, cause=ReviewCause.FETCHED)

        await self._parts.adoption.adopt(self._files.data, self._digest, size_bytes=size_bytes, now=now, hold=hold)

    async def _discard(self) -> None:
        """Drop the bytes. If the disk refuses the removal, empty the file, so that nobody commits these bytes."""
        try:
            await self.drop()
        except StorageFault:
            with suppress(StorageFault):
                await in_thread("empty a download", self._receiving.truncate, 0)

    async def drop(self) -> None:
        """End the download and remove its bytes. Raises StorageFault."""
        await in_thread("remove a download", remove_upload, self._files, self._parts.filesystem)

    async def release(self) -> None:
        """End the lease. The bytes held are kept for the next holder, unless the disk is full.

        An empty download is removed.
        """
        try:
            # Bytes of a blob that does not fit would keep the disk full until they expire.
            if self._is_full or not self.offset:
                with suppress(StorageFault):  # a download that stays behind expires
                    await in_thread("remove a download", self._remove_own)
        finally:
            self._parts.room.end(self._receiving)
            self._receiving.close()

    @contextmanager
    def _noting_a_full_disk(self) -> Iterator[None]:
        try:
            yield
        except StorageFull:
            self._is_full = True
            raise

    def _remove_own(self) -> None:
        if self._receiving.is_of(self._files):  # not if another download has the name by now
            remove_upload(self._files, self._parts.filesystem)


class DownloadLeases:
    """Implements :class:`mirror.transfer.partial_store.PartialStore` in a data folder.

    Downloads lie in the same folder as upload sessions and expire like them.

    Args:
        layout: the data folder.
        parts: the objects that uploads and downloads share.
        lease: class of the leases.
    """

    def __init__(
        self, layout: DataLayout, parts: UploadParts, lease: type[StoreDownloadLease] = StoreDownloadLease
    ) -> None:
        self._layout = layout
        self._parts = parts
        self._lease = lease

    async def claim_download(self, repository: Repository, digest: Digest) -> StoreDownloadLease | None:
        """Take the lease of a blob. Its holder continues where the last one stopped.

        Args:
            repository: the repository that gets the blob.
            digest: the digest of the blob.

        Returns:
            The lease. None if another holder, in any process, has it.
        """
        files = self._layout.download(digest)
        session = UploadSessionFile(repository, self._parts.clock.now())
        opening = begin_in_thread("begin a download", self._claim, files, session)
        receiving = await await_or_release(opening, release=_close)
        return None if receiving is None else self._lease(self._parts, self._layout, receiving, repository, digest)

    async def require_room(self, blobs: Sequence[Descriptor]) -> None:
        """Check that the bytes which are missing of these blobs fit on the disk.

        Raises:
            StorageFull: they do not fit.
            StorageFault: the disk failed.
        """
        await in_thread("measure the disk", self._require_room, blobs)

    def _require_room(self, blobs: Sequence[Descriptor]) -> None:
        self._parts.room.require(sum(self._missing_bytes(blob) for blob in blobs))

    def _missing_bytes(self, blob: Descriptor) -> int:
        if self._layout.blob(blob.digest).exists():  # held by another repository, from which it is mounted
            return 0
        held_bytes = 0
        with suppress(FileNotFoundError):
            held_bytes = self._layout.download(blob.digest).data.stat().st_size
        return max(blob.size_bytes - held_bytes, 0)

    async def under_way(self) -> frozenset[str]:
        """Return the digests of the blobs that a process downloads, or has done a moment ago. Raises StorageFault."""
        return await in_thread("list downloads", self._under_way)

    def _under_way(self) -> frozenset[str]:
        since = (self._parts.clock.now() - _UNDER_WAY_FOR).timestamp()
        found = set()
        for algorithm in ALGORITHMS:
            for folder in self._layout.uploads.glob(f"{algorithm}-*"):
                with suppress(FileNotFoundError, NotADirectoryError):  # the download has ended
                    if UploadLayout(folder).data.stat().st_mtime >= since:
                        found.add(folder.name.replace("-", ":", 1))
        return frozenset(found)

    async def watch_download(self, digest: Digest) -> PartialFile | None:
        """Open the bytes of a download for reading while others write them. Return None if there is no download."""
        opening = begin_in_thread("open a download", _open, self._layout.download(digest))
        file = await await_or_release(opening, release=_close)
        return None if file is None else PartialFile(file, digest, self._layout)

    def _claim(self, files: UploadLayout, session: UploadSessionFile) -> UploadWriter | None:
        while True:
            try:
                self._create(files, session)
                receiving = UploadWriter(files, self._parts.filesystem, self._parts.room, is_read=True)
            except (FileNotFoundError, UploadUnknown):
                continue  # the download is being removed: try again
            except UploadInvalid:
                return None
            # All downloads of a digest have the same path. The file locked here may belong to a download that ended
            # between opening the file and locking it.
            if receiving.is_of(files):
                return receiving
            receiving.close()

    def _create(self, files: UploadLayout, session: UploadSessionFile) -> None:
        filesystem = self._parts.filesystem
        filesystem.make_folder(files.folder)
        with suppress(FileExistsError):
            os.close(filesystem.create(files.data))
        with suppress(FileExistsError):
            filesystem.create_file(files.session, session.build())


def _close(opened: IO[bytes] | UploadWriter | None) -> None:
    if opened is not None:
        opened.close()


def _open(files: UploadLayout) -> IO[bytes] | None:
    try:
        return files.data.open("rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError):
        return None
