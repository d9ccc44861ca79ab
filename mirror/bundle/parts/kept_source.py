"""A bundle in parts whose drives come one after the other. Bytes that a later run needs are kept in a folder.

The first part has the documents, and content may begin in one part and end in the next one. A reader that sees one
drive at a time keeps such ranges, and reads them later together with the parts of another drive.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiofiles.os

from mirror.bundle.format.byte_source import FileSource, require_range
from mirror.bundle.format.output_file import writing_file
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.range_copy import write_range
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.files import private_files
from mirror.transfer.progress_reporting import SilentProgress

#: Time after the last run of an import until the bytes that it kept are removed by the import of another bundle.
_KEPT_SECONDS: Final = 30 * 24 * 3600
_NAME: Final = re.compile(r"([0-9]{1,16})-([0-9]{1,16})")


@dataclass(frozen=True, slots=True)
class _KeptRange:
    file: Path
    start_bytes: int
    end_bytes: int


@dataclass(frozen=True, slots=True)
class _Piece:
    kept: _KeptRange | None
    start_bytes: int
    size_bytes: int


class KeptSource:
    """Parts of a bundle, together with kept ranges. Created by :meth:`open`.

    Implements :class:`mirror.bundle.format.byte_source.ByteSource`.
    Kept bytes were not verified. The reader verifies them with the rest of the content. A part that is here is read in
    place of kept bytes, because a person may have copied the part again.

    Attributes:
        name: name of the parts.
        size_bytes: size of the bundle.
        parts: the parts.
    """

    def __init__(self, parts: PartsSource, folder: Path, kept: list[_KeptRange]) -> None:
        self.name = parts.name
        self.size_bytes = parts.size_bytes
        self.parts = parts
        self._folder = folder
        self._kept = kept

    @classmethod
    async def open(cls, parts: PartsSource, folder: Path) -> KeptSource:
        """Return the source for parts and the ranges that earlier runs kept.

        Args:
            parts: the parts.
            folder: folder for the kept ranges of all bundles. It may be missing.
        """
        own = folder / parts.table.statement.hex
        kept = []
        if await aiofiles.os.path.isdir(own):
            for name in await aiofiles.os.listdir(own):
                found = _NAME.fullmatch(name)
                if found and await _has_size(own / name, int(found[2])):
                    kept.append(_KeptRange(own / name, int(found[1]), int(found[1]) + int(found[2])))
        return cls(parts, own, kept)

    async def chunks(self, start_bytes: int, size_bytes: int) -> AsyncIterator[bytes]:
        require_range(self, start_bytes, size_bytes)
        for piece in self._places(start_bytes, size_bytes):
            if piece.kept is None:
                chunks = self.parts.chunks(piece.start_bytes, piece.size_bytes)
            else:
                file = FileSource(piece.kept.file, piece.kept.end_bytes - piece.kept.start_bytes)
                chunks = file.chunks(piece.start_bytes - piece.kept.start_bytes, piece.size_bytes)
            async for chunk in chunks:
                yield chunk

    def missing(self, start_bytes: int, size_bytes: int) -> tuple[str, ...]:
        gaps = (piece for piece in self._places(start_bytes, size_bytes) if piece.kept is None)
        return tuple(
            dict.fromkeys(told for gap in gaps for told in self.parts.missing(gap.start_bytes, gap.size_bytes))
        )

    async def damage(self, start_bytes: int, size_bytes: int) -> str:
        """Return the place of damaged bytes, as text for messages. Kept bytes among them are removed."""
        damaged = await self.parts.damaged_parts(start_bytes, size_bytes)
        used = {piece.kept for piece in self._places(start_bytes, size_bytes)} - {None}
        if damaged or not used:
            return await self.parts.damage(start_bytes, size_bytes)
        for kept in list(self._kept):
            if kept in used:
                await self._remove(kept.file)
                self._kept.remove(kept)
        return "the bytes that an earlier run kept are damaged, and are removed; fix: bring the earlier drives again"

    async def keep(self, start_bytes: int, size_bytes: int) -> None:
        """Keep the bytes of a range that are in the parts here, durably. Kept bytes are not written again.

        Raises:
            StorageFull: the disk is full.
            StorageFault: a part cannot be read, or the bytes cannot be written.
        """
        for gap in list(self._pieces(start_bytes, size_bytes)):
            if gap.kept is not None:
                continue
            for piece in self.parts.table.ranges(gap.start_bytes, gap.size_bytes):
                if piece.number in self.parts.files:
                    await self._write(piece.part.start_bytes + piece.start_bytes, piece.size_bytes)

    async def forget(self) -> None:
        """Remove all kept ranges of the bundle. Raises StorageFault."""
        self._kept.clear()
        await self._remove(self._folder)

    async def _remove(self, path: Path) -> None:
        """Remove a file, or a folder of kept ranges. Another import may do the same."""
        with writing_file(path), suppress(FileNotFoundError):
            if await aiofiles.os.path.isdir(path):
                for name in await aiofiles.os.listdir(path):
                    await self._remove(path / name)
                await aiofiles.os.rmdir(path)
            else:
                await aiofiles.os.unlink(path)

    async def _expire(self) -> None:
        """Remove the ranges of bundles that nobody goes on to import."""
        for name in await aiofiles.os.listdir(self._folder.parent):
            other = self._folder.with_name(name)
            with suppress(FileNotFoundError):
                age_seconds = time.time() - (await aiofiles.os.stat(other)).st_mtime
                if other != self._folder and age_seconds > _KEPT_SECONDS:
                    await self._remove(other)

    async def _write(self, start_bytes: int, size_bytes: int) -> None:
        file_name = self._folder / f"{start_bytes}-{size_bytes}"
        # Two imports of the same bundle may keep the same range.
        partial = file_name.with_suffix(f".{secrets.token_hex(4)}.partial")
        with writing_file(file_name):
            await in_thread(private_files.make_folder, self._folder.parent)
            await self._expire()
            await in_thread(private_files.make_folder, self._folder)
        await write_range(self.parts, start_bytes, size_bytes, file_name, SilentProgress(), partial=partial)
        self._kept.append(_KeptRange(file_name, start_bytes, start_bytes + size_bytes))

    def _places(self, start_bytes: int, size_bytes: int) -> Iterator[_Piece]:
        """Iterate over a range, each piece in a part that is here, in one kept range, or nowhere."""
        for piece in self.parts.table.ranges(start_bytes, size_bytes):
            start = piece.part.start_bytes + piece.start_bytes
            if piece.number in self.parts.files:
                yield _Piece(None, start, piece.size_bytes)
            else:
                yield from self._pieces(start, piece.size_bytes)

    def _pieces(self, start_bytes: int, size_bytes: int) -> Iterator[_Piece]:
        """Iterate over a range, each piece in one kept range or in none."""
        end = min(start_bytes + size_bytes, self.size_bytes)
        while start_bytes < end:
            here = [each for each in self._kept if each.start_bytes <= start_bytes < each.end_bytes]
            if here:
                kept: _KeptRange | None = max(here, key=lambda each: each.end_bytes)
                taken = min(end, max(each.end_bytes for each in here)) - start_bytes
            else:
                kept = None
                later = (each.start_bytes for each in self._kept if each.start_bytes > start_bytes)
                taken = min(end, min(later, default=end)) - start_bytes
            yield _Piece(kept, start_bytes, taken)
            start_bytes += taken


async def _has_size(file: Path, size_bytes: int) -> bool:
    try:
        return (await aiofiles.os.stat(file)).st_size == size_bytes
    except FileNotFoundError:  # another import has just ended
        return False
