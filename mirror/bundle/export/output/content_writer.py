"""Writing of all blobs of a bundle, several at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.bundle.bundle_errors import BundleFault
from mirror.bundle.export.collected_content import CollectedContent
from mirror.bundle.export.output.bundle_output import BundleOutput
from mirror.bundle.export.output.export_journal import ExportJournal
from mirror.bundle.export.output.placed_writing import PIECE_BYTES, PlacedWriting
from mirror.bundle.format.bundle_layout import PlacedMember
from mirror.oci import Digest, Repository
from mirror.oci.errors import NotFound, StorageDamaged
from mirror.registry.port import Blob, Unverified
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.blob_locks import map_concurrently
from mirror.transfer.progress_reporting import Progress
from mirror.wire.ranges import RangeRequest

#: Bytes copied by one hop into a thread.
_HOP_BYTES: Final = 8 * PIECE_BYTES
#: Registries give the same content for any repository, see :class:`CollectedContent`.
_ANY: Final = Repository("bundle")


class ContentWriter:
    """Writes blobs at their places, and knows which are written.

    Args:
        content: the content.
        output: the bundle.
        blobs: the blobs, in the order of the bundle.
        journal: progress of an interrupted export of the same blobs, or of none.
        progress: receiver of the progress.
        at_once: number of blobs written at a time.

    Attributes:
        continued_bytes: bytes that the interrupted export had written.
    """

    def __init__(
        self,
        content: CollectedContent,
        output: BundleOutput,
        blobs: tuple[PlacedMember, ...],
        journal: ExportJournal,
        *,
        progress: Progress,
        at_once: int,
    ) -> None:
        self._content = content
        self._output = output
        self._blobs = blobs
        self._progress = progress
        self._at_once = at_once
        self._earlier = journal
        self._synced = set(journal.synced)
        self._written = set(journal.synced)
        self._begun: dict[int, PlacedWriting] = {}
        self.continued_bytes = sum(blobs[number].member.size_bytes for number in journal.synced)

    def journal(self) -> ExportJournal:
        """Return the progress so far."""
        # What was not looked at yet is as the interrupted export left it.
        waiting = self._earlier.written - self._written - self._begun.keys()
        begun = {number: size for number, size in self._earlier.begun.items() if number not in self._written}
        begun |= {number: writing.done_bytes for number, writing in self._begun.items()}
        return replace(
            self._earlier,
            synced=frozenset(self._synced),
            written=frozenset(self._written - self._synced) | waiting,
            begun=begun,
        )

    async def write_all(self) -> None:
        """Write what is not yet written.

        Raises:
            StorageDamaged: content has another digest.
            BundleFault: content is no longer there.
            MirrorError: content cannot be read or written.
        """
        waiting = [number for number in range(len(self._blobs)) if number not in self._written]
        self._progress.expect(sum(self._blobs[number].member.size_bytes for number in waiting))
        await map_concurrently(self._at_once, self._write, waiting)

    async def sync(self) -> None:
        """Wait until everything that is written now is on the disk."""
        written = set(self._written)
        await in_thread(self._output.sync)
        self._synced |= written

    async def _write(self, number: int) -> None:
        placed = self._blobs[number]
        try:
            await self._write_placed(number, placed)
        except NotFound as error:
            raise BundleFault(
                f"{error}: it was deleted since the export began, or its registry never had it; "
                "fix: run the command again"
            ) from error

    async def _write_placed(self, number: int, placed: PlacedMember) -> None:
        size_bytes = placed.member.size_bytes
        earlier = size_bytes if number in self._earlier.written else self._earlier.begun.get(number, 0)
        if earlier:
            writing = PlacedWriting(self._output, placed)
            await self._take_back(writing, min(earlier, size_bytes))
            if await self._fill(number, writing):
                self.continued_bytes += writing.done_bytes if earlier == size_bytes else earlier
                return
            self._progress.expect(writing.done_bytes)  # once more
        if not await self._fill(number, PlacedWriting(self._output, placed)):
            raise self._wrong(placed.member.digest)

    async def _fill(self, number: int, writing: PlacedWriting) -> bool:
        """Write the rest of a blob. Return True if the blob has its digest."""
        placed = self._blobs[number]
        self._begun[number] = writing
        if not writing.left_bytes:  # empty, or written before; what surrounds it may not be
            await in_thread(writing.append, b"")
        elif self._content.places[placed.member.digest].media_type:
            manifest = await self._content.get_manifest(_ANY, placed.member.digest)
            self._progress.advance(writing.left_bytes)
            await in_thread(writing.append, manifest.content[writing.done_bytes :])
        else:
            part = RangeRequest(writing.done_bytes, None) if writing.done_bytes else None
            async with self._content.open_blob(_ANY, placed.member.digest, part) as blob:
                await self._copy(blob, writing)
        is_right = writing.is_whole()
        del self._begun[number]
        if is_right:
            self._written.add(number)
        return is_right

    async def _copy(self, blob: Blob, writing: PlacedWriting) -> None:
        if blob.file is not None:
            while writing.left_bytes:
                self._progress.advance(await in_thread(writing.copy_from, blob.file.fileno(), _HOP_BYTES))
            return
        # The whole is verified at the end. Verifying here too would hash the bytes twice.
        chunks = blob.unverified() if isinstance(blob, Unverified) else blob
        waiting = bytearray()
        async for chunk in chunks:
            waiting += chunk
            if len(waiting) >= PIECE_BYTES:
                await in_thread(writing.append, bytes(waiting))
                self._progress.advance(len(waiting))
                waiting.clear()
        await in_thread(writing.append, bytes(waiting))
        self._progress.advance(len(waiting))

    async def _take_back(self, writing: PlacedWriting, size_bytes: int) -> bool:
        """Read what is written. Return True if it was all there."""
        while writing.done_bytes < size_bytes:
            before = writing.done_bytes
            await in_thread(writing.take_back, min(before + _HOP_BYTES, size_bytes))
            if writing.done_bytes == before:
                return False
            self._progress.advance(writing.done_bytes - before)
        return True

    def _wrong(self, digest: Digest) -> StorageDamaged:
        place = self._content.places[digest]
        return StorageDamaged(
            f"{digest} in {place.repository} is damaged: its bytes have another digest or size", digest=digest
        )
