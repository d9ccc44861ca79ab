"""A tar, walked from header to header as Go's reader does (archive/tar), which engines read layers with.

It is never unpacked: what entries hold is passed over, and shown to a watcher where there is one. Both ends of an
archive that Go takes are taken: two blocks of zeros, or just no more bytes where a header would stand.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from mirror.plugin.entry import Entry, EntryKind, EntryWatcher
from mirror.plugin.layer_facts import LayerProblem

_BLOCK_BYTES: Final = 512
_ZEROS: Final = bytes(_BLOCK_BYTES)
#: Types whose size says nothing: links, devices, folders and pipes have no content.
_WITHOUT_CONTENT: Final = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
#: Files: these have some. Engines unpack nothing else, old GNU sparse files for one.
_FILES: Final = frozenset({b"0", b"\0"})
_KINDS: Final = {
    b"1": EntryKind.HARD_LINK,
    b"2": EntryKind.LINK,
    b"3": EntryKind.DEVICE,
    b"4": EntryKind.DEVICE,
    b"5": EntryKind.FOLDER,
    b"6": EntryKind.PIPE,
}
_LOCAL_HEADER: Final = b"x"
_LONG_NAME: Final = b"L"
_LONG_TARGET: Final = b"K"
#: Types of headers that say more of an entry: they have content, and are none themselves.
_EXTENDED: Final = frozenset({_LOCAL_HEADER, b"g", _LONG_NAME, _LONG_TARGET})
#: Longest extended header that Go reads, in bytes.
_MOST_EXTENDED_BYTES: Final = 1024 * 1024
#: Most bytes of extended headers in all: compressed they cost nothing, and reading them is slow.
_MOST_EXTENDED_BYTES_IN_ALL: Final = 64 * 1024 * 1024
_RECORD: Final = re.compile(rb"([0-9]{1,7}) ([^=]+)=")
#: Records that matter here, and where what they say is kept.
_PAX: Final = {b"size": "size_bytes", b"path": "path", b"linkpath": "target"}
_DECIMAL: Final = re.compile(rb"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class _Said:
    """What extended headers have said of the next entry; GNU's long names win over those of pax, as in Go."""

    size_bytes: int | None = None
    path: str = ""
    target: str = ""
    long_path: str = ""
    long_target: str = ""


class TarWalk:
    """Fed with the bytes of a tar, in pieces of any size; holds no more of them than one extended header.

    Args:
        most_entries: more headers than this are not read.
        watcher: told of every entry and its content.

    Attributes:
        entries: files, folders and links so far.
        headers: blocks that said something of one, so far.
        problem: what is wrong with it; nothing that is fed later changes it.
    """

    def __init__(self, most_entries: int, watcher: EntryWatcher | None = None) -> None:
        self.entries = 0
        self.headers = 0
        self.problem: LayerProblem | None = None
        self._most_headers = most_entries
        self._watcher = watcher
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
                self._show(content, position, passed)
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

    def _show(self, content: bytes, position: int, passed: int) -> None:
        left_bytes = self._skip_bytes - self._padding_bytes
        if self._watcher is not None and left_bytes > 0:
            self._watcher.content(content, position, position + min(passed, left_bytes))
            if passed >= left_bytes:
                self._watcher.end()

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
        extended_bytes = 0
        said = _Said()
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
            self.headers += 1
            if self.headers > self._most_headers or extended_bytes > _MOST_EXTENDED_BYTES_IN_ALL:
                return LayerProblem.TOO_MANY_ENTRIES
            if header.type in _EXTENDED:
                if not 0 <= header.size <= _MOST_EXTENDED_BYTES:
                    return self._broken
                extended_bytes += header.size
                content = (yield header.size + _padding(header.size)) if header.size else b""
                try:
                    said = _said(header.type, content[: header.size], said)
                except ValueError:
                    return self._broken
                continue
            problem = self._pass_over(header, said)
            if problem is not None:
                return problem
            self.entries += 1
            said = _Said()

    def _pass_over(self, header: tarfile.TarInfo, said: _Said) -> LayerProblem | None:
        """Skip what an entry holds, or tell why it cannot be."""
        if header.type not in _FILES | _WITHOUT_CONTENT:
            return LayerProblem.ENTRY_TYPE
        size_bytes = header.size if said.size_bytes is None else said.size_bytes
        if header.type in _WITHOUT_CONTENT or header.isdir():
            size_bytes = 0
        if size_bytes < 0:
            return self._broken
        self._padding_bytes = _padding(size_bytes)
        self._skip_bytes = size_bytes + self._padding_bytes
        if self._watcher is not None:
            path = said.long_path or said.path or header.name
            kind = _KINDS.get(header.type, EntryKind.FILE)
            target = said.long_target or said.target or header.linkname
            linked = kind in {EntryKind.LINK, EntryKind.HARD_LINK}
            self._watcher.begin(Entry(path, kind, header.mode & 0o7777, size_bytes, target if linked else ""))
            if not size_bytes:
                self._watcher.end()
        return None


def _padding(size_bytes: int) -> int:
    return -size_bytes % _BLOCK_BYTES


def _said(kind: bytes, content: bytes, before: _Said) -> _Said:
    """What is known of the next entry, with another extended header.

    Raises:
        ValueError: it is one of pax, and outside the grammar.
    """
    if kind == _LONG_NAME:
        return replace(before, long_path=_text(content.partition(b"\0")[0]))
    if kind == _LONG_TARGET:
        return replace(before, long_target=_text(content.partition(b"\0")[0]))
    if kind != _LOCAL_HEADER:
        return before
    return replace(before, **{_PAX[key]: _pax_value(key, value) for key, value in _records(content) if key in _PAX})


def _pax_value(key: bytes, value: bytes) -> Any:
    if key == b"size":
        if not _DECIMAL.fullmatch(value):
            raise ValueError("a size that is no number")
        return int(value)
    if b"\0" in value:
        raise ValueError("a path with a zero in it")
    return _text(value)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of an extended header of pax.

    Raises:
        ValueError: they are outside the grammar.
    """
    position = 0
    while position < len(content):
        begun = _RECORD.match(content, position)
        if begun is None:
            raise ValueError("not a record")
        end = position + int(begun[1])
        if end <= begun.end() or content[end - 1 : end] != b"\n":
            raise ValueError("a record of another length")
        yield begun[2], content[begun.end() : end - 1]
        position = end
