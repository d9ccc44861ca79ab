"""A tar, walked from header to header as Go's reader does (archive/tar), which engines read layers with.

It is never unpacked: what entries hold is passed over, and shown to a watcher where there is one. Both ends of an
archive that Go takes are taken: two blocks of zeros, or just no more bytes where a header would stand.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from mirror.plugin.rootfs.entry import EntryKind, EntryWatcher, LayerEntry
from mirror.plugin.rootfs.layer_facts import LayerProblem
from mirror.plugin.rootfs.pax_headers import (
    GLOBAL_HEADER,
    LOCAL_HEADER,
    LONG_NAME,
    LONG_TARGET,
    NO_OVERRIDES,
    EntryOverrides,
    with_header,
)
from mirror.plugin.rootfs.tar_header import BLOCK_BYTES, Header, read_header

_ZEROS: Final = bytes(BLOCK_BYTES)
#: A file of old, which is a folder where its name ends in a slash.
_OLD_FILE: Final = b"\0"
#: Engines unpack nothing else, old GNU sparse files for one.
_KINDS: Final = {kind.value: kind for kind in EntryKind} | {_OLD_FILE: EntryKind.FILE}
_LINKS: Final = frozenset({EntryKind.SYMLINK, EntryKind.HARD_LINK})
#: Types of headers that say more of an entry: they have content, and are none themselves.
_EXTENDED: Final = frozenset({LOCAL_HEADER, GLOBAL_HEADER, LONG_NAME, LONG_TARGET})
#: Longest extended header that Go reads, in bytes.
_MOST_EXTENDED_BYTES: Final = 1024 * 1024
#: Most bytes of extended headers in all: compressed they cost nothing, and reading them is slow.
_MOST_EXTENDED_BYTES_IN_ALL: Final = 64 * 1024 * 1024


class TarReader:
    """Reads a tar that is fed in pieces of any size; holds no more of it than one extended header.

    Args:
        most_entries: more headers than this are not read.
        watcher: told of every entry and its content; what it raises ends the reading.

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
        self._passed_bytes = self._place_bytes = 0
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
                self._go_on(self._passed_bytes + position + passed)
            position += passed
        self._passed_bytes += position

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

    def _go_on(self, place_bytes: int) -> None:
        if len(self._held) < self._wanted_bytes:
            return
        block = bytes(self._held)
        self._held.clear()
        self._place_bytes = place_bytes
        try:
            self._wanted_bytes = self._steps.send(block)
        except StopIteration as end:
            self._ended = True
            self.problem = end.value

    def _walk(self) -> Generator[int, bytes, LayerProblem | None]:
        """Yields how many bytes it wants next, after those to be skipped; returns at the end, or what is wrong."""
        extended_bytes = 0
        pax = NO_OVERRIDES
        while True:
            self._between_entries = True
            block = yield BLOCK_BYTES
            if block == _ZEROS:
                return None if (yield BLOCK_BYTES) == _ZEROS else self._broken
            self._between_entries = False
            try:
                header = read_header(block)
            except ValueError:
                return self._broken
            self._broken = LayerProblem.TAR_BROKEN
            self.headers += 1
            if self.headers > self._most_headers or extended_bytes > _MOST_EXTENDED_BYTES_IN_ALL:
                return LayerProblem.TOO_MANY_ENTRIES
            if header.kind in _EXTENDED:
                size_bytes = header.size_bytes
                if not 0 <= size_bytes <= _MOST_EXTENDED_BYTES:
                    return self._broken
                extended_bytes += size_bytes
                content = (yield size_bytes + _padding(size_bytes)) if size_bytes else b""
                try:
                    pax = with_header(header.kind, content[:size_bytes], pax)
                except ValueError:
                    return self._broken
                continue
            problem = self._pass_over(header, pax)
            if problem is not None:
                return problem
            self.entries += 1
            pax = NO_OVERRIDES

    def _pass_over(self, header: Header, pax: EntryOverrides) -> LayerProblem | None:
        """Skip what an entry holds, or tell why it cannot be."""
        kind = _KINDS.get(header.kind)
        if kind is None:
            return LayerProblem.ENTRY_TYPE
        path = pax.long_path or pax.path or header.name
        if header.kind == _OLD_FILE and path.endswith("/"):
            kind = EntryKind.FOLDER
        size_bytes = 0
        if kind is EntryKind.FILE:  # the size of anything else says nothing
            size_bytes = header.size_bytes if pax.size_bytes is None else pax.size_bytes
        if size_bytes < 0:
            return self._broken
        self._padding_bytes = _padding(size_bytes)
        self._skip_bytes = size_bytes + self._padding_bytes
        if self._watcher is not None:
            self._watcher.begin(self._entry(kind, path, size_bytes, header, pax))
            if not size_bytes:
                self._watcher.end()
        return None

    def _entry(self, kind: EntryKind, path: str, size_bytes: int, header: Header, pax: EntryOverrides) -> LayerEntry:
        target = pax.long_target or pax.target or header.target
        return LayerEntry(
            path=path.rstrip("/") if kind is EntryKind.FOLDER else path,
            kind=kind,
            mode=header.mode & 0o7777,
            size_bytes=size_bytes,
            target=target if kind in _LINKS else "",
            uid=header.uid if pax.uid is None else pax.uid,
            gid=header.gid if pax.gid is None else pax.gid,
            modified_seconds=header.modified_seconds if pax.modified_seconds is None else pax.modified_seconds,
            device=header.device,
            xattrs=pax.xattrs,
            is_sparse=pax.sparse,
            offset_bytes=self._place_bytes,
        )


def _padding(size_bytes: int) -> int:
    return -size_bytes % BLOCK_BYTES
