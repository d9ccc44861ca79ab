"""Blobs on their way from elsewhere: one writer over all processes for each digest, and readers beside it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from typing import IO, Final

from sqlalchemy import Connection

from mirror.oci import Descriptor, Digest, Repository
from mirror.oci.errors import DigestInvalid, StorageFault, UploadInvalid, UploadUnknown
from mirror.oci.media_types import OCTET_STREAM
from mirror.runtime.concurrency.threads import await_or_release
from mirror.store.catalog import rows
from mirror.store.content.data_layout import DataLayout, UploadLayout
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import begin_in_thread, in_thread
from mirror.store.uploads.adoption import adopt
from mirror.store.uploads.partial_file import PartialFile
from mirror.store.uploads.running_hashes import RunningHash
from mirror.store.uploads.session_file import UploadSessionFile
from mirror.store.uploads.upload_session import UploadParts
from mirror.store.uploads.upload_writer import PIECE_BYTES, UploadWriter, closing_stream, remove_upload

#: How long bytes wait for others to be written with them. What comes after a pause is written at once.
_GATHERING_SECONDS: Final = 0.02


class StoreDownloadLease:
    """A blob that this process alone may write. Made by :meth:`DownloadLeases.claim_download`."""

    def __init__(
        self, parts: UploadParts, layout: DataLayout, receiving: UploadWriter, repository: Repository, digest: Digest
    ) -> None:
        self._parts = parts
        self._layout = layout
        self._files = layout.download(digest)
        self._receiving = receiving
        self._repository = repository
        self._digest = digest
        self._running = None if receiving.size_bytes else RunningHash(digest.algorithm)

    @property
    def offset(self) -> int:
        """Bytes held."""
        return self._receiving.size_bytes

    def partial(self) -> PartialFile:
        """What has come, to be read while more comes; whoever asks closes it. Raises StorageFault."""
        with storage_faults(f"read {self._digest}"):
            return PartialFile(self._receiving.reader(), self._digest, self._layout)

    async def append(self, chunks: AsyncIterable[bytes], on_progress: Callable[[], object]) -> None:
        """Add bytes to the end, each soon after it came.

        Args:
            chunks: the bytes; a generator is closed at the end.
            on_progress: called when some of them are there to be read.

        Raises:
            StorageFault, StorageFull: the disk failed. And what ``chunks`` raises; what came before it is kept, as it
            is where the caller is cancelled.
        """
        flow = _Flow(self._receiving, self._running, on_progress)
        async with closing_stream(chunks):
            try:
                async for chunk in chunks:
                    await flow.add(chunk)
            except BaseException:
                with suppress(StorageFault):  # what made us stop is told, rather than what it led to
                    await flow.finish()
                raise
            await flow.finish()

    async def verify(self) -> None:
        """Compare the digest of what has come.

        Raises:
            DigestInvalid: it is another one.
        """
        if self._running is not None and self._running.size_bytes == self.offset:
            actual = self._running.digest
        else:
            actual = await self._parts.rehashing.digest(self._receiving, self._digest.algorithm)
        if actual != self._digest:
            raise DigestInvalid(
                f"what came as {self._digest} has digest {actual}", expected=self._digest, actual=actual
            )

    async def commit(self) -> Descriptor:
        """Make the bytes, which were verified, a blob of the repository, durably, and end the download.

        Raises:
            StorageFull, StorageFault: the disk failed; the bytes are kept where they can be trusted.
        """
        size_bytes, now = self.offset, self._parts.clock.now()

        def hold(connection: Connection) -> None:
            rows.add_blob(connection, self._repository, self._digest, now)

        try:
            await in_thread(f"store {self._digest}", self._receiving.sync)
        except StorageFault:
            # What the disk did not take, it may pretend to have taken when it is asked again.
            await self._discard()
            raise
        parts, file = self._parts, self._files.data
        await adopt(parts.catalog, parts.blobs, file, self._digest, size_bytes=size_bytes, now=now, hold=hold)
        with suppress(StorageFault):  # the blob is there; what is left of the download expires
            await self.drop()
        return Descriptor(OCTET_STREAM, self._digest, size_bytes)

    async def _discard(self) -> None:
        """Drop the bytes; where the disk refuses even that, empty the file, so that nobody commits them."""
        try:
            await self.drop()
        except StorageFault:
            with suppress(StorageFault):
                await in_thread("empty a download", self._receiving.truncate, 0)

    async def drop(self) -> None:
        """End the download, and forget what has come. Raises StorageFault."""
        await in_thread("remove a download", remove_upload, self._files, self._parts.filesystem)

    async def release(self) -> None:
        """Let go of it; what has come is kept for the next one to claim it. Where nothing has, nothing is left."""
        try:
            if not self.offset:
                with suppress(StorageFault):  # then it expires
                    await in_thread("remove a download", self._remove_empty)
        finally:
            self._receiving.close()

    def _remove_empty(self) -> None:
        if self._receiving.is_of(self._files):  # it may have ended, and the name be that of another one
            remove_upload(self._files, self._parts.filesystem)


class DownloadLeases:
    """Implements :class:`mirror.transfer.partial_store.PartialStore` in a data folder.

    Downloads lie beside the uploads, and expire as those do.

    Args:
        layout: the data folder.
        parts: what uploads work with.
    """

    def __init__(self, layout: DataLayout, parts: UploadParts) -> None:
        self._layout = layout
        self._parts = parts

    async def claim_download(self, repository: Repository, digest: Digest) -> StoreDownloadLease | None:
        """Become the only writer of a blob, and go on where the last one stopped.

        Args:
            repository: where the blob goes.
            digest: its digest.

        Returns:
            The download; None where somebody else has it, in whichever process.
        """
        files = self._layout.download(digest)
        session = UploadSessionFile(repository, self._parts.clock.now())
        opening = begin_in_thread("begin a download", self._claim, files, session)
        receiving = await await_or_release(opening, release=_close)
        return (
            None if receiving is None else StoreDownloadLease(self._parts, self._layout, receiving, repository, digest)
        )

    async def watch_download(self, digest: Digest) -> PartialFile | None:
        """What has come of a blob, to be read while others write it, and closed; None where there is nothing."""
        opening = begin_in_thread("open a download", _open, self._layout.download(digest))
        file = await await_or_release(opening, release=_close)
        return None if file is None else PartialFile(file, digest, self._layout)

    def _claim(self, files: UploadLayout, session: UploadSessionFile) -> UploadWriter | None:
        while True:
            try:
                self._create(files, session)
                receiving = UploadWriter(files, self._parts.filesystem, is_read=True)
            except (FileNotFoundError, UploadUnknown):
                continue  # it is being removed just now
            except UploadInvalid:
                return None
            # All downloads of a digest have one name: this may be the lock of one that has ended meanwhile.
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


class _Flow:
    """Has chunks written by a thread: at once what comes after a pause, else what has come within a short time."""

    def __init__(self, receiving: UploadWriter, running: RunningHash | None, on_progress: Callable[[], object]) -> None:
        self._receiving = receiving
        self._running = running
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()
        self._chunks: list[bytes] = []
        self._gathered_bytes = 0
        self._hop: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun_at = -_GATHERING_SECONDS

    async def add(self, chunk: bytes) -> None:
        """Take a chunk. Raises StorageFault, StorageFull: an earlier one could not be written."""
        self._chunks.append(chunk)
        self._gathered_bytes += len(chunk)
        if self._gathered_bytes >= PIECE_BYTES:
            await self._settle()
            self._begin()
        elif self._hop is None:
            self._schedule()
        elif self._hop.done():
            await self._settle()  # which raises where it failed
            self._schedule()

    async def finish(self) -> None:
        """Write what is gathered. Raises as :meth:`add`."""
        await self._settle()
        if self._chunks:
            self._begin()
            await self._settle()

    async def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        hop, self._hop = self._hop, None
        if hop is not None:
            await hop

    def _schedule(self) -> None:
        if self._timer is None and self._chunks:
            at = max(self._begun_at + _GATHERING_SECONDS, self._loop.time())
            self._timer = self._loop.call_at(at, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._hop is None:
            self._begin()

    def _begin(self) -> None:
        chunks, self._chunks, self._gathered_bytes = self._chunks, [], 0
        self._begun_at = self._loop.time()
        self._hop = begin_in_thread("store a download", self._receiving.write, chunks, self._running)
        self._hop.add_done_callback(self._written)

    def _written(self, hop: asyncio.Future[None]) -> None:
        if hop.cancelled() or hop.exception() is not None:
            return  # who adds or finishes next is told
        if self._hop is hop:
            self._hop = None
            self._schedule()
        self._on_progress()


def _close(opened: IO[bytes] | UploadWriter | None) -> None:
    if opened is not None:
        opened.close()


def _open(files: UploadLayout) -> IO[bytes] | None:
    try:
        return files.data.open("rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError):
        return None
