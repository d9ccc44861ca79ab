"""Files and folders of other people: read without following links, and what goes wrong with them. All calls block."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from mirror.oci.errors import ConfigurationFault, StorageFault, StorageFull

PIECE_BYTES: Final = 1024 * 1024
_TEMPORARY: Final = "a temporary file"
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
#: Folders on the way to one that stay open.
_MOST_OPEN: Final = 64
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def reading(what: Path | str) -> Iterator[None]:
    """Translate what reading ``what`` raises.

    Raises:
        ConfigurationFault: it cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationFault(f"{what} cannot be read: {error.strerror or error}") from error


@contextmanager
def writing(what: Path | str) -> Iterator[None]:
    """Translate what writing ``what`` raises.

    Raises:
        StorageFull: no space. StorageFault: it cannot be written otherwise.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StorageFull(f"{what} cannot be written: {error.strerror}; free some space, and try again") from error
        raise StorageFault(f"{what} cannot be written: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class FileSpan:
    """Part of an open file. Implements :class:`mirror.plugin.rootfs.entry.Content`.

    Attributes:
        descriptor: of the file; its position means nothing.
        start_bytes: where the part begins.
        size_bytes: how long it is.
        name: what it is called in errors.
    """

    descriptor: int
    start_bytes: int
    size_bytes: int
    name: str

    def chunks(self) -> Generator[bytes, None, None]:
        """Its bytes. Raises ConfigurationFault: it cannot be read, or ends too early."""
        done = 0
        while done < self.size_bytes:
            with reading(self.name):
                chunk = os.pread(self.descriptor, min(PIECE_BYTES, self.size_bytes - done), self.start_bytes + done)
            if not chunk:
                raise ConfigurationFault(f"{self.name} ends too early, or changed while it was read")
            done += len(chunk)
            yield chunk

    def read(self, most_bytes: int) -> bytes:
        """All of it. Raises ConfigurationFault as well where it is longer than ``most_bytes``."""
        if self.size_bytes > most_bytes:
            raise ConfigurationFault(f"{self.name} has {self.size_bytes} bytes: at most {most_bytes} are read")
        return b"".join(self.chunks())


def read_file(file: Path, most_bytes: int) -> bytes:
    """A file's content. Raises ConfigurationFault: it cannot be read, or is longer than that."""
    with reading(file):
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return FileSpan(descriptor, 0, os.fstat(descriptor).st_size, str(file)).read(most_bytes)
    finally:
        os.close(descriptor)


def temporary_file(stack: ExitStack) -> IO[bytes]:
    """A file without a name, which is gone with the stack or the process. Raises StorageFault.

    It has no buffer, which could not be written when the file is closed: write to it with :func:`write_whole`.
    """
    with writing(_TEMPORARY):
        return stack.enter_context(tempfile.TemporaryFile(prefix="plugin-mirror-", buffering=0))


def write_temporary(file: IO[bytes], content: bytes | bytearray) -> None:
    """Add to a :func:`temporary_file`. Raises StorageFault."""
    with writing(_TEMPORARY):
        write_whole(file, content)


def write_whole(file: IO[bytes], content: bytes | bytearray) -> None:
    """Write all of it to a file without a buffer. Raises OSError."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def open_folder(folder: Path) -> int:
    """Open a folder; a link to one will do. Raises OSError."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class FolderBelow:
    """Enters folders below a root, whatever becomes of those on the way: no symbolic link is followed.

    The last ones that were entered stay open, so that files that lie near each other are reached fast.

    Args:
        root: descriptor of the root; it is not closed here.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: list[tuple[str, int]] = []

    def enter(self, path: str) -> int:
        """Open a folder, which stays open until others are entered.

        Args:
            path: components joined by ``/``; ``""`` is the root itself.

        Raises:
            OSError: it is not there, or something on the way is a link.
        """
        while self._open and not f"{path}/".startswith(f"{self._open[-1][0]}/"):
            os.close(self._open.pop()[1])
        opened_path, descriptor = self._open[-1] if self._open else ("", self._root)
        ahead = path[len(opened_path) :].lstrip("/")
        for part in ahead.split("/") if ahead else ():
            descriptor = os.open(part, _FOLDER_FLAGS, dir_fd=descriptor)
            opened_path = f"{opened_path}/{part}" if opened_path else part
            self._open.append((opened_path, descriptor))
            if len(self._open) > _MOST_OPEN:
                os.close(self._open.pop(0)[1])
        return descriptor

    def close(self) -> None:
        """Go back to the root."""
        while self._open:
            os.close(self._open.pop()[1])
