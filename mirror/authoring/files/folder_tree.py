"""A folder on this machine as entries of a tree. All calls block."""

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
#: O_NONBLOCK: a file may have been replaced by a pipe, whose opening would wait for a writer.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
#: Attributes that belong to the file. Others, such as security labels, belong to the machine.
_KEPT_XATTR: Final = "security.capability"
_KEPT_XATTR_PREFIX: Final = "user."


@dataclass(frozen=True, slots=True)
class FileBelow:
    """A file below a folder. Implements :class:`mirror.plugin.rootfs.entry.Content`.

    Attributes:
        folder: access to the folders below the root.
        path: path of the file below the root.
        size_bytes: size of the file when it was found.
        name: name of the file in error messages.
    """

    folder: FolderBelow
    path: str
    size_bytes: int
    name: str

    def chunks(self) -> Iterator[bytes]:
        """Yield the content of the file.

        Raises:
            ConfigurationFault: the file cannot be read, or has changed since it was found.
        """
        with reading(self.name):
            above, _, name = self.path.rpartition("/")
            descriptor = os.open(name, _READ, dir_fd=self.folder.enter(above))
        try:
            # A file of another size would shift everything after it in the tar, whose headers say the old size.
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size != self.size_bytes:
                raise ConfigurationFault(f"{self.name} changed while it was read; fix: stop all writers and try again")
            yield from FileSpan(descriptor, 0, self.size_bytes, self.name).chunks()
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class FolderRead:
    """The content of a folder.

    Attributes:
        entries: all files and folders, sorted by the components of their paths.
        sockets: paths of sockets, which are left out because no archive can hold them.
    """

    entries: list[TreeEntry]
    sockets: list[str]


def read_folder(root: int, name: Path, stack: ExitStack, *, owners: bool) -> FolderRead:
    """List everything in a folder.

    No symbolic link is followed, and other volumes that are mounted in the folder are not entered.

    Args:
        root: descriptor of the folder.
        name: name of the folder in error messages.
        owners: True to keep numeric owners. False to set every owner to 0:0.
        stack: closes the descriptors for contents. Contents can be read until then, as long as ``root`` is open.

    Raises:
        ConfigurationFault: a file cannot be read, its name is that of a whiteout, or there are more than
            :data:`MOST_ENTRIES` entries.
        ManifestInvalid: the tree exceeds a limit.
    """
    walk = FolderWalk(root, name, stack, owners=owners)
    tree = Tree()
    tree.apply(_checked(walk, name))
    return FolderRead(list(tree.entries()), walk.sockets)


def _checked(walk: FolderWalk, name: Path) -> Iterator[tuple[LayerEntry, FileBelow | None]]:
    for count, (entry, content) in enumerate(walk.entries()):
        if count > MOST_ENTRIES:
            raise ConfigurationFault(f"{name} has more than {MOST_ENTRIES} files and folders")
        if entry.path.rpartition("/")[2].startswith(WHITEOUT):
            raise ConfigurationFault(
                f"{name / entry.path}: engines treat a name that begins with {WHITEOUT} as a whiteout; fix: rename it"
            )
        yield entry, content


class FolderWalk:
    """A walk through a folder. The arguments are those of :func:`read_folder`.

    Attributes:
        sockets: paths of sockets that were left out.
    """

    def __init__(self, root: int, name: Path, stack: ExitStack, *, owners: bool) -> None:
        # Contents are read in another order than the walk, so each has its own set of open folders.
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
        """Yield all entries: the folder itself first, a folder before its content, and a file before its hard links.

        Raises:
            ConfigurationFault: a file or folder cannot be read.
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
                # A volume that is mounted below the folder is not part of the plugin.
                if entry.kind is EntryKind.FOLDER and status.st_dev == volume:
                    waiting.append(path)

    def _found(self, path: str, name: str, folder: int, status: os.stat_result) -> LayerEntry:
        """Return the entry of a file. It is a hard link if the same file was found before under another name."""
        key = status.st_dev, status.st_ino
        if key in self._linked:
            return LayerEntry(path, EntryKind.HARD_LINK, stat.S_IMODE(status.st_mode), target=self._linked[key])
        # Attributes have no call that takes a folder's descriptor. This path leads through the open folder.
        entry = self._entry(path, status, f"/proc/self/fd/{folder}/{name}")
        if entry.kind is EntryKind.SYMLINK:
            entry = replace(entry, target=os.readlink(name, dir_fd=folder))
        # Only files with several links are remembered, which keeps the table small.
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
    """Return the extended attributes that are kept.

    Args:
        place: descriptor of an open folder, or path of a file. A symbolic link is not followed.
    """
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
