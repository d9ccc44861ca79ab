"""Times of the files of an installed plugin, which tell what an engine unpacked. All calls block."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

_SECOND_NANOSECONDS: Final = 1_000_000_000
#: Largest difference between the two times of a file that a program has just made.
_SAME_TIME_NANOSECONDS: Final = 2 * _SECOND_NANOSECONDS
#: Values of statx(2). Python has no function for the birth time.
_NO_FOLLOW: Final = 0x100
_EMPTY_PATH: Final = 0x1000
_BIRTH_TIME: Final = 0x800
_BIRTH_OFFSET_BYTES: Final = 80
_RESULT_BYTES: Final = 256


class FileTimes:
    """Times of the files below the root filesystem of an installed plugin.

    Args:
        root: descriptor of the root filesystem, which lies in the folder of the plugin.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        files, plugin = _born("", root), _born("..", root)
        # An engine makes the folder of a plugin after it has unpacked the files. After an upgrade, the files are
        # younger than the folder, and nothing tells when they were complete.
        is_first = files is not None and plugin is not None and files < plugin
        self._unpacked_until = plugin if is_first else None

    def made_here(self, path: str) -> bool:
        """Return True if a program made a file on this host, and False if an engine unpacked the file.

        An engine gives an unpacked file the time in the layer, which is older and has no fraction of a second. A folder
        loses this time when something is added to it, so its birth decides.

        Args:
            path: path below the root. A symbolic link at its end is not followed.
        """
        try:
            status = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except OSError:
            return False
        is_fresh = abs(status.st_ctime_ns - status.st_mtime_ns) < _SAME_TIME_NANOSECONDS
        if not is_fresh or status.st_mtime_ns % _SECOND_NANOSECONDS == 0:
            return False
        born = _born(path, self._root)
        # Enabling may follow within the same tick of the clock, of 4 ms. Unpacking ends some ticks before.
        return born is None or self._unpacked_until is None or born >= self._unpacked_until


def _born(path: str, folder: int) -> int | None:
    """Return the birth time of a file in nanoseconds since 1970, or None if the system or the file system has none.

    Args:
        path: path below the folder; empty for the folder itself.
        folder: descriptor of the folder.
    """
    # Looked up here, because C libraries before glibc 2.28 lack the function.
    statx = getattr(ctypes.CDLL(None), "statx", None)
    result = ctypes.create_string_buffer(_RESULT_BYTES)
    flags = _NO_FOLLOW | _EMPTY_PATH
    if statx is None or statx(folder, os.fsencode(path), flags, _BIRTH_TIME, result) != 0:
        return None
    (known,) = struct.unpack_from("=I", result)
    seconds, nanoseconds = struct.unpack_from("=qI", result, _BIRTH_OFFSET_BYTES)
    return seconds * _SECOND_NANOSECONDS + nanoseconds if known & _BIRTH_TIME else None
