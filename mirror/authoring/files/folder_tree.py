"""A folder on this machine as a tree's entries. All calls block."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mirror.authoring.files.safe_files import FileSpan, FolderBelow, reading
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.rootfs.entry import EntryKind, LayerEntry
from mirror.plugin.rootfs.layer_limits import MOST_ENTRIES
from mirror.plugin.rootfs.layer_names import WHITEOUT
from mirror.plugin.rootfs.tree import Tree, TreeEntry

_KINDS: Final = {
    stat.S_IFREG: EntryKind.FILE,
    stat.S_IFLNK: EntryKind.SYMLINK,
    stat.S_IFDIR: EntryKind.FOLDER,
    stat.S_IFCHR: EntryKind.CHARACTER_DEVICE,
    stat.S_IFBLK: EntryKind.BLOCK_DEVICE,
    stat.S_IFIFO: EntryKind.PIPE,
}
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
#: Attributes that belong to a file rather than to the machine that it lies on.
_KEPT_XATTR: Final = "security.capability"
_KEPT_XATTR_PREFIX: Final = "user."


@dataclass(frozen=True, slots=True)
class FileBelow:
    """A file below a folder. Implements :class:`mirror.plugin.rootfs.entry.Content`.

    Attributes:
        folder: where it is entered.
        path: of the file, below that.
        size_bytes: what it had when it was looked at.
        name: what it is called in errors.
    """

    folder: FolderBelow
    path: str
    size_bytes: int
    name: str

    def chunks(self) -> Iterator[bytes]:
        """Its bytes. Raises ConfigurationFault: it cannot be read, or is not what it was when it was looked at."""
        with reading(self.name):
            above, _, name = self.path.rpartition("/")
            descriptor = os.open(name, _READ, dir_fd=self.folder.enter(above))
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size != self.size_bytes:
                raise ConfigurationFault(f"{self.name} changed while it was read: let nobody write to it")
            yield from FileSpan(descriptor, 0, self.size_bytes, self.name).chunks()
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class FolderRead:
    """The files of a folder.

    Attributes:
        entries: all of it, sorted by the components of the paths.
        sockets: paths of sockets, which no archive can hold; they are left out.
    """

    entries: list[TreeEntry]
    sockets: list[str]


def read_folder(root: int, name: Path, stack: ExitStack, *, owners: bool) -> FolderRead:
    """Look at everything in a folder. No symbolic link is followed, and other volumes mounted in it are not entered.

    Args:
        root: descriptor of the folder.
        name: what the folder is called in errors.
        owners: whether numeric owners are kept; else everything belongs to 0:0.
        stack: closes what is opened for contents; those can be read until then, if ``root`` is open as well.

    Raises:
        ConfigurationFault: something cannot be read, or is named like a whiteout.
        ManifestInvalid: there is too much of it.
    """
    walk = FolderWalk(root, name, stack, owners=owners)
    tree = Tree()
    tree.apply(_checked(walk, name))
    return FolderRead(list(tree.entries()), walk.sockets)


def _checked(walk: FolderWalk, name: Path) -> Iterator[tuple[LayerEntry, FileBelow | None]]:
    for count, (entry, content) in enumerate(walk.entries()):
        if count > MOST_ENTRIES:
            raise ConfigurationFault(f"{name} holds more than {MOST_ENTRIES} files and folders")
        if entry.path.rpartition("/")[2].startswith(WHITEOUT):
            raise ConfigurationFault(
                f"{name / entry.path}: engines take a name that begins with {WHITEOUT} for a whiteout: rename it"
            )
        yield entry, content


class FolderWalk:
    """Goes through a folder. Arguments as for :func:`read_folder`.

    Attributes:
        sockets: paths of sockets that were passed over.
    """

    def __init__(self, root: int, name: Path, stack: ExitStack, *, owners: bool) -> None:
        self._folder = FolderBelow(root)
        self._contents = FolderBelow(root)
        stack.callback(self._folder.close)
        stack.callback(self._contents.close)
        self._root = root
        self._name = name
        self._owners = owners
        self._linked: dict[tuple[int, int], str] = {}
        self.sockets: list[str] = []

    def entries(self) -> Iterator[tuple[LayerEntry, FileBelow | None]]:
        """Give everything in it, itself first, a folder before what is in it, and a file before its further names.

        Raises:
            ConfigurationFault: something cannot be read.
        """
        with reading(self._name):
            status = os.fstat(self._root)
            yield self._entry("", status, self._root), None
        volume = status.st_dev
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            with reading(f"{self._name}/{folder}".rstrip("/")):
                descriptor = self._folder.enter(folder)
                with os.scandir(descriptor) as found:
                    names = sorted(one.name for one in found)
            for name in names:
                path = f"{folder}/{name}" if folder else name
                with reading(f"{self._name}/{path}"):
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    if stat.S_ISSOCK(status.st_mode):
                        self.sockets.append(path)
                        continue
                    entry = self._found(path, name, descriptor, status)
                yield entry, self._content(entry)
                if entry.kind is EntryKind.FOLDER and status.st_dev == volume:
                    waiting.append(path)

    def _found(self, path: str, name: str, folder: int, status: os.stat_result) -> LayerEntry:
        """The entry of something in a folder; a hard link where it was seen under another name."""
        key = status.st_dev, status.st_ino
        if key in self._linked:
            return LayerEntry(path, EntryKind.HARD_LINK, stat.S_IMODE(status.st_mode), target=self._linked[key])
        entry = self._entry(path, status, f"/proc/self/fd/{folder}/{name}")
        if entry.kind is EntryKind.SYMLINK:
            entry = replace(entry, target=os.readlink(name, dir_fd=folder))
        if status.st_nlink > 1 and entry.kind is not EntryKind.FOLDER:
            self._linked[key] = path
        return entry

    def _entry(self, path: str, status: os.stat_result, place: str | int) -> LayerEntry:
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        return LayerEntry(
            path=path,
            kind=kind,
            mode=stat.S_IMODE(status.st_mode),
            size_bytes=status.st_size if kind is EntryKind.FILE else 0,
            uid=status.st_uid if self._owners else 0,
            gid=status.st_gid if self._owners else 0,
            modified_seconds=int(status.st_mtime),
            device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if kind.is_device else (0, 0),
            xattrs=_xattrs(place) if kind in {EntryKind.FILE, EntryKind.FOLDER} else {},
        )

    def _content(self, entry: LayerEntry) -> FileBelow | None:
        if entry.kind is not EntryKind.FILE:
            return None
        return FileBelow(self._contents, entry.path, entry.size_bytes, f"{self._name}/{entry.path}")


def _xattrs(place: str | int) -> dict[str, str]:
    """The attributes that are kept, of an open folder, or of what has that name, be it a link."""
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    kept = [name for name in names if name == _KEPT_XATTR or name.startswith(_KEPT_XATTR_PREFIX)]
    values = {name: os.getxattr(place, name, follow_symlinks=follow) for name in kept}
    return {name: value.decode("utf-8", "surrogateescape") for name, value in values.items()}
