"""Executable format of a file that may be started, read from its bytes as they pass."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Final

from mirror.plugin.rootfs import elf
from mirror.plugin.rootfs.elf import Elf

#: Leading bytes of a script that Linux reads for its first line (BINPRM_BUF_SIZE).
_MOST_LINE_BYTES: Final = 256
#: Most bytes of a dynamic program that are kept. The names of its libraries are near its beginning (ADR 14).
_MOST_KEPT_BYTES: Final = 8 * 1024 * 1024
#: Largest shell script whose text is kept. Larger ones carry an archive, or are not written by hand.
_MOST_SCRIPT_BYTES: Final = 64 * 1024
#: Interpreters of shell scripts.
SHELLS: Final = frozenset(["sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"])
#: Programs that start the interpreter in their argument.
_STARTERS: Final = frozenset(["env", "busybox", "with-contenv"])


@dataclass(frozen=True, slots=True)
class Program:
    """Executable format of a file, as the kernel sees it. All fields are empty for an unknown format.

    Attributes:
        elf: the ELF program; None for other formats.
        interpreter: path after ``#!`` of a script; None for other formats.
        argument: text after the interpreter of a script. For ``/usr/bin/env``, the name of the program to search.
        script_text: text of a shell script; None for other formats, and for scripts of more than 64 KiB.
    """

    elf: Elf | None = None
    interpreter: str | None = None
    argument: str = ""
    script_text: str | None = None

    @property
    def size_characters(self) -> int:
        """Length of all texts in the program together, in characters."""
        names = [self.interpreter or "", self.argument, self.script_text or ""]
        if self.elf is not None:
            names += [self.elf.interpreter or "", *(self.elf.needed or ()), *self.elf.paths]
        return sum(map(len, names))


class ProgramReader:
    """Reader of a file in pieces that returns :class:`Program` at the end. Keeps only a bounded part of the file.

    Args:
        is_script: True to take a file without ``#!`` for a shell script, because its name says so.
    """

    def __init__(self, *, is_script: bool = False) -> None:
        self._is_script = is_script
        self._position = 0
        self._kept = bytearray()
        self._dynamic = bytearray()
        self._layout: elf.ElfLayout | None = None
        self._most_kept_bytes = elf.HEAD_BYTES

    def feed(self, buffer: bytes, start: int, stop: int) -> None:
        """Read the next bytes of the file: the range from ``start`` to ``stop`` of a buffer."""
        while start < stop:
            begun = len(self._kept) < self._most_kept_bytes
            end = min(stop, start + self._most_kept_bytes - len(self._kept)) if begun else stop
            piece = memoryview(buffer)[start:end]
            if begun:
                self._kept += piece
            self._keep_dynamic(piece)
            self._position += len(piece)
            # The head is complete exactly once. What lies beyond it is kept only for dynamic programs.
            if begun and self._most_kept_bytes == elf.HEAD_BYTES == len(self._kept):
                self._look()
            start = end

    def finish(self) -> Program:
        """Return the format of the file. Call this after the last piece."""
        if self._layout is None:
            self._look()
        if self._layout is not None:
            return Program(elf=elf.read(self._layout, self._kept, self._dynamic))
        if self._kept.startswith(b"#!"):
            # Linux splits the line once: everything after the interpreter is one argument.
            line = bytes(self._kept[2:_MOST_LINE_BYTES]).partition(b"\n")[0].strip(b" \t")
            interpreter, _, argument = line.decode("utf-8", "surrogateescape").replace("\t", " ").partition(" ")
            return Program(None, interpreter, argument.strip(), self._script(interpreter, argument))
        return Program(script_text=self._script("sh", "") if self._is_script else None)

    def _script(self, interpreter: str, argument: str) -> str | None:
        """Return the text of a shell script; None if it is another script, or not kept whole."""
        names = [interpreter, *argument.split()] if posixpath.basename(interpreter) in _STARTERS else [interpreter]
        if not any(posixpath.basename(name) in SHELLS for name in names):
            return None
        is_whole = self._position == len(self._kept) <= _MOST_SCRIPT_BYTES
        return self._kept.decode("utf-8", "surrogateescape") if is_whole and b"\0" not in self._kept else None

    def _look(self) -> None:
        """Parse the head of the file, and decide how much more of the file to keep."""
        self._layout = elf.layout_of(bytes(self._kept))
        if self._layout is not None and self._layout.dynamic is not None:
            self._most_kept_bytes = _MOST_KEPT_BYTES
            offset, size_bytes = self._layout.dynamic
            self._dynamic += self._kept[offset : offset + size_bytes]
        elif self._layout is None and (self._is_script or self._kept.startswith(b"#!")):
            self._most_kept_bytes = _MOST_SCRIPT_BYTES

    def _keep_dynamic(self, piece: memoryview) -> None:
        """Keep the part of the dynamic section in this piece. :meth:`_look` has taken the part in the head."""
        if self._layout is not None and self._layout.dynamic is not None:
            offset, size_bytes = self._layout.dynamic
            first, last = max(offset - self._position, 0), offset + size_bytes - self._position
            if last > first:
                self._dynamic += piece[first : max(last, 0)]
