"""Files and folders that other users of the machine cannot read, independent of the umask. All calls block.

Modes are 0700 and 0600, for the owner alone. A parent folder that its group may write to is shared by an administrator
with that group, so the modes there are 0770 and 0660.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_OWNER_FOLDER, _GROUP_FOLDER = 0o700, 0o770
_OWNER_FILE, _GROUP_FILE = 0o600, 0o660
_ROOT: Final = 0
_UNCHANGED: Final = -1


def make_folder(folder: Path) -> None:
    """Create a folder with the mode derived from its parent. Leave an existing folder unchanged.

    Raises:
        OSError: the folder cannot be created.
    """
    around = os.stat(folder.parent)  # noqa: PTH116
    try:
        os.mkdir(folder, _OWNER_FOLDER)  # noqa: PTH102
    except FileExistsError:
        return
    if _is_shared(around) or _is_anothers(around):
        # Another process may have removed or replaced the folder since ``mkdir``. The mode and the owner are changed
        # through a descriptor opened with O_NOFOLLOW, so root never gives away the target of a link.
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _hand_over(descriptor, _GROUP_FOLDER | around.st_mode & stat.S_ISGID, around)
            finally:
                os.close(descriptor)


def open_file(file: Path, flags: int) -> int:
    """Open a file. If ``flags`` ask for creation, create it with the mode derived from its folder.

    Args:
        file: path of the file.
        flags: flags of ``os.open``.

    Returns:
        The file descriptor, which child programs do not inherit.

    Raises:
        OSError: the file cannot be opened or created.
    """
    flags |= os.O_CLOEXEC
    # Creation and opening are separate steps: only a file created here may get another mode or owner. A file that
    # another process removes between the steps is created in the next round.
    while flags & os.O_CREAT:
        try:
            descriptor = os.open(file, flags | os.O_EXCL, _OWNER_FILE)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
        else:
            return _made(descriptor, file)
        with suppress(FileNotFoundError):
            return os.open(file, flags & ~os.O_CREAT)
    return os.open(file, flags)


def _made(descriptor: int, file: Path) -> int:
    try:
        around = os.stat(file.parent)  # noqa: PTH116
        if _is_shared(around) or _is_anothers(around):
            _hand_over(descriptor, _GROUP_FILE, around)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def tighten(top: Path, is_known: Callable[[str], bool]) -> int:
    """Remove the rights of other users on a folder and its content, if the caller owns them.

    Folders and files of other owners stay unchanged. A subfolder that already keeps other users out is not searched,
    because nobody can reach its content. A folder with correct modes costs about ten system calls.

    Args:
        top: the folder. Its group keeps its rights if the group may write to the folder.
        is_known: returns True if a name belongs in the folder. Entries with other names stay unchanged. If there are
            any, the mode of ``top`` stays unchanged too, because the folder has another use as well.

    Returns:
        The number of changed files and folders.

    Raises:
        OSError: the folder cannot be read.
    """
    status = os.stat(top)  # noqa: PTH116
    if status.st_uid != os.geteuid():
        return 0
    with os.scandir(top) as found:
        within = list(found)
    forbidden = 0o007 if _is_shared(status) else 0o077
    changed = sum(_tighten(entry, forbidden) for entry in within if is_known(entry.name))
    # A sticky folder is one that several users work in, such as /tmp.
    if all(is_known(entry.name) for entry in within) and not status.st_mode & stat.S_ISVTX:
        changed += _restrict(top, status, forbidden)
    return changed


def _tighten(entry: os.DirEntry[str], forbidden: int) -> int:
    """Remove forbidden rights of an entry and of everything below it, and return the number of changes.

    A folder comes after its content. So an interrupted run leaves the folder open, and the next run searches it again.
    """
    try:
        status = entry.stat(follow_symlinks=False)
        if not status.st_mode & forbidden or stat.S_ISLNK(status.st_mode):
            return 0
        below = sum(_tighten(child, forbidden) for child in _children(entry)) if stat.S_ISDIR(status.st_mode) else 0
        return below + _restrict(Path(entry.path), status, forbidden)
    except FileNotFoundError:
        return 0  # removed while the folder was read


def _children(entry: os.DirEntry[str]) -> Iterator[os.DirEntry[str]]:
    with suppress(PermissionError), os.scandir(entry.path) as children:
        yield from children


def _restrict(path: Path, status: os.stat_result, forbidden: int) -> int:
    if not status.st_mode & forbidden or status.st_uid != os.geteuid():
        return 0
    with suppress(PermissionError):  # the file system has no modes; its mount options set them
        os.chmod(path, stat.S_IMODE(status.st_mode) & ~forbidden)  # noqa: PTH101
        return 1
    return 0


def _hand_over(descriptor: int, shared_mode: int, around: os.stat_result) -> None:
    """Give a new file or folder the mode and the owner derived from its parent folder."""
    # Another process may have replaced the folder after its creation. A foreign folder must not change its owner.
    if os.fstat(descriptor).st_uid != os.geteuid():
        return
    if _is_anothers(around):
        os.fchown(descriptor, around.st_uid, around.st_gid)
    elif _is_shared(around):
        # Without the setgid bit of the folder, Linux gives the file the main group of its creator.
        with suppress(PermissionError):
            os.fchown(descriptor, _UNCHANGED, around.st_gid)
    if _is_shared(around):
        os.fchmod(descriptor, shared_mode)  # after the change of the owner, which clears the setgid bit


def _is_shared(folder: os.stat_result) -> bool:
    return bool(folder.st_mode & stat.S_IWGRP)


def _is_anothers(folder: os.stat_result) -> bool:
    """Return True if root works in another user's folder, where that user must be able to read new files."""
    return os.geteuid() == _ROOT and folder.st_uid != _ROOT
