"""Create the files and folders of a tree on this machine.

Everything is created inside one new folder, through descriptors of parent folders and never through a symbolic link.
So neither the tree nor another process that renames folders at the same time can lead out of that folder. All calls
block.
"""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from mirror.authoring.files.safe_files import PIECE_BYTES, FolderBelow, writing
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.tree import TreeEntry

#: O_EXCL with O_NOFOLLOW: never write into a file or through a link that is already there.
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEVICES: Final = {EntryKind.CHARACTER_DEVICE: stat.S_IFCHR, EntryKind.BLOCK_DEVICE: stat.S_IFBLK}
#: The filesystem has no such attributes, or only root may set them.
_NOT_HERE: Final = frozenset({errno.ENOTSUP, errno.EPERM, errno.EACCES})


class Extraction:
    """A run that creates the files of one tree.

    Args:
        entries: the tree. A folder comes before its content, and a file before its hard links.
        root: descriptor of an empty folder to which nobody else writes.
        name: name of the folder in error messages.
        owners: True to set numeric owners and to create device nodes, which needs root.

    Attributes:
        devices_left_out: number of device nodes that were not created.
        xattrs_left_out: number of extended attributes that could not be set.
    """

    def __init__(self, entries: Sequence[TreeEntry], root: int, name: Path, *, owners: bool) -> None:
        self._entries = entries
        self._root = root
        self._name = name
        self._owners = owners
        self._folder = FolderBelow(root)
        self._links = _LinkSources(root)
        self.devices_left_out = 0
        self.xattrs_left_out = 0

    def steps(self) -> Generator[int, None, None]:
        """Create everything, and yield after each step the number of bytes that it has written.

        Each step but the last writes at least 1 MiB.

        Raises:
            StorageFault: a file or folder cannot be created.
            MirrorError: the content of a file cannot be read.
        """
        written_bytes = 0
        try:
            with writing(self._name):
                self._links.open(entry.same_as for entry in self._entries if entry.same_as is not None)
            for entry in self._entries:
                for size_bytes in self._make(entry) if entry.path else ():
                    written_bytes += size_bytes
                    if written_bytes >= PIECE_BYTES:
                        yield written_bytes
                        written_bytes = 0
            yield written_bytes
            # Removed before folders get their times, which a change of the root folder would overwrite.
            with writing(self._name):
                self._links.remove()
            # Children first: a folder that is finished may be read-only, and its time must not change any more.
            for entry in reversed(self._entries):
                if entry.node.kind is EntryKind.FOLDER:
                    with writing(f"{self._name}/{entry.path}".rstrip("/")):
                        self._finish(entry.node, self._folder.enter(entry.path))
        finally:
            self._links.close()
            self._folder.close()

    def _make(self, entry: TreeEntry) -> Generator[int, None, None]:
        above, _, name = entry.path.rpartition("/")
        with writing(f"{self._name}/{entry.path}"):
            folder = self._folder.enter(above)
            if entry.same_as is not None:
                if not self._links.link(entry.same_as, name, folder):
                    self.devices_left_out += 1  # a hard link to a device that was left out
                return
            is_file = entry.node.kind is EntryKind.FILE
            if is_file:
                descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
            elif not self._make_special(entry.node, name, folder):
                return
            self._links.keep(entry.path, name, folder)
            if not is_file:
                return
        try:
            for chunk in entry.node.content.chunks() if entry.node.content is not None else ():
                with writing(f"{self._name}/{entry.path}"):
                    _write(descriptor, chunk)
                yield len(chunk)
            with writing(f"{self._name}/{entry.path}"):
                self._finish(entry.node, descriptor)
        finally:
            os.close(descriptor)

    def _make_special(self, node: Node, name: str, folder: int) -> bool:
        """Create an entry that has no content, and return False if it was left out.

        Owner, mode and time of a folder are set at the end by :meth:`_finish`.
        """
        if node.kind is EntryKind.FOLDER:
            # The mode of the tree may forbid the creation of files in the folder.
            os.mkdir(name, 0o700, dir_fd=folder)
            return True
        if node.kind is EntryKind.SYMLINK:
            os.symlink(node.target, name, dir_fd=folder)
        elif node.kind is EntryKind.PIPE:
            os.mkfifo(name, 0o600, dir_fd=folder)
        elif self._owners:
            os.mknod(name, 0o600 | _DEVICES[node.kind], os.makedev(*node.device), dir_fd=folder)
        else:
            self.devices_left_out += 1
            return False
        if self._owners:
            os.chown(name, node.uid, node.gid, dir_fd=folder, follow_symlinks=False)
        if node.kind is not EntryKind.SYMLINK:
            os.chmod(name, node.mode, dir_fd=folder)
        os.utime(name, (node.modified_seconds,) * 2, dir_fd=folder, follow_symlinks=False)
        return True

    def _finish(self, node: Node, descriptor: int) -> None:
        """Set owner, mode, attributes and time of an open file or folder, in an order in which all of them survive."""
        # A change of the owner clears the set-user-ID bit and file capabilities, so it comes first. The time comes
        # last, because writes change it.
        if self._owners:
            os.chown(descriptor, node.uid, node.gid)
        os.chmod(descriptor, node.mode)
        for name, value in node.xattrs.items():
            try:
                os.setxattr(descriptor, name, value.encode("utf-8", "surrogateescape"))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                self.xattrs_left_out += 1
        os.utime(descriptor, (node.modified_seconds,) * 2)


class _LinkSources:
    """Files that will get hard links, kept under numbers in one folder.

    So the path of a linked file, which may be long, is entered once instead of once for each link.

    Args:
        root: descriptor of the folder in which that folder is created.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        # A random name cannot occur in a tree that was made to collide with it.
        self._name = f".{uuid.uuid4().hex}"
        self._folder: int | None = None
        self._wanted: frozenset[str] = frozenset()
        self._numbers: dict[str, str] = {}

    def open(self, wanted: Iterable[str]) -> None:
        """Create the folder if there are any paths of linked files.

        Raises:
            OSError: the folder cannot be created.
        """
        self._wanted = frozenset(wanted)
        if self._wanted:
            os.mkdir(self._name, 0o700, dir_fd=self._root)
            self._folder = os.open(self._name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._root)

    def keep(self, path: str, name: str, folder: int) -> None:
        """Keep a file if it will get hard links.

        Raises:
            OSError: the file cannot be linked.
        """
        if path in self._wanted:
            self._numbers[path] = str(len(self._numbers))
            os.link(name, self._numbers[path], src_dir_fd=folder, dst_dir_fd=self._folder, follow_symlinks=False)

    def link(self, path: str, name: str, folder: int) -> bool:
        """Create a hard link to a kept file. Return False if the file was not kept.

        Raises:
            OSError: the link cannot be created.
        """
        number = self._numbers.get(path)
        if number is not None:
            os.link(number, name, src_dir_fd=self._folder, dst_dir_fd=folder, follow_symlinks=False)
        return number is not None

    def remove(self) -> None:
        """Remove the folder and the names in it.

        Raises:
            OSError: the folder cannot be removed.
        """
        if self._folder is not None:
            for number in self._numbers.values():
                os.unlink(number, dir_fd=self._folder)
            os.rmdir(self._name, dir_fd=self._root)

    def close(self) -> None:
        """Close the descriptor of the folder."""
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None


def remove_folder(folder: Path) -> None:
    """Remove a folder with its content, even if the modes of folders forbid it. Whatever cannot be removed stays.

    The depth does not matter. Folders further down are first moved up, so that no path becomes too long.
    """
    numbers = count()
    moved = f".{uuid.uuid4().hex}."
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        with suppress(OSError):
            place.chmod(0o700)
            with os.scandir(place) as found:
                children = list(found)
            for child in children:
                with suppress(OSError):
                    if not child.is_dir(follow_symlinks=False):  # the target of a link is not ours
                        os.unlink(child.path)  # noqa: PTH108
                        continue
                    os.chmod(child.path, 0o700)  # noqa: PTH101
                    waiting.append(folder / f"{moved}{next(numbers)}")
                    os.rename(child.path, waiting[-1])  # noqa: PTH104
            if place != folder:
                place.rmdir()
    with suppress(OSError):
        folder.rmdir()


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]  # a write may be partial
