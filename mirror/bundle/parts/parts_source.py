"""The bytes of a bundle in parts, read in place. The parts may be in any folders."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import aiofiles.os

from mirror.bundle.bundle_errors import BundleIncomplete
from mirror.bundle.format.byte_source import FileSource, require_range
from mirror.bundle.parts.parts_table import PartsTable
from mirror.bundle.parts.range_copy import digest_of_range
from mirror.oci import Digest
from mirror.transfer.progress_reporting import SilentProgress


class PartsSource:
    """A bundle in parts. Implements :class:`mirror.bundle.format.byte_source.ByteSource`. Created by :meth:`open`.

    Attributes:
        name: path of the table of parts.
        table: the table of parts.
        size_bytes: size of the bundle.
        folders: folders with parts, in the order of the search.
        files: found parts by number. Their sizes are those of the table.
    """

    def __init__(
        self,
        table_file: Path,
        table: PartsTable,
        folders: Sequence[Path],
        files: Mapping[int, Path],
        faults: Mapping[int, str],
    ) -> None:
        self.name = str(table_file)
        self.table = table
        self.size_bytes = table.size_bytes
        self.folders = folders
        self.files = files
        self._faults = faults

    @classmethod
    async def open(cls, table_file: Path, table: PartsTable, folders: Sequence[Path]) -> PartsSource:
        """Return the source for parts. A part may be missing until its bytes are read.

        Args:
            table_file: path of the table.
            table: the table.
            folders: folders to look into, in order. A part that is not whole is passed over for one that is.
        """
        files: dict[int, Path] = {}
        faults: dict[int, str] = {}
        looked = ", ".join(dict.fromkeys(str(folder) for folder in folders))
        for number, part in enumerate(table.parts, start=1):
            faults[number] = f"is missing: it is not in {looked}"
            for folder in folders:
                found = await _size_of(folder / part.name)
                if found == part.size_bytes:
                    files[number] = folder / part.name
                    del faults[number]
                    break
                if found is not None:
                    faults[number] = f"is not whole: {folder / part.name} has {found} of {part.size_bytes} bytes"
        return cls(table_file, table, folders, files, faults)

    async def chunks(self, start_bytes: int, size_bytes: int) -> AsyncIterator[bytes]:
        require_range(self, start_bytes, size_bytes)
        for piece in self.table.ranges(start_bytes, size_bytes):
            async for chunk in self._part(piece.number).chunks(piece.start_bytes, piece.size_bytes):
                yield chunk

    def missing(self, start_bytes: int, size_bytes: int) -> tuple[str, ...]:
        numbers = [piece.number for piece in self.table.ranges(start_bytes, size_bytes)]
        return tuple(
            f"{self.table.label(number)} {self._faults[number]}" for number in numbers if number in self._faults
        )

    async def damage(self, start_bytes: int, size_bytes: int) -> str:
        if damaged := await self.damaged_parts(start_bytes, size_bytes):
            return "; ".join(damaged)
        return f"bytes {start_bytes} to {start_bytes + size_bytes - 1} of the bundle are damaged since before its split"

    async def damaged_parts(self, start_bytes: int, size_bytes: int) -> list[str]:
        """Return the parts with bytes of a range that differ from the table, each as text for messages."""
        return [
            f"{self.table.label(piece.number)} is damaged, in its bytes {piece.start_bytes} to "
            f"{piece.start_bytes + piece.size_bytes - 1}; fix: copy {piece.part.name} again"
            for piece in self.table.ranges(start_bytes, size_bytes)
            if piece.number in self.files and await self.digest_of_part(piece.number) != piece.part.digest
        ]

    async def digest_of_part(self, number: int) -> Digest:
        """Read a part to its end and return its digest. Raises the errors of :meth:`chunks`."""
        part = self.table.parts[number - 1]
        return await digest_of_range(self, part.start_bytes, part.size_bytes, SilentProgress())

    def _part(self, number: int) -> FileSource:
        file, part = self.files.get(number), self.table.parts[number - 1]
        if file is None:
            raise BundleIncomplete(
                f"{self.table.label(number)} {self._faults[number]}; fix: name the folder of the part with --parts, "
                f"or make it again at the sender with 'plugin-mirror bundle export -o F --part {number}'",
                part=part.name,
            )
        return FileSource(file, part.size_bytes)


async def _size_of(file: Path) -> int | None:
    """Return the size of a regular file; None if there is none, or its folder cannot be searched."""
    try:
        found = await aiofiles.os.stat(file)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
