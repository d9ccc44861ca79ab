"""A tar, walked from header to header as Go's reader does (archive/tar), which engines read layers with.

It is never unpacked: what entries hold is passed over. Both ends of an archive that Go takes are taken: two blocks of
zeros, or just no more bytes where a header would stand.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Generator
from typing import Final

from mirror.plugin.layer_facts import LayerProblem

_BLOCK_BYTES: Final = 512
_ZEROS: Final = bytes(_BLOCK_BYTES)
#: Types whose size says nothing: links, devices, folders and pipes have no content.
_WITHOUT_CONTENT: Final = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
#: Files: these have some. Engines unpack nothing else, old GNU sparse files for one.
_FILES: Final = frozenset({b"0", b"\0"})
_LOCAL_HEADER: Final = b"x"
#: Types of headers that say more of an entry: they have content, and are none themselves.
_EXTENDED: Final = frozenset({_LOCAL_HEADER, b"g", b"L", b"K"})
#: Longest extended header that Go reads, in bytes.
_MOST_EXTENDED_BYTES: Final = 1024 * 1024
#: Most bytes of extended headers in all: compressed they cost nothing, and reading them is slow.
_MOST_EXTENDED_BYTES_IN_ALL: Final = 64 * 1024 * 1024
_RECORD: Final = re.compile(rb"([0-9]{1,7}) ([^=]+)=")
_DECIMAL: Final = re.compile(rb"[0-9]{1,19}")


class TarWalk:
    """Fed with the bytes of a tar, in pieces of any size; holds no more of them than one extended header.

    Args:
        most_entries: more headers than this are not read.

    Attributes:
        entries: files, folders and links so far.
        problem: what is wrong with it; nothing that is fed later changes it.
    """

    def __init__(self, most_entries: int) -> None:
        self.entries = 0
        self.problem: LayerProblem | None = None
        self._most_headers = most_entries
        self._ended = False
        self._between_entries = True
        self._broken = LayerProblem.NOT_TAR
        self._skip_bytes = 0
        self._padding_bytes = 0
        self._held = bytearray()
        self._steps = self._walk()
        self._wanted_bytes = next(self._steps)

    def feed(self, content: bytes) -> None:
        """Walk on."""
        position = 0
        while position < len(content) and self.problem is None:
            if self._ended:
                if content[position:].strip(b"\0"):
                    self.problem = LayerProblem.TAR_TRAILING
                return
            if self._skip_bytes:
                passed = min(self._skip_bytes, len(content) - position)
                self._skip_bytes -= passed
            else:
                passed = min(self._wanted_bytes - len(self._held), len(content) - position)
                self._held += content[position : position + passed]
                self._go_on()
            position += passed

    def finish(self) -> None:
        """Say that this was all. The padding after the last entry may be missing."""
        unfinished = self._held or self._skip_bytes > self._padding_bytes or not self._between_entries
        if unfinished and not self._ended and self.problem is None:
            nothing_read = self._broken is LayerProblem.NOT_TAR
            self.problem = self._broken if nothing_read else LayerProblem.TAR_TRUNCATED

    def _go_on(self) -> None:
        if len(self._held) < self._wanted_bytes:
            return
        block = bytes(self._held)
        self._held.clear()
        try:
            self._wanted_bytes = self._steps.send(block)
        except StopIteration as end:
            self._ended = True
            self.problem = end.value

    def _walk(self) -> Generator[int, bytes, LayerProblem | None]:
        """Yields how many bytes it wants next, after those to be skipped; returns at the end, or what is wrong."""
        headers = extended_bytes = 0
        said_bytes: int | None = None
        while True:
            self._between_entries = True
            block = yield _BLOCK_BYTES
            if block == _ZEROS:
                return None if (yield _BLOCK_BYTES) == _ZEROS else self._broken
            self._between_entries = False
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError:
                return self._broken
            self._broken = LayerProblem.TAR_BROKEN
            headers += 1
            if headers > self._most_headers or extended_bytes > _MOST_EXTENDED_BYTES_IN_ALL:
                return LayerProblem.TOO_MANY_ENTRIES
            if header.type in _EXTENDED:
                if not 0 <= header.size <= _MOST_EXTENDED_BYTES:
                    return self._broken
                extended_bytes += header.size
                content = (yield header.size + _padding(header.size)) if header.size else b""
                if header.type == _LOCAL_HEADER:
                    try:
                        said_bytes = _said_size(content[: header.size], said_bytes)
                    except ValueError:
                        return self._broken
                continue
            problem = self._pass_over(header, said_bytes)
            if problem is not None:
                return problem
            self.entries += 1
            said_bytes = None

    def _pass_over(self, header: tarfile.TarInfo, said_bytes: int | None) -> LayerProblem | None:
        """Skip what an entry holds, or tell why it cannot be."""
        if header.type not in _FILES | _WITHOUT_CONTENT:
            return LayerProblem.ENTRY_TYPE
        size_bytes = header.size if said_bytes is None else said_bytes
        if header.type in _WITHOUT_CONTENT or header.isdir():
            size_bytes = 0
        self._padding_bytes = _padding(size_bytes)
        self._skip_bytes = size_bytes + self._padding_bytes
        return self._broken if size_bytes < 0 else None


def _padding(size_bytes: int) -> int:
    return -size_bytes % _BLOCK_BYTES


def _said_size(records: bytes, before: int | None) -> int | None:
    """The size in bytes that an extended header gives the next entry, else what was known before (pax, "size").

    Raises:
        ValueError: records outside the grammar.
    """
    said_bytes = before
    position = 0
    while position < len(records):
        begun = _RECORD.match(records, position)
        if begun is None:
            raise ValueError("not a record")
        end = position + int(begun[1])
        if end <= begun.end() or records[end - 1 : end] != b"\n":
            raise ValueError("a record of another length")
        if begun[2] == b"size":
            value = records[begun.end() : end - 1]
            if not _DECIMAL.fullmatch(value):
                raise ValueError("a size that is no number")
            said_bytes = int(value)
        position = end
    return said_bytes
