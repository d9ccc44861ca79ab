"""The parts that an export writes, in place of one file.

The bundle appears with its table of parts, when all parts are complete and on the disk. Until then, the journal
``F.SIZE.partial.json`` says which bytes of the parts are there.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from mirror.bundle.export.output.single_file_output import lock_partial, require_room_beside, target_of
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.format.output_file import write_document, writing_file
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.parts_table import Part, PartsTable, bundle_of_part, part_name, planned_parts, table_name
from mirror.bundle.parts.range_copy import digest_of_range
from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.concurrency.threads import in_thread
from mirror.transfer.progress_reporting import Progress

#: All parts are open while they are written, and a process may have about 1024 open files.
_MOST_PARTS: Final = 500


class PartsOutput:
    """A bundle in parts. Created by :meth:`open`.

    Implements :class:`mirror.bundle.export.output.bundle_output.BundleOutput`.

    Attributes:
        path: path that the whole bundle would have.
        journal: file with the progress.
    """

    def __init__(self, path: Path, part_bytes: int) -> None:
        self.path = path
        # Parts of another size hold other bytes, and so have a journal of their own.
        self.journal = path.with_name(f"{path.name}.{part_bytes}.partial.json")
        self._part_bytes = part_bytes
        self._opened: dict[int, int] = {}
        self._opening = threading.Lock()
        self._table: PartsTable | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, part_bytes: int) -> AsyncIterator[PartsOutput]:
        """Open the parts of a bundle, and keep other exports out.

        Args:
            path: path that the whole bundle would have.
            part_bytes: size of each part but the last.

        Raises:
            ConfigurationFault: the folder does not exist, or the whole bundle exists.
            Busy: another export writes the same bundle, to parts of any size or to one file.
            StorageFault: the parts cannot be written.
        """
        path = await in_thread(target_of, path)
        # One lock for parts of all sizes, and for the whole bundle: they would write the same files.
        async with lock_partial(path):
            if await in_thread(path.exists):
                raise ConfigurationFault(
                    f"{path} exists, and readers would use it in place of the parts; "
                    "fix: remove it, or choose another file"
                )
            output = cls(path, part_bytes)
            try:
                yield output
            finally:
                for opened in output._opened.values():
                    os.close(opened)

    @property
    def size_bytes(self) -> int:
        return sum(file.stat().st_size for file in self._files())

    def holds(self, start_bytes: int, end_bytes: int) -> bool:
        # A person may have moved a part away, to carry it, before the export was complete.
        return all(
            os.fstat(self._descriptor_of(number)).st_size >= start + size
            for number, start, size in self._pieces(start_bytes, end_bytes - start_bytes)
        )

    def write(self, content: bytes | memoryview, offset: int) -> None:
        view = memoryview(content)
        for number, start, size in self._pieces(offset, len(view)):
            piece, view = view[:size], view[size:]
            with writing_file(self._file(number)):
                done = 0
                while done < size:
                    done += os.pwrite(self._descriptor_of(number), piece[done:], start + done)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        number, start, size = next(self._pieces(offset, len(buffer)))
        with writing_file(self._file(number)):
            return os.preadv(self._descriptor_of(number), [buffer[:size]], start)

    def begin_sync(self, offset: int, size_bytes: int) -> None:
        for number, start, size in self._pieces(offset, size_bytes):
            with suppress(OSError):
                os.posix_fadvise(self._descriptor_of(number), start, size, os.POSIX_FADV_DONTNEED)

    def forget(self) -> None:
        """Drop the bytes from the memory of the system, so that the next read is from the medium. Sync them first."""
        for descriptor in self._opened.values():
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        for number, descriptor in list(self._opened.items()):
            with writing_file(self._file(number)):
                os.fsync(descriptor)

    def truncate(self, size_bytes: int) -> None:
        with writing_file(self.path):
            if not size_bytes:
                # The table first: parts of an earlier bundle with this name are of no use without it, and do no harm.
                self._table_file.unlink(missing_ok=True)
                # What an export to parts of another size has written is overwritten now.
                for file in self._other_journals():
                    file.unlink(missing_ok=True)
            planned = planned_parts(self.path.name, size_bytes, self._part_bytes)
            names = {name for name, _, _ in planned}
            for file in self._files():
                if file.name not in names:
                    file.unlink()
                    self._close(file)
            for number, (_, _, size) in enumerate(planned, start=1):
                os.ftruncate(self._descriptor_of(number), size)

    def require_room(self, size_bytes: int) -> None:
        count = -(-size_bytes // self._part_bytes)
        if count > _MOST_PARTS:
            raise ConfigurationFault(
                f"{count} parts are too many: an export writes at most {_MOST_PARTS}; "
                "fix: choose larger parts with --split"
            )
        with writing_file(self.path):
            held_bytes = sum(file.stat().st_blocks * 512 for file in self._files())
        require_room_beside(self.path, size_bytes - held_bytes)

    async def read_back(self, statement: Digest, progress: Progress) -> PartsSource:
        await in_thread(self.forget)
        self._table = await self._new_table(statement, progress)
        return await PartsSource.open(self._table_file, self._table, [self.path.parent])

    async def finish(self, statement: Digest, progress: Progress) -> None:
        # A serial that was taken meanwhile changes the first part.
        table = self._table
        if table is None or table.statement != statement:
            table = await self._new_table(statement, progress)
        await write_document(self._table_file, table.to_bytes())
        await in_thread(self._remove_journal)

    @property
    def _table_file(self) -> Path:
        return self.path.with_name(table_name(self.path.name))

    async def _new_table(self, statement: Digest, progress: Progress) -> PartsTable:
        sizes = [os.fstat(self._descriptor_of(number)).st_size for number in range(1, len(self._files()) + 1)]
        progress.expect(sum(sizes))
        parts = []
        for place, size_bytes in enumerate(sizes):
            file = FileSource(self._file(place + 1), size_bytes)
            digest = await digest_of_range(file, 0, size_bytes, progress)
            parts.append(Part(self._file(place + 1).name, place * self._part_bytes, size_bytes, digest))
        return PartsTable(statement, self._part_bytes, tuple(parts))

    def _remove_journal(self) -> None:
        with writing_file(self.journal):
            self.journal.unlink(missing_ok=True)

    def _pieces(self, offset: int, size_bytes: int) -> Iterator[tuple[int, int, int]]:
        """Iterate over a range: number of the part, offset in the part, and number of bytes."""
        end = offset + size_bytes
        while offset < end:
            place, start = divmod(offset, self._part_bytes)
            size = min(self._part_bytes - start, end - offset)
            yield place + 1, start, size
            offset += size

    def _other_journals(self) -> list[Path]:
        """Return the journals of interrupted exports to parts of other sizes."""
        name = re.compile(rf"{re.escape(self.path.name)}\.[0-9]+\.partial\.json")
        return [file for file in self.path.parent.iterdir() if name.fullmatch(file.name) and file != self.journal]

    def _files(self) -> list[Path]:
        return [file for file in self.path.parent.iterdir() if bundle_of_part(file.name) == self.path.name]

    def _file(self, number: int) -> Path:
        return self.path.with_name(part_name(self.path.name, number))

    def _descriptor_of(self, number: int) -> int:
        with self._opening:
            if number not in self._opened:
                with writing_file(self._file(number)):
                    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                    self._opened[number] = os.open(self._file(number), flags, 0o644)
            return self._opened[number]

    def _close(self, file: Path) -> None:
        with self._opening:
            for number in [number for number in self._opened if self._file(number) == file]:
                os.close(self._opened.pop(number))
