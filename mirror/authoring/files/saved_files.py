"""Named files in a folder or in one tar, the two forms of saved images and layouts. All calls block."""

from __future__ import annotations

import os
import posixpath
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from mirror.authoring.files.file_kind import HEAD_BYTES, describe_file
from mirror.authoring.files.safe_files import FileSpan, reading
from mirror.authoring.files.spooled_input import STANDARD_INPUT, open_input
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.entry import EntryCallback, EntryKind, LayerEntry
from mirror.plugin.rootfs.layer_limits import MOST_ENTRIES
from mirror.plugin.rootfs.tar_reader import TarReader

#: Links in a tar may form a circle.
_MOST_LINKS: Final = 8
_FOUND: Final = frozenset({EntryKind.FILE, EntryKind.SYMLINK, EntryKind.HARD_LINK})
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


def open_saved(place: Path, stack: ExitStack) -> SavedFiles:
    """Open the files of a folder or a tar. A tar may be compressed with gzip, bzip2 or xz.

    Args:
        place: the folder or the tar. ``-`` is a tar in the standard input.
        stack: closes everything that is opened. Files can be read until then.

    Raises:
        ConfigurationFault: ``place`` cannot be read, or is neither a folder nor a tar.
        StorageFault: a compressed tar cannot be unpacked to the disk.
    """
    return SavedFolder(place, stack) if place.is_dir() else SavedTar(place, open_input(place, stack))


class SavedFolder:
    """The files of a folder. Created by :func:`open_saved`.

    A name or a link in an image of somebody else may lead out of the folder. Such a file counts as missing, because it
    would put a file of this machine into a plugin.

    Attributes:
        place: the folder.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self.place = folder
        with reading(folder):
            self._real = folder.resolve()

    def top_names(self) -> frozenset[str]:
        """Return the names of the files and folders at the top."""
        with reading(self.place):
            return frozenset(path.name for path in self.place.iterdir())

    def has(self, name: str) -> bool:
        """Return True if a file has the name."""
        return self._path_of(name) is not None

    def span(self, name: str) -> FileSpan:
        """Return the content of a file, which stays open.

        Raises:
            ConfigurationFault: the file cannot be read.
            ManifestInvalid: the folder does not hold the file.
        """
        return self._open(name, self._stack)

    def read(self, name: str, most_bytes: int) -> bytes:
        """Return the content of a small file.

        Raises:
            ConfigurationFault: the file cannot be read, or is longer than ``most_bytes``.
            ManifestInvalid: the folder does not hold the file.
        """
        with ExitStack() as stack:
            return self._open(name, stack).read(most_bytes)

    def _path_of(self, name: str) -> Path | None:
        """Return the path of a file without links; None if the folder does not hold the file."""
        with reading(self.place):
            try:
                path = (self._real / name).resolve()
                return path if path.is_relative_to(self._real) and path.is_file() else None
            except (RuntimeError, ValueError):  # a circle of links, or a text that no file has for its name
                return None

    def _open(self, name: str, stack: ExitStack) -> FileSpan:
        path = self._path_of(name)
        if path is None:
            raise _missing(self.place, name)
        with reading(path):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            return FileSpan(descriptor, 0, os.fstat(descriptor).st_size, str(self.place / name))


class SavedTar:
    """The files of a tar. Links in the tar are followed, because older engines save a repeated layer as a link.

    Args:
        place: name of the tar in messages.
        whole: bytes of the tar.

    Attributes:
        place: see the argument.
        whole: see the argument.
    """

    def __init__(self, place: Path, whole: FileSpan) -> None:
        self.place = Path(whole.name) if place == STANDARD_INPUT else place
        self.whole = whole
        self._members: dict[str, LayerEntry] = {}
        self._walk()

    def _walk(self) -> None:
        if self.whole.size_bytes == 0:
            raise ConfigurationFault(f"{self.place} is empty, not a tar; fix: write it again")
        tar = TarReader(MOST_ENTRIES, EntryCallback(self._note))
        for chunk in self.whole.chunks():
            tar.feed(chunk)
            if tar.problem is not None:
                break
        tar.finish()
        if tar.problem is not None and not tar.problem.is_trailing:
            if tar.problem.is_limit:
                raise ConfigurationFault(f"{self.place} {tar.problem.value}")
            raise ConfigurationFault(f"{self.place} {self._wrong()}")

    def _wrong(self) -> str:
        """Return the reason why the file cannot be read as a tar."""
        with reading(self.place):
            head = os.pread(self.whole.descriptor, HEAD_BYTES, 0)
        if head.startswith(_ZSTD):
            return f"is {describe_file(head)}; fix: decompress it with unzstd"
        # A tar that breaks off has entries before the break.
        if self._members:
            return "is not a complete tar; fix: save it again"
        return f"is {describe_file(head)}, not a tar; fix: give an image, the tar of a container, or a folder"

    def _note(self, entry: LayerEntry) -> None:
        self._members[posixpath.normpath(entry.path).lstrip("/")] = entry

    def top_names(self) -> frozenset[str]:
        """Return the names of the files and folders at the top."""
        return frozenset(name.partition("/")[0] for name in self._members) - {".", ""}

    def has(self, name: str) -> bool:
        """Return True if a file or link has the name."""
        return name in self._members

    def span(self, name: str) -> FileSpan:
        """Return the content of a file.

        Raises:
            ManifestInvalid: the tar does not hold the file.
        """
        place = posixpath.normpath(name)
        for _ in range(_MOST_LINKS):
            entry = self._members.get(place)
            if entry is None or entry.is_sparse or entry.kind not in _FOUND:
                break
            if entry.kind is EntryKind.FILE:
                return FileSpan(
                    self.whole.descriptor, entry.offset_bytes, entry.size_bytes, f"{self.place}: {quoted(name)}"
                )
            # The target of a hard link begins at the root of the tar, that of a symbolic link at its own folder.
            above = "" if entry.kind is EntryKind.HARD_LINK else posixpath.dirname(place)
            place = posixpath.normpath(posixpath.join(above, entry.target))
        raise _missing(self.place, name)

    def read(self, name: str, most_bytes: int) -> bytes:
        """Return the content of a small file.

        Raises:
            ConfigurationFault: the file cannot be read, or is longer than ``most_bytes``.
            ManifestInvalid: the tar does not hold the file.
        """
        return self.span(name).read(most_bytes)


def _missing(place: Path, name: str) -> ManifestInvalid:
    return ManifestInvalid(f"{place} refers to {quoted(name)}, but does not hold it")


#: Files of a saved image or layout.
SavedFiles = SavedFolder | SavedTar
