"""A file that may be started: what its bytes say of it while they pass by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mirror.plugin.rootfs import elf
from mirror.plugin.rootfs.elf import Elf

#: Longest first line that Linux reads of a script (BINPRM_BUF_SIZE), in bytes.
_MOST_LINE_BYTES: Final = 256
#: Most bytes that are kept of a dynamic program while it passes by: the names of its libraries stand at its beginning.
_MOST_KEPT_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Program:
    """A file as the kernel sees it that is to start it.

    Attributes:
        elf: where it is an ELF file.
        interpreter: of a script, the path after ``#!``.
        argument: of a script, what follows that; ``/usr/bin/env`` looks for a program of this name.
    """

    elf: Elf | None = None
    interpreter: str | None = None
    argument: str = ""

    @property
    def size_characters(self) -> int:
        """Of all names in it."""
        names = [self.interpreter or "", self.argument]
        if self.elf is not None:
            names += [self.elf.interpreter or "", *(self.elf.needed or ()), *self.elf.paths]
        return sum(map(len, names))


class ProgramReader:
    """Reads a file in pieces, and tells :class:`Program` at the end. Keeps little of it, and less of what is no ELF."""

    def __init__(self) -> None:
        self._position = 0
        self._kept = bytearray()
        self._dynamic = bytearray()
        self._layout: elf.ElfLayout | None = None
        self._most_kept_bytes = elf.HEAD_BYTES

    def feed(self, buffer: bytes, start: int, stop: int) -> None:
        """Read on, from a part of a buffer."""
        while start < stop:
            begun = len(self._kept) < self._most_kept_bytes
            end = min(stop, start + self._most_kept_bytes - len(self._kept)) if begun else stop
            piece = memoryview(buffer)[start:end]
            if begun:
                self._kept += piece
            self._keep_dynamic(piece)
            self._position += len(piece)
            if begun and self._most_kept_bytes == elf.HEAD_BYTES == len(self._kept):
                self._look()
            start = end

    def finish(self) -> Program:
        """Say that this was all, and learn what it is."""
        if self._layout is None:
            self._look()
        if self._layout is not None:
            return Program(elf=elf.read(self._layout, self._kept, self._dynamic))
        if self._kept.startswith(b"#!"):
            line = bytes(self._kept[2:_MOST_LINE_BYTES]).partition(b"\n")[0].strip(b" \t")
            interpreter, _, argument = line.decode("utf-8", "surrogateescape").replace("\t", " ").partition(" ")
            return Program(interpreter=interpreter, argument=argument.strip())
        return Program()

    def _look(self) -> None:
        """The head is there."""
        self._layout = elf.layout_of(bytes(self._kept))
        if self._layout is not None and self._layout.dynamic is not None:
            self._most_kept_bytes = _MOST_KEPT_BYTES
            offset, size_bytes = self._layout.dynamic
            self._dynamic += self._kept[offset : offset + size_bytes]

    def _keep_dynamic(self, piece: memoryview) -> None:
        """Keep what of the table of libraries is in this piece; the head's part is taken when the head is looked at."""
        if self._layout is not None and self._layout.dynamic is not None:
            offset, size_bytes = self._layout.dynamic
            first, last = max(offset - self._position, 0), offset + size_bytes - self._position
            if last > first:
                self._dynamic += piece[first : max(last, 0)]
