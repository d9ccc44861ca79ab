"""Reader of tars that walks from header to header like Go's archive/tar, which engines use for layers.

Nothing is unpacked. The contents of entries are skipped, or passed to a watcher. Go accepts two ends of an archive, and
so does this reader: two blocks of zeros, or the end of the bytes in place of a header.
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
#: Type of a file in tars older than POSIX. Such an entry is a folder if its name ends in a slash.
_OLD_FILE: Final = b"\0"
#: Types that engines unpack. Others, such as old GNU sparse files, make a layer invalid.
_KINDS: Final = {kind.value: kind for kind in EntryKind} | {_OLD_FILE: EntryKind.FILE}
_LINKS: Final = frozenset({EntryKind.SYMLINK, EntryKind.HARD_LINK})
#: Types of extended headers. They have content and override values of the next entry.
_EXTENDED: Final = frozenset({LOCAL_HEADER, GLOBAL_HEADER, LONG_NAME, LONG_TARGET})
#: Longest extended header that Go reads, in bytes.
_MOST_EXTENDED_BYTES: Final = 1024 * 1024
#: Most bytes of all extended headers together: compressed they take almost no space, and reading them is slow.
_MOST_EXTENDED_BYTES_IN_ALL: Final = 64 * 1024 * 1024


class TarReader:
    """Reader of a tar that is fed in pieces of any size. Holds at most one extended header in memory.

    Args:
        most_entries: number of headers after which reading ends with a problem.
        watcher: receives every entry and its content; its exceptions end the reading.

    Attributes:
        entries: number of files, folders and links so far.
        headers: number of headers so far, extended headers included.
        problem: first problem of the tar; later input does not change it.
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
        """Read the next piece of the tar."""
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
        """Note the end of the input. The padding after the last entry may be missing."""
        unfinished = self._held or self._skip_bytes > self._padding_bytes or not self._between_entries
        if unfinished and not self._ended and self.problem is None:
            # Before the first valid header the input is no tar at all. After it, the tar is cut.
            nothing_read = self._broken is LayerProblem.NOT_TAR
            self.problem = self._broken if nothing_read else LayerProblem.TAR_TRUNCATED

    def _show(self, content: bytes, position: int, passed: int) -> None:
        """Pass content of the current entry to the watcher, without the padding."""
        left_bytes = self._skip_bytes - self._padding_bytes
        if self._watcher is not None and left_bytes > 0:
            self._watcher.content(content, position, position + min(passed, left_bytes))
            if passed >= left_bytes:
                self._watcher.end()

    def _go_on(self, place_bytes: int) -> None:
        """Continue the walk once the bytes of the current header are complete."""
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
        """Walk the headers. Yield the number of bytes needed next, after those to skip.

        Returns:
            The problem that ends the walk; None at the regular end of the archive.
        """
        extended_bytes = 0
        pax = NO_OVERRIDES
        while True:
            self._between_entries = True
            block = yield BLOCK_BYTES
            if block == _ZEROS:
                # One block of zeros is not an end: Go wants a second one.
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
        """Arrange for the content of an entry to be skipped. Return the problem if the entry is invalid."""
        kind = _KINDS.get(header.kind)
        if kind is None:
            return LayerProblem.ENTRY_TYPE
        path = pax.long_path or pax.path or header.name
        if header.kind == _OLD_FILE and path.endswith("/"):
            kind = EntryKind.FOLDER
        size_bytes = 0
        if kind is EntryKind.FILE:  # only files have content, whatever size the header of another type states
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
        """Return the entry of a header, with the values of its extended headers applied."""
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
    """Return the number of bytes from the end of a content to the next whole block."""
    return -size_bytes % BLOCK_BYTES
