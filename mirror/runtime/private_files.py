"""Files and folders that other users of the machine may not read, whatever the umask is. All calls block.

They are for their owner alone: 0700 and 0600. Where the folder that they are made in is writable for its group, an
administrator shares it with that group, and so they are for the group too: 0770 and 0660.
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


def make_folder(folder: Path) -> None:
    """Create a folder with the rights that the one around it asks for; one that exists is left as it is.

    Raises:
        OSError: it cannot be made.
    """
    around = os.stat(folder.parent)  # noqa: PTH116
    try:
        os.mkdir(folder, _OWNER_FOLDER)  # noqa: PTH102
    except FileExistsError:
        return
    if _is_shared(around) or _is_anothers(around):
        with suppress(FileNotFoundError):  # others have removed it meanwhile
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _hand_over(descriptor, _GROUP_FOLDER | around.st_mode & stat.S_ISGID, around)
            finally:
                os.close(descriptor)


def open_file(file: Path, flags: int) -> int:
    """Open a file, and create it, where ``flags`` say so, with the rights that its folder asks for.

    Args:
        file: its path.
        flags: as of ``os.open``.

    Returns:
        Its descriptor, which is not inherited by other programs.

    Raises:
        OSError: it cannot be opened or made.
    """
    flags |= os.O_CLOEXEC
    while flags & os.O_CREAT:
        try:
            descriptor = os.open(file, flags | os.O_EXCL, _OWNER_FILE)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
        else:
            return _made(descriptor, file)
        with suppress(FileNotFoundError):  # removed in between
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
    """Take from other users what they may do with a folder and with what is in it, where it is the caller's own.

    Somebody else's folder, and files of somebody else in it, are left to them. What keeps others out is not looked
    into, for nobody comes past it: where all is well, this costs some ten system calls.

    Args:
        top: the folder; its group keeps what it may do where it may write to it.
        is_known: whether a name belongs into it. What has another name is left alone, and with it the folder itself,
            which has another use as well.

    Returns:
        How many files and folders were changed.

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
    if all(is_known(entry.name) for entry in within) and not status.st_mode & stat.S_ISVTX:
        changed += _restrict(top, status, forbidden)
    return changed


def _tighten(entry: os.DirEntry[str], forbidden: int) -> int:
    """Tighten something and what is below it; folders last, so that one interrupted is taken in hand again."""
    try:
        status = entry.stat(follow_symlinks=False)
        if not status.st_mode & forbidden or stat.S_ISLNK(status.st_mode):
            return 0
        below = sum(_tighten(child, forbidden) for child in _children(entry)) if stat.S_ISDIR(status.st_mode) else 0
        return below + _restrict(Path(entry.path), status, forbidden)
    except FileNotFoundError:
        return 0  # it has ended meanwhile


def _children(entry: os.DirEntry[str]) -> Iterator[os.DirEntry[str]]:
    with suppress(PermissionError), os.scandir(entry.path) as children:
        yield from children


def _restrict(path: Path, status: os.stat_result, forbidden: int) -> int:
    if not status.st_mode & forbidden or status.st_uid != os.geteuid():
        return 0
    with suppress(PermissionError):  # the file system knows no rights: its mount says what they are
        os.chmod(path, stat.S_IMODE(status.st_mode) & ~forbidden)  # noqa: PTH101
        return 1
    return 0


def _hand_over(descriptor: int, shared_mode: int, around: os.stat_result) -> None:
    """Give what was just made the rights and the owner that the folder around it asks for."""
    if os.fstat(descriptor).st_uid != os.geteuid():
        return
    if _is_shared(around):
        os.fchmod(descriptor, shared_mode)
    if _is_anothers(around):
        os.fchown(descriptor, around.st_uid, around.st_gid)


def _is_shared(folder: os.stat_result) -> bool:
    return bool(folder.st_mode & stat.S_IWGRP)


def _is_anothers(folder: os.stat_result) -> bool:
    """Whether root works in a folder of somebody else, who must be able to read what it leaves there."""
    return os.geteuid() == _ROOT and folder.st_uid != _ROOT
