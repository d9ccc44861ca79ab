"""A tree made into files and folders on this machine.

Everything is made new inside one folder, by descriptors of the folders above it and never through a symbolic link, so
that neither the tree nor somebody who renames things meanwhile leads out of it. All calls block.
"""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Generator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from mirror.plugin.tree import Entry, Kind, Node
from mirror.workshop.files import PIECE_BYTES, FolderBelow, open_folder_below, writing

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEVICES: Final = {Kind.CHARACTER_DEVICE: stat.S_IFCHR, Kind.BLOCK_DEVICE: stat.S_IFBLK}
_NOT_HERE: Final = frozenset({errno.ENOTSUP, errno.EPERM, errno.EACCES})


class Planting:
    """Makes a tree, once.

    Args:
        entries: the tree: folders before what is in them, files before their further names.
        root: descriptor of an empty folder, which nobody else writes to.
        name: what the folder is called in errors.
        owners: whether numeric owners and device nodes are made, which takes root.

    Attributes:
        devices_left_out: how many device nodes were not made.
        xattrs_left_out: how many extended attributes could not be set.
    """

    def __init__(self, entries: Sequence[Entry], root: int, name: Path, *, owners: bool) -> None:
        self._entries = entries
        self._root = root
        self._name = name
        self._owners = owners
        self._folder = FolderBelow(root)
        self.devices_left_out = 0
        self.xattrs_left_out = 0

    def steps(self) -> Generator[int, None, None]:
        """Do it, in steps of at least 1 MiB but for the last one; gives how many bytes each has written.

        Raises:
            StorageFault: something cannot be made. And what reading contents raises.
        """
        written_bytes = 0
        try:
            for entry in self._entries:
                for size_bytes in self._make(entry) if entry.path else ():
                    written_bytes += size_bytes
                    if written_bytes >= PIECE_BYTES:
                        yield written_bytes
                        written_bytes = 0
            yield written_bytes
            for entry in reversed(self._entries):
                if entry.node.kind is Kind.FOLDER:
                    with writing(self._name / entry.path):
                        self._finish_folder(entry)
        finally:
            self._folder.close()

    def _make(self, entry: Entry) -> Generator[int, None, None]:
        above, _, name = entry.path.rpartition("/")
        with writing(self._name / entry.path):
            folder = self._folder.enter(above)
            if entry.same_as is not None:
                self._link(entry.same_as, name, folder)
                return
            if entry.node.kind is Kind.FILE:
                descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
            else:
                self._make_special(entry.node, name, folder)
                return
        try:
            for chunk in entry.node.content.chunks() if entry.node.content is not None else ():
                with writing(self._name / entry.path):
                    _write(descriptor, chunk)
                yield len(chunk)
            with writing(self._name / entry.path):
                self._finish(entry.node, descriptor)
        finally:
            os.close(descriptor)

    def _make_special(self, node: Node, name: str, folder: int) -> None:
        """Make what has no content; folders are finished at the end."""
        if node.kind is Kind.FOLDER:
            os.mkdir(name, 0o700, dir_fd=folder)
            return
        if node.kind is Kind.SYMLINK:
            os.symlink(node.target, name, dir_fd=folder)
        elif node.kind is Kind.PIPE:
            os.mkfifo(name, 0o600, dir_fd=folder)
        elif self._owners:
            os.mknod(name, 0o600 | _DEVICES[node.kind], os.makedev(*node.device), dir_fd=folder)
        else:
            self.devices_left_out += 1
            return
        if self._owners:
            os.chown(name, node.uid, node.gid, dir_fd=folder, follow_symlinks=False)
        if node.kind is not Kind.SYMLINK:
            os.chmod(name, node.mode, dir_fd=folder)
        os.utime(name, (node.modified_seconds,) * 2, dir_fd=folder, follow_symlinks=False)

    def _link(self, same_as: str, name: str, folder: int) -> None:
        above, _, first = same_as.rpartition("/")
        source = open_folder_below(self._root, above)
        try:
            os.link(first, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            self.devices_left_out += 1  # another name of a device that was not made
        finally:
            os.close(source)

    def _finish(self, node: Node, descriptor: int) -> None:
        """Give an open file or folder its owner, mode, attributes and time, in the order in which they survive."""
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

    def _finish_folder(self, entry: Entry) -> None:
        descriptor = open_folder_below(self._root, entry.path)
        try:
            self._finish(entry.node, descriptor)
        finally:
            os.close(descriptor)


def remove_folder(folder: Path) -> None:
    """Remove a folder of ours with all that is in it, also where a mode forbids it. What cannot be removed stays.

    However deep it is: what lies further down is moved up first, so that no path of it becomes too long.
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
                    if not child.is_dir(follow_symlinks=False):  # what a link leads to is not ours
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
        view = view[os.write(descriptor, view) :]
