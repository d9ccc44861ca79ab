"""Named files in a folder or in one tar, the two forms of saved images and layouts. All calls block."""

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
#: Links in a tar may form a circle.
_MOST_LINKS: Final = 8
_FOUND: Final = frozenset({EntryKind.FILE, EntryKind.SYMLINK, EntryKind.HARD_LINK})
_COMPRESSIONS: Final = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd", b"\xfd7zXZ": "unxz", b"BZh": "bunzip2"}


def open_saved(place: Path, stack: ExitStack) -> SavedFiles:
    """Open the files of a folder or a tar.

    Args:
        place: the folder or the tar.
        stack: closes everything that is opened. Files can be read until then.

    Raises:
        ConfigurationFault: ``place`` cannot be read, or is neither a folder nor a tar.
    """
    return SavedFiles(place, stack) if place.is_dir() else _Archive(place, stack)


class SavedFiles:
    """The files of a folder. Created by :func:`open_saved`.

    Attributes:
        place: the folder or the tar.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self.place = folder

    def has(self, name: str) -> bool:
        """Return True if a file has the name."""
        return (self.place / name).is_file()

    def span(self, name: str) -> FileSpan:
        """Return the content of a file.

        Raises:
            ConfigurationFault: the file cannot be read.
            ManifestInvalid: the tar does not hold the file.
        """
        with reading(self.place / name):
            descriptor = os.open(self.place / name, os.O_RDONLY | os.O_CLOEXEC)
            self._stack.callback(os.close, descriptor)
            return FileSpan(descriptor, 0, os.fstat(descriptor).st_size, str(self.place / name))


class _Archive(SavedFiles):
    """The files of a tar. Links in the tar are followed, because older engines save a repeated layer as a link."""

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
                # A compressed tar would have to be unpacked to be read at offsets.
                for magic, program in _COMPRESSIONS.items():
                    if chunk.startswith(magic):
                        raise ConfigurationFault(f"{self.place} is compressed; fix: decompress it with {program}")
            begun = True
            tar.feed(chunk)
            if tar.problem is not None:
                break
        tar.finish()
        if tar.problem is not None and not tar.problem.is_trailing:
            told = tar.problem.value if tar.problem.is_limit else "is not a complete tar"
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
            # The target of a hard link begins at the root of the tar, that of a symbolic link at its own folder.
            above = "" if entry.kind is EntryKind.HARD_LINK else posixpath.dirname(place)
            place = posixpath.normpath(posixpath.join(above, entry.target))
        raise ManifestInvalid(f"{self.place} refers to {quoted(name)}, but does not hold it")
