"""One upload session, as clients of the port use it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from dataclasses import dataclass

from sqlalchemy import Connection

from mirror.oci import Descriptor, Digest, errors
from mirror.oci.digest import ALGORITHMS
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.streams import closing_stream
from mirror.registry.upload import UploadBody
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.threads import await_or_release
from mirror.store.catalog import rows
from mirror.store.catalog.pushes.charged_push import PUSH, pusher
from mirror.store.catalog.pushes.push_rows import charge_blob
from mirror.store.content.data_layout import UploadLayout
from mirror.store.content.disk_room import DiskRoom
from mirror.store.content.filesystem import Filesystem
from mirror.store.storage_threads import begin_in_thread, in_thread
from mirror.store.uploads.adoption import Adoption
from mirror.store.uploads.rehashing import Rehashing
from mirror.store.uploads.running_hashes import RunningHash, RunningHashes
from mirror.store.uploads.session_file import UploadSessionFile
from mirror.store.uploads.upload_writer import Pieces, PieceSizes, UploadWriter, remove_upload
from mirror.wire.ranges import Span


@dataclass(frozen=True, slots=True)
class UploadParts:
    """The objects that all uploads and downloads of a store share."""

    filesystem: Filesystem
    room: DiskRoom
    clock: Clock
    adoption: Adoption
    running: RunningHashes
    rehashing: Rehashing
    sizes: PieceSizes
    max_blob_bytes: int | None


class StoreUpload:
    """One upload session. Made by :class:`mirror.store.uploads.upload_sessions.UploadSessions`.

    Implements :class:`mirror.registry.port.Upload`.

    Args:
        parts: the objects that uploads share.
        upload: the files of the session.
        session: the content of its session file.
        offset: the number of bytes held.
        algorithm: the expected algorithm of the digest. If the digest has another one, the bytes are read again.
    """

    def __init__(
        self,
        parts: UploadParts,
        upload: UploadLayout,
        session: UploadSessionFile,
        offset: int,
        algorithm: str = ALGORITHMS[0],
    ) -> None:
        self.id = upload.folder.name
        self.offset = offset
        self._parts = parts
        self._upload = upload
        self._session = session
        self._algorithm = algorithm

    async def append(
        self, chunks: AsyncIterable[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        async with closing_stream(chunks), self._receiving() as receiving:
            await self._append(receiving, chunks, span, size_bytes)

    async def _append(
        self, receiving: UploadWriter, chunks: AsyncIterable[bytes], span: Span | None, size_bytes: int | None
    ) -> None:
        before = receiving.size_bytes
        if span is not None and span.start != before:
            raise errors.RangeInvalid(
                f"chunk begins at byte {span.start}, but the upload session holds {before} bytes", offset=before
            )
        running = self._running_hash(before)
        room = self._parts.room
        promised = nullcontext() if size_bytes is None else room.promised(receiving, before + size_bytes)
        with promised, Pieces(receiving, running, self._parts.sizes) as pieces:
            try:
                refusal = await self._receive(pieces, chunks, before, span)
            except BaseException:
                with suppress(errors.StorageFault):  # the first error is raised, not one that follows from it
                    await pieces.finish()
                # Bytes that were written before a cancellation or a broken connection are kept: the client resumes
                # after them. After a failed write the upload is cut back to what it held before this request.
                if pieces.failed:
                    await self._cut(receiving, before)
                raise
            finally:
                self.offset = receiving.size_bytes
                # Put back only a hash of exactly the bytes held. RunningHashes.take() relies on this.
                if running is not None and running.size_bytes == receiving.size_bytes:
                    self._parts.running.put(self.id, running)
        if refusal is not None:
            await self._cut(receiving, before)
            raise refusal

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        # One lock from the last bytes to the blob: another request must not add bytes in between.
        async with closing_stream(last.chunks) if last is not None else nullcontext(), self._receiving() as receiving:
            if last is not None:
                await self._append(receiving, last.chunks, last.span, last.size_bytes)
            whole_bytes = receiving.size_bytes
            running = self._parts.running.take(self.id, whole_bytes)
            if running is not None and running.algorithm == digest.algorithm:
                actual = running.digest
            else:
                actual = await self._parts.rehashing.digest(receiving, digest.algorithm)
            if actual != digest:
                await self._remove()
                raise errors.DigestInvalid(f"upload has digest {actual}, not {digest}", expected=digest, actual=actual)
            try:
                await in_thread(f"store {digest}", receiving.sync)
            except errors.StorageFault:
                # After a failed sync Linux reports success for the next one, although the bytes are on no disk. The
                # client must send them again.
                await self._discard(receiving)
                raise
            await self._adopt(digest, whole_bytes)
            with suppress(errors.StorageFault):  # the blob is stored; the rest of the upload expires
                await self._remove()
        return Descriptor(OCTET_STREAM, digest, whole_bytes)

    async def cancel(self) -> None:
        with suppress(errors.UploadUnknown):
            async with self._receiving():
                await self._remove()

    @asynccontextmanager
    async def _receiving(self) -> AsyncIterator[UploadWriter]:
        """Lock and open the files for the length of one call."""
        opening = begin_in_thread(
            "open an upload", UploadWriter, self._upload, self._parts.filesystem, self._parts.room
        )
        receiving = await await_or_release(opening, release=UploadWriter.close)
        with closing(receiving):
            yield receiving

    def _running_hash(self, held_bytes: int) -> RunningHash | None:
        if held_bytes:
            return self._parts.running.take(self.id, held_bytes)
        return RunningHash(self._algorithm)

    async def _receive(
        self, pieces: Pieces, chunks: AsyncIterable[bytes], before: int, span: Span | None
    ) -> errors.ClientFault | None:
        """Write the chunks. Return the reason if they cannot be accepted, else None.

        No write is under way when this returns.
        """
        held = before
        refusal = None
        async for chunk in chunks:
            held += len(chunk)
            refusal = self._refusal(held, span)
            if refusal is not None:
                break
            await pieces.add(chunk)
        await pieces.finish()
        if refusal is None and span is not None and held < span.stop:
            refusal = errors.RangeInvalid(f"chunk {span.chunk_range()} has only {held - before} bytes", offset=before)
        return refusal

    def _refusal(self, held_bytes: int, span: Span | None) -> errors.ClientFault | None:
        limit = self._parts.max_blob_bytes
        if span is not None and held_bytes > span.stop:
            return errors.RangeInvalid(f"the request has more bytes than chunk {span.chunk_range()}", offset=span.start)
        if limit is not None and held_bytes > limit:
            return errors.ContentTooLarge(
                f"a blob may have at most {limit} bytes (server.limits.blob_bytes)", limit_bytes=limit
            )
        return None

    async def _cut(self, receiving: UploadWriter, size_bytes: int) -> None:
        with suppress(errors.StorageFault):  # if truncating fails too, offset tells what is held
            await in_thread("store an upload", receiving.truncate, size_bytes)
        self.offset = receiving.size_bytes

    async def _adopt(self, digest: Digest, size_bytes: int) -> None:
        # Read here: the transaction runs in a thread that has no context of its own.
        now, charged, repository = self._parts.clock.now(), PUSH.get(), self._session.repository

        def hold(connection: Connection) -> None:
            charge_blob(connection, charged, repository, digest, now)
            rows.add_blob(connection, repository, digest, now, pusher(charged))

        file, adoption = self._upload.data, self._parts.adoption
        await adoption.adopt(file, digest, size_bytes=size_bytes, now=now, hold=hold)

    async def _discard(self, receiving: UploadWriter) -> None:
        """Remove the upload. If the disk refuses the removal, empty the file, so that nobody commits these bytes."""
        try:
            await self._remove()
        except errors.StorageFault:
            await self._cut(receiving, 0)

    async def _remove(self) -> None:
        await in_thread("remove an upload", remove_upload, self._upload, self._parts.filesystem)
