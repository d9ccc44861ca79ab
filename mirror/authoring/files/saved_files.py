"""Files that have names, in a folder or in one tar, as images and layouts are saved. All calls block."""

from __future__ import annotations

import os
import posixpath
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from mirror.authoring.files.safe_files import FileSpan, reading
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.entry import EntryCallback, EntryKind, LayerEntry
from mirror.plugin.rootfs.tar_reader import TarReader

_MOST_FILES: Final = 100_000
_MOST_LINKS: Final = 8
_FOUND: Final = frozenset({EntryKind.FILE, EntryKind.SYMLINK, EntryKind.HARD_LINK})
_COMPRESSIONS: Final = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd", b"\xfd7zXZ": "unxz", b"BZh": "bunzip2"}


def open_saved(place: Path, stack: ExitStack) -> SavedFiles:
    """The files of a folder or a tar.

    Args:
        place: where they are.
        stack: closes what is opened; they can be read until then.

    Raises:
        ConfigurationFault: it cannot be read, or is no tar.
    """
    return SavedFiles(place, stack) if place.is_dir() else _Archive(place, stack)


class SavedFiles:
    """The files of a folder. Made by :func:`open_saved`.

    Attributes:
        place: the folder, or the tar.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self.place = folder

    def has(self, name: str) -> bool:
        """Tell whether there is a file of that name."""
        return (self.place / name).is_file()

    def span(self, name: str) -> FileSpan:
        """A file. Raises ConfigurationFault: it cannot be read. ManifestInvalid: it is not there."""
        with reading(self.place / name):
            descriptor = os.open(self.place / name, os.O_RDONLY | os.O_CLOEXEC)
            self._stack.callback(os.close, descriptor)
            return FileSpan(descriptor, 0, os.fstat(descriptor).st_size, str(self.place / name))


class _Archive(SavedFiles):
    """The files of a tar; links among them are followed, as older engines save a layer that comes twice."""

    def __init__(self, file: Path, stack: ExitStack) -> None:
        super().__init__(file, stack)
        with reading(file):
            self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, self._descriptor)
            size_bytes = os.fstat(self._descriptor).st_size
        self._members: dict[str, LayerEntry] = {}
        self._walk(FileSpan(self._descriptor, 0, size_bytes, str(file)))

    def _walk(self, whole: FileSpan) -> None:
        tar = TarReader(_MOST_FILES, EntryCallback(self._note))
        begun = False
        for chunk in whole.chunks():
            if not begun:
                for magic, program in _COMPRESSIONS.items():
                    if chunk.startswith(magic):
                        raise ConfigurationFault(f"{self.place} is compressed: decompress it first, with {program}")
            begun = True
            tar.feed(chunk)
            if tar.problem is not None:
                break
        tar.finish()
        if tar.problem is not None and not tar.problem.is_trailing:
            told = tar.problem.value if tar.problem.is_limit else "is no tar that is whole"
            raise ConfigurationFault(f"{self.place} {told}")

    def _note(self, entry: LayerEntry) -> None:
        self._members[posixpath.normpath(entry.path)] = entry

    def has(self, name: str) -> bool:
        return name in self._members

    def span(self, name: str) -> FileSpan:
        place = posixpath.normpath(name)
        for _ in range(_MOST_LINKS):
            entry = self._members.get(place)
            if entry is None or entry.is_sparse or entry.kind not in _FOUND:
                break
            if entry.kind is EntryKind.FILE:
                return FileSpan(self._descriptor, entry.offset_bytes, entry.size_bytes, f"{self.place}: {quoted(name)}")
            above = "" if entry.kind is EntryKind.HARD_LINK else posixpath.dirname(place)
            place = posixpath.normpath(posixpath.join(above, entry.target))
        raise ManifestInvalid(f"{self.place} does not hold {quoted(name)}, which it names")
