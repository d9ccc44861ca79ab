"""Access to files and folders of other people: no link is followed, and OSError is translated. All calls block."""

from __future__ import annotations

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
#: Number of folders that stay open. A deep path of a hostile tree must not use up all descriptors.
_MOST_OPEN: Final = 64
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def reading(what: Path | str) -> Iterator[None]:
    """Translate an OSError of reading a file.

    Args:
        what: the file, for the error message.

    Raises:
        ConfigurationFault: the file cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(what, error) from error


def unreadable(what: Path | str, error: OSError) -> ConfigurationFault:
    """Return the translation of an OSError of reading a file, for code that is too busy for :func:`reading`."""
    return ConfigurationFault(f"{what} cannot be read: {error.strerror or error}")


@contextmanager
def writing(what: Path | str) -> Iterator[None]:
    """Translate an OSError of writing a file.

    Args:
        what: the file, for the error message.

    Raises:
        StorageFull: the disk or the quota is full.
        StorageFault: the file cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in StorageFull.ERRNOS:
            raise StorageFull(
                f"{what} cannot be written: {error.strerror}; fix: free some space and try again"
            ) from error
        raise StorageFault(f"{what} cannot be written: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class FileSpan:
    """A part of an open file. Implements :class:`mirror.plugin.rootfs.entry.Content`.

    Attributes:
        descriptor: descriptor of the file. Its position is neither used nor changed.
        start_bytes: offset of the part.
        size_bytes: length of the part.
        name: name of the part in error messages.
    """

    descriptor: int
    start_bytes: int
    size_bytes: int
    name: str

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the content in chunks of at most 1 MiB.

        Raises:
            ConfigurationFault: the file cannot be read, or ends before the end of the part.
        """
        done = 0
        while done < self.size_bytes:
            with reading(self.name):
                # pread leaves the position alone, so several parts of one file can be read in turns.
                chunk = os.pread(self.descriptor, min(PIECE_BYTES, self.size_bytes - done), self.start_bytes + done)
            if not chunk:
                raise ConfigurationFault(f"{self.name} is truncated, or changed while it was read")
            done += len(chunk)
            yield chunk

    def read(self, most_bytes: int) -> bytes:
        """Return the content.

        Raises:
            ConfigurationFault: the file cannot be read, or the part is longer than ``most_bytes``.
        """
        if self.size_bytes > most_bytes:
            raise ConfigurationFault(f"{self.name} has {self.size_bytes} bytes, but at most {most_bytes} are allowed")
        return b"".join(self.chunks())


def read_file(file: Path, most_bytes: int) -> bytes:
    """Return the content of a file.

    Raises:
        ConfigurationFault: the file cannot be read, or is longer than ``most_bytes``.
    """
    with reading(file):
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return FileSpan(descriptor, 0, os.fstat(descriptor).st_size, str(file)).read(most_bytes)
    finally:
        os.close(descriptor)


def temporary_file(stack: ExitStack) -> IO[bytes]:
    """Create a file without a name, which disappears with the stack or the process.

    The file has no buffer, because a buffered write could still fail when the file is closed. Write to the file with
    :func:`write_whole`.

    Raises:
        StorageFault: the file cannot be created.
    """
    with writing(_TEMPORARY):
        return stack.enter_context(tempfile.TemporaryFile(prefix="plugin-mirror-", buffering=0))


def write_temporary(file: IO[bytes], content: bytes | bytearray) -> None:
    """Append to a :func:`temporary_file`.

    Raises:
        StorageFault: the file cannot be written.
    """
    with writing(_TEMPORARY):
        write_whole(file, content)


def write_whole(file: IO[bytes], content: bytes | bytearray) -> None:
    """Write all bytes to a file without a buffer.

    Raises:
        OSError: the file cannot be written.
    """
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]  # a raw write may be partial


def open_folder(folder: Path) -> int:
    """Open a folder and return its descriptor. A symbolic link to a folder is followed.

    Raises:
        OSError: the folder cannot be opened.
    """
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class FolderBelow:
    """Opens folders below a root without following symbolic links, even if somebody replaces a folder at the same time.

    The folders that were entered last stay open, so that files near each other are reached quickly.

    Args:
        root: descriptor of the root. It is not closed here.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: list[tuple[str, int]] = []

    def enter(self, path: str) -> int:
        """Open a folder and return its descriptor, which stays open until other folders are entered.

        Args:
            path: path of the folder below the root, with ``/`` between components. ``""`` is the root.

        Raises:
            OSError: the folder does not exist, or a component of the path is a symbolic link.
        """
        while self._open and not f"{path}/".startswith(f"{self._open[-1][0]}/"):
            os.close(self._open.pop()[1])
        opened_path, descriptor = self._open[-1] if self._open else ("", self._root)
        ahead = path[len(opened_path) :].lstrip("/")
        for part in ahead.split("/") if ahead else ():
            # One component at a time: O_NOFOLLOW looks at the last component of a path only.
            descriptor = os.open(part, _FOLDER_FLAGS, dir_fd=descriptor)
            opened_path = f"{opened_path}/{part}" if opened_path else part
            self._open.append((opened_path, descriptor))
            if len(self._open) > _MOST_OPEN:
                os.close(self._open.pop(0)[1])
        return descriptor

    def close(self) -> None:
        """Close all folders except the root."""
        while self._open:
            os.close(self._open.pop()[1])
