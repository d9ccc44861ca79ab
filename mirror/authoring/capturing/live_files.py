"""Files of a running program, which change while they are read. All calls block."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mirror.authoring.files.folder_tree import FileBelow
from mirror.authoring.files.safe_files import PIECE_BYTES, reading
from mirror.plugin.rootfs.tree import TreeEntry

#: O_NONBLOCK: the program may have replaced a file by a pipe, whose opening would wait for a writer.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
#: A file or a folder above it is gone, or a link or socket has its name.
_REPLACED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})


class LiveFiles:
    """Reads files with the lengths that they have when they are opened.

    Attributes:
        gone: paths of files that were removed or replaced before they were opened. They are omitted, with their hard
            links.
        cut: paths of files that became shorter after they were opened. Zeros replace the missing end.
    """

    def __init__(self) -> None:
        self.gone: list[str] = []
        self.cut: list[str] = []

    def opened(self, entries: Iterable[TreeEntry]) -> Iterator[TreeEntry]:
        """Yield the entries. The file of an entry is open until the next entry is taken.

        Raises:
            ConfigurationFault: a file cannot be read.
        """
        for entry in entries:
            content = entry.node.content
            if entry.same_as is not None and entry.same_as in self.gone:
                self.gone.append(entry.path)
            elif entry.same_as is not None or not isinstance(content, FileBelow):
                yield entry
            else:
                yield from self._opened(entry, content)

    def _opened(self, entry: TreeEntry, found: FileBelow) -> Iterator[TreeEntry]:
        above, _, name = found.path.rpartition("/")
        with reading(found.name):
            try:
                descriptor = os.open(name, _READ, dir_fd=found.folder.enter(above))
            except OSError as error:
                if error.errno not in _REPLACED:
                    raise
                self.gone.append(entry.path)
                return
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                self.gone.append(entry.path)
                return
            entry.node.size_bytes = status.st_size
            entry.node.content = OpenFile(descriptor, status.st_size, entry.path, found.name, self.cut)
            yield entry
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """The content of an open file, always as long as it was at opening.

    Attributes:
        descriptor: descriptor of the file.
        size_bytes: length of the content.
        path: path of the file below its root.
        name: name of the file in error messages.
        cut: receives the path if the file became shorter.
    """

    descriptor: int
    size_bytes: int
    path: str
    name: str
    cut: list[str] = field(repr=False)

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in pieces of at most 1 MiB.

        Raises:
            ConfigurationFault: the file cannot be read.
        """
        done = 0
        while done < self.size_bytes:
            wanted = min(PIECE_BYTES, self.size_bytes - done)
            with reading(self.name):
                piece = os.pread(self.descriptor, wanted, done)
            if not piece:
                # The header with the length has been written, so the content must have this length.
                if self.path not in self.cut[-1:]:
                    self.cut.append(self.path)
                piece = bytes(wanted)
            done += len(piece)
            yield piece
