"""A folder on this machine as entries of a tree. All calls block."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.authoring.files.safe_files import PIECE_BYTES, FileSpan, FolderBelow, reading, unreadable
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.rootfs.entry import NO_XATTRS, EntryKind, Node, possible_seconds
from mirror.plugin.rootfs.layer_limits import MOST_ENTRIES
from mirror.plugin.rootfs.layer_names import WHITEOUT, require_plain
from mirror.plugin.rootfs.tree import TreeEntry

_KINDS: Final = {
    stat.S_IFREG: EntryKind.FILE,
    stat.S_IFLNK: EntryKind.SYMLINK,
    stat.S_IFDIR: EntryKind.FOLDER,
    stat.S_IFCHR: EntryKind.CHARACTER_DEVICE,
    stat.S_IFBLK: EntryKind.BLOCK_DEVICE,
    stat.S_IFIFO: EntryKind.PIPE,
}
# Constants, because looking up a member of an Enum costs as much as a system call.
_FILE, _FOLDER = EntryKind.FILE, EntryKind.FOLDER
#: O_NONBLOCK: a file may have been replaced by a pipe, whose opening would wait for a writer.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
#: Attributes that belong to the file. Others, such as security labels, belong to the machine.
_KEPT_XATTR: Final = "security.capability"
_KEPT_XATTR_PREFIX: Final = "user."


@dataclass(slots=True, eq=False)
class FileBelow:
    """A file below a folder. Implements :class:`mirror.plugin.rootfs.entry.Content`.

    Attributes:
        folder: access to the folders below the root.
        path: path of the file below the root.
        size_bytes: size of the file when it was found.
        root_name: name of the root in error messages.
        descriptor: descriptor of the file while the walk is at it; -1 after that. The content is then opened again.
    """

    folder: FolderBelow
    path: str
    size_bytes: int
    root_name: str
    descriptor: int = -1

    @property
    def name(self) -> str:
        """Name of the file in error messages."""
        return f"{self.root_name}/{self.path}"

    def chunks(self) -> Iterator[bytes]:
        """Yield the content of the file.

        Raises:
            ConfigurationFault: the file cannot be read, or has changed since it was found.
        """
        if self.descriptor < 0:
            return self._opened_again()
        if self.size_bytes <= PIECE_BYTES:
            # Most files are small: one call, and no generator.
            try:
                content = os.pread(self.descriptor, self.size_bytes, 0)
            except OSError as error:
                raise unreadable(self.name, error) from error
            if len(content) == self.size_bytes:
                return iter((content,) if content else ())
        return FileSpan(self.descriptor, 0, self.size_bytes, self.name).chunks()

    def _opened_again(self) -> Iterator[bytes]:
        with reading(self.name):
            above, _, name = self.path.rpartition("/")
            descriptor = os.open(name, _READ, dir_fd=self.folder.enter(above))
        try:
            # A file of another size would shift everything after it in the tar, whose headers say the old size.
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size != self.size_bytes:
                raise _changed(self.name)
            yield from FileSpan(descriptor, 0, self.size_bytes, self.name).chunks()
        finally:
            os.close(descriptor)


class FolderWalk:
    """A walk through a folder.

    No symbolic link is followed, and other volumes that are mounted in the folder are not entered.

    Args:
        root: descriptor of the folder.
        name: name of the folder in error messages.
        owners: True to keep numeric owners. False to set every owner to 0:0.
        stack: closes the descriptors for contents. Contents can be read until then, as long as ``root`` is open.

    Attributes:
        sockets: paths of the sockets so far. Sockets are left out because no archive can hold them.
    """

    def __init__(self, root: int, name: Path, stack: ExitStack, *, owners: bool) -> None:
        # Contents may be read in another order than the walk, so each has its own set of open folders.
        self._folder = FolderBelow(root)
        self._contents = FolderBelow(root)
        stack.callback(self._folder.close)
        stack.callback(self._contents.close)
        self._root = root
        self._name = str(name)
        self._owners = owners
        self._linked: dict[tuple[int, int], str] = {}
        self.sockets: list[str] = []

    def size_bytes(self) -> int:
        """Return the size of all files together, without opening them.

        Raises:
            ConfigurationFault: a file or folder cannot be read.
        """
        size_bytes = 0
        linked: set[int] = set()
        with reading(self._name):
            volume = os.fstat(self._root).st_dev
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            with reading(f"{self._name}/{folder}".rstrip("/")), os.scandir(self._folder.enter(folder)) as found:
                for one in found:
                    status = one.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and status.st_ino not in linked:
                        size_bytes += status.st_size
                        if status.st_nlink > 1:
                            linked.add(status.st_ino)
                    elif stat.S_ISDIR(status.st_mode) and status.st_dev == volume:
                        waiting.append(f"{folder}/{one.name}" if folder else one.name)
        return size_bytes

    def packed_entries(self) -> Iterator[TreeEntry]:
        """Yield all entries as :meth:`entries` does, and refuse what a layer cannot hold.

        Raises:
            ConfigurationFault: a file cannot be read, its name is that of a whiteout, or there are more than
                :data:`MOST_ENTRIES` entries.
            ManifestInvalid: a path is longer than Linux allows.
        """
        for count, entry in enumerate(self.entries()):
            if count > MOST_ENTRIES:
                raise ConfigurationFault(f"{self._name} has more than {MOST_ENTRIES} files and folders")
            if WHITEOUT in entry.path and entry.path.rpartition("/")[2].startswith(WHITEOUT):
                raise ConfigurationFault(
                    f"{self._name}/{entry.path}: engines treat a name that begins with {WHITEOUT} as a whiteout; "
                    "fix: rename it"
                )
            require_plain(entry.path)
            yield entry

    def entries(self) -> Iterator[TreeEntry]:
        """Yield all entries except sockets, sorted by the components of their paths. The first is the folder itself.

        The file of an entry is open until the next entry is taken.

        Raises:
            ConfigurationFault: a file or folder cannot be read.
        """
        with reading(self._name):
            status = os.fstat(self._root)
            root = self._node(_FOLDER, status, _xattrs(self._root))
        yield TreeEntry("", root)
        volume = status.st_dev
        below = [("", *self._names(""))]
        while below:
            folder, names, others = below[-1]
            prefix = f"{folder}/" if folder else ""
            with reading(f"{self._name}/{folder}".rstrip("/")):
                # Folders below may have taken the place of this one among the open folders.
                descriptor = self._folder.enter(folder)
            for name in names:
                path = f"{prefix}{name}"
                if name in others:
                    with reading(f"{self._name}/{path}"):
                        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                        other = self._other(path, name, descriptor, status)
                    if other is not None:
                        yield other
                        # A volume that is mounted below the folder is not part of the plugin.
                        if other.node.kind is _FOLDER and status.st_dev == volume:
                            below.append((path, *self._names(path)))
                            break
                    continue
                file, content = -1, None
                try:
                    try:
                        file = os.open(name, _READ, dir_fd=descriptor)
                        status = os.fstat(file)
                        xattrs = _xattrs(file)
                    except OSError as error:
                        raise unreadable(f"{self._name}/{path}", error) from error
                    if not stat.S_ISREG(status.st_mode):
                        raise _changed(f"{self._name}/{path}")
                    node = self._node(_FILE, status, xattrs)
                    same_as = self._linked_to(path, status) if status.st_nlink > 1 else None
                    if same_as is not None:
                        yield TreeEntry(path, node, same_as)
                        continue
                    node.content = content = FileBelow(self._contents, path, node.size_bytes, self._name, file)
                    yield TreeEntry(path, node)
                finally:
                    if content is not None:
                        content.descriptor = -1
                    if file >= 0:
                        os.close(file)
            else:
                below.pop()

    def _names(self, folder: str) -> tuple[Iterator[str], set[str]]:
        """Return the names in a folder in their order, and those of them that are not names of regular files."""
        names, others = [], set()
        with reading(f"{self._name}/{folder}".rstrip("/")), os.scandir(self._folder.enter(folder)) as found:
            for one in found:
                names.append(one.name)
                if not one.is_file(follow_symlinks=False):
                    others.add(one.name)
        names.sort()
        return iter(names), others

    def _other(self, path: str, name: str, folder: int, status: os.stat_result) -> TreeEntry | None:
        """Return the entry of anything except a regular file, and None for a socket."""
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            self.sockets.append(path)
            return None
        if kind is _FILE:
            raise _changed(f"{self._name}/{path}")
        # Attributes have no call that takes a folder's descriptor. This path leads through the open folder.
        xattrs = _xattrs(f"/proc/self/fd/{folder}/{name}") if kind is _FOLDER else NO_XATTRS
        node = self._node(kind, status, xattrs)
        if kind is EntryKind.SYMLINK:
            node.target = os.readlink(name, dir_fd=folder)
        elif kind.is_device:
            node.device = os.major(status.st_rdev), os.minor(status.st_rdev)
        is_linked = status.st_nlink > 1 and kind is not _FOLDER
        return TreeEntry(path, node, self._linked_to(path, status) if is_linked else None)

    def _linked_to(self, path: str, status: os.stat_result) -> str | None:
        """Return the path under which a file with several links was found before, None if this is its first."""
        first = self._linked.setdefault((status.st_dev, status.st_ino), path)
        return None if first is path else first

    def _node(self, kind: EntryKind, status: os.stat_result, xattrs: Mapping[str, str]) -> Node:
        """Return the node of a file. Target, device and content are added by the caller."""
        return Node(
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid if self._owners else 0,
            status.st_gid if self._owners else 0,
            possible_seconds(int(status.st_mtime)),
            status.st_size if kind is _FILE else 0,
            "",
            (0, 0),
            xattrs,
        )


def _changed(name: str) -> ConfigurationFault:
    return ConfigurationFault(f"{name} changed while it was read; fix: stop all writers and try again")


def _xattrs(place: str | int) -> Mapping[str, str]:
    """Return the extended attributes that are kept.

    Args:
        place: descriptor of an open file or folder, or path of a folder. A symbolic link is not followed.
    """
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return NO_XATTRS
        raise
    kept = [name for name in names if name == _KEPT_XATTR or name.startswith(_KEPT_XATTR_PREFIX)]
    if not kept:
        return NO_XATTRS
    values = {name: os.getxattr(place, name, follow_symlinks=follow) for name in kept}
    return {name: value.decode("utf-8", "surrogateescape") for name, value in values.items()}
