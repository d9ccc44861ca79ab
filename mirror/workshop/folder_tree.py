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

from mirror.oci.errors import ConfigurationFault
from mirror.plugin.flatten import WHITEOUT, Tree
from mirror.plugin.layer_limits import MOST_ENTRIES
from mirror.plugin.tree import Entry, Kind, LayerEntry, Node
from mirror.workshop.files import FileSpan, FolderBelow, open_folder_below, reading

_KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFDIR: Kind.FOLDER,
    stat.S_IFCHR: Kind.CHARACTER_DEVICE,
    stat.S_IFBLK: Kind.BLOCK_DEVICE,
    stat.S_IFIFO: Kind.PIPE,
}
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
#: Attributes that belong to a file rather than to the machine that it lies on.
_KEPT_XATTR: Final = "security.capability"
_KEPT_XATTR_PREFIX: Final = "user."


@dataclass(frozen=True, slots=True)
class FileBelow:
    """A file below a folder. Implements :class:`mirror.plugin.tree.Content`.

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
    """What was found in a folder.

    Attributes:
        entries: all of it, sorted by the components of the paths.
        sockets: paths of sockets, which no archive can hold; they are left out.
    """

    entries: list[Entry]
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
    folder = FolderBelow(root)
    stack.callback(folder.close)
    walk = _Walk(root, name, folder, owners=owners)
    tree = Tree()
    tree.apply(walk.found())
    return FolderRead(list(tree.entries()), walk.sockets)


class _Walk:
    """Goes through a folder."""

    def __init__(self, root: int, name: Path, contents: FolderBelow, *, owners: bool) -> None:
        self._root = root
        self._contents = contents
        self._name = name
        self._owners = owners
        self._linked: dict[tuple[int, int], Node] = {}
        self._count = 0
        self.sockets: list[str] = []

    def found(self) -> Iterator[LayerEntry]:
        with reading(self._name):
            status = os.fstat(self._root)
            yield LayerEntry("", self._node("", status, self._root))
        volume = status.st_dev
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            with reading(self._name / folder):
                descriptor = open_folder_below(self._root, folder)
            try:
                for path, status, node in self._children(folder, descriptor):
                    yield LayerEntry(path, node)
                    if node.kind is Kind.FOLDER and status.st_dev == volume:
                        waiting.append(path)
            finally:
                os.close(descriptor)

    def _children(self, folder: str, descriptor: int) -> Iterator[tuple[str, os.stat_result, Node]]:
        with reading(self._name / folder), os.scandir(descriptor) as found:
            names = sorted(one.name for one in found)
        for name in names:
            path = f"{folder}/{name}" if folder else name
            self._check(name, path)
            with reading(self._name / path):
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISSOCK(status.st_mode):
                    self.sockets.append(path)
                    continue
                yield path, status, self._known(path, name, descriptor, status)

    def _check(self, name: str, path: str) -> None:
        self._count += 1
        if self._count > MOST_ENTRIES:
            raise ConfigurationFault(f"{self._name} holds more than {MOST_ENTRIES} files and folders")
        if name.startswith(WHITEOUT):
            raise ConfigurationFault(
                f"{self._name / path}: engines take a name that begins with {WHITEOUT} for a whiteout: rename it"
            )

    def _known(self, path: str, name: str, folder: int, status: os.stat_result) -> Node:
        """What is there; the same object where it was seen under another name."""
        key = status.st_dev, status.st_ino
        if key in self._linked:
            return self._linked[key]
        node = self._node(path, status, f"/proc/self/fd/{folder}/{name}")
        if node.kind is Kind.SYMLINK:
            node = replace(node, target=os.readlink(name, dir_fd=folder))
        if status.st_nlink > 1 and node.kind is not Kind.FOLDER:
            self._linked[key] = node
        return node

    def _node(self, path: str, status: os.stat_result, place: str | int) -> Node:
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        is_file, is_device = kind is Kind.FILE, kind in {Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE}
        name = str(self._name / path)
        return Node(
            kind=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid if self._owners else 0,
            gid=status.st_gid if self._owners else 0,
            modified_seconds=int(status.st_mtime),
            size_bytes=status.st_size if is_file else 0,
            device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0),
            xattrs=_xattrs(place) if kind in {Kind.FILE, Kind.FOLDER} else {},
            content=FileBelow(self._contents, path, status.st_size, name) if is_file else None,
        )


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
