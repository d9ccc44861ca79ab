"""A tar, walked from header to header as Go's reader does (archive/tar), which engines read layers with.

It is never unpacked: what entries hold is passed over, and shown to a watcher where there is one. Both ends of an
archive that Go takes are taken: two blocks of zeros, or just no more bytes where a header would stand.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Final

from mirror.plugin.entry import Entry, EntryKind, EntryWatcher
from mirror.plugin.layer_facts import LayerProblem
from mirror.plugin.tar_extended import (
    GLOBAL_HEADER,
    LOCAL_HEADER,
    LONG_NAME,
    LONG_TARGET,
    NOTHING_SAID,
    Said,
    said_with,
)
from mirror.plugin.tar_header import BLOCK_BYTES, Header, read_header

_ZEROS: Final = bytes(BLOCK_BYTES)
#: Types whose size says nothing: links, devices, folders and pipes have no content.
_WITHOUT_CONTENT: Final = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
#: Files: these have some. Engines unpack nothing else, old GNU sparse files for one.
_FILES: Final = frozenset({b"0", b"\0"})
#: A file of old, which is a folder where its name ends in a slash.
_OLD_FILE: Final = b"\0"
_FOLDER: Final = b"5"
_TYPES: Final = _FILES | _WITHOUT_CONTENT
_KINDS: Final = {
    b"1": EntryKind.HARD_LINK,
    b"2": EntryKind.LINK,
    b"3": EntryKind.DEVICE,
    b"4": EntryKind.DEVICE,
    b"5": EntryKind.FOLDER,
    b"6": EntryKind.PIPE,
}
#: Types of headers that say more of an entry: they have content, and are none themselves.
_EXTENDED: Final = frozenset({LOCAL_HEADER, GLOBAL_HEADER, LONG_NAME, LONG_TARGET})
#: Longest extended header that Go reads, in bytes.
_MOST_EXTENDED_BYTES: Final = 1024 * 1024
#: Most bytes of extended headers in all: compressed they cost nothing, and reading them is slow.
_MOST_EXTENDED_BYTES_IN_ALL: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TarEntry:
    """An entry with all that its headers say, where more is wanted of it than a watcher is told.

    Attributes:
        kind: its type, one byte.
        path, target: as they are written; bytes outside UTF-8 are surrogates.
        mode: permissions.
        uid, gid: numeric owners.
        modified_seconds: since 1970.
        device: major and minor number.
        xattrs: extended attributes, raw bytes as surrogates.
        is_sparse: whether what follows is not the content itself, but the parts of it that are not zeros.
        offset_bytes: where its content begins, from the beginning of the tar.
        size_bytes: of its content.
    """

    kind: bytes
    path: str
    target: str
    mode: int
    uid: int
    gid: int
    modified_seconds: int
    device: tuple[int, int]
    xattrs: Mapping[str, str]
    is_sparse: bool
    offset_bytes: int
    size_bytes: int


class TarWalk:
    """Fed with the bytes of a tar, in pieces of any size; holds no more of them than one extended header.

    Args:
        most_entries: more headers than this are not read.
        watcher: told of every entry and its content.
        listed: given every entry; what it raises ends the walk.

    Attributes:
        entries: files, folders and links so far.
        headers: blocks that said something of one, so far.
        problem: what is wrong with it; nothing that is fed later changes it.
    """

    def __init__(
        self,
        most_entries: int,
        watcher: EntryWatcher | None = None,
        listed: Callable[[TarEntry], object] | None = None,
    ) -> None:
        self.entries = 0
        self.headers = 0
        self.problem: LayerProblem | None = None
        self._most_headers = most_entries
        self._watcher = watcher
        self._listed = listed
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
        said = NOTHING_SAID
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
                    said = said_with(header.kind, content[:size_bytes], said)
                except ValueError:
                    return self._broken
                continue
            problem = self._pass_over(header, said)
            if problem is not None:
                return problem
            self.entries += 1
            said = NOTHING_SAID

    def _pass_over(self, header: Header, said: Said) -> LayerProblem | None:
        """Skip what an entry holds, or tell why it cannot be."""
        kind = header.kind
        if kind not in _TYPES:
            return LayerProblem.ENTRY_TYPE
        path = said.long_path or said.path or header.name
        if kind == _OLD_FILE and path.endswith("/"):
            kind = _FOLDER
        size_bytes = header.size_bytes if said.size_bytes is None else said.size_bytes
        if kind in _WITHOUT_CONTENT:
            size_bytes = 0
        if size_bytes < 0:
            return self._broken
        self._padding_bytes = _padding(size_bytes)
        self._skip_bytes = size_bytes + self._padding_bytes
        if kind == _FOLDER:
            path = path.rstrip("/")
        target = said.long_target or said.target or header.target
        if self._listed is not None:
            self._listed(self._entry(header, said, (kind, path, target), size_bytes))
        if self._watcher is not None:
            what = _KINDS.get(kind, EntryKind.FILE)
            linked = what in {EntryKind.LINK, EntryKind.HARD_LINK}
            self._watcher.begin(Entry(path, what, header.mode & 0o7777, size_bytes, target if linked else ""))
            if not size_bytes:
                self._watcher.end()
        return None

    def _entry(self, header: Header, said: Said, names: tuple[bytes, str, str], size_bytes: int) -> TarEntry:
        kind, path, target = names
        return TarEntry(
            kind=kind,
            path=path,
            target=target,
            mode=header.mode & 0o7777,
            uid=header.uid if said.uid is None else said.uid,
            gid=header.gid if said.gid is None else said.gid,
            modified_seconds=header.modified_seconds if said.modified_seconds is None else said.modified_seconds,
            device=header.device,
            xattrs=said.xattrs,
            is_sparse=said.sparse,
            offset_bytes=self._place_bytes,
            size_bytes=size_bytes,
        )


def _padding(size_bytes: int) -> int:
    return -size_bytes % BLOCK_BYTES
