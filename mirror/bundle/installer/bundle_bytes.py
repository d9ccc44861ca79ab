"""The bytes of a bundle, in one file or in parts that lie in any folders."""

import json
import os
import re
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence

from mirror.bundle.installer.installer_fault import InstallerFault

PIECE_BYTES = 1024 * 1024
_TABLE = ".parts.json"
_PART = re.compile(r"(\.part-[0-9]{3,5}|\.parts\.json)$")
_MOST_TABLE_BYTES = 16 * 1024 * 1024

_Piece = NamedTuple("_Piece", [("name", str), ("path", Optional[str]), ("start_bytes", int), ("size_bytes", int)])


class BundleBytes:
    """Bytes of a bundle, read at any offset.

    Args:
        name: name of the bundle in messages.
        pieces: the file or the parts, in order.

    Attributes:
        name: name of the bundle in messages.
        size_bytes: number of bytes.
    """

    def __init__(self, name: str, pieces: Sequence[_Piece]) -> None:
        self.name = name
        self.size_bytes = sum(piece.size_bytes for piece in pieces)
        self._pieces = list(pieces)

    @classmethod
    def open(cls, path: str, folders: Sequence[str]) -> "BundleBytes":
        """Return the bytes of a bundle.

        Args:
            path: the bundle, its table of parts, one of its parts, or the name of a bundle of which only parts exist.
            folders: folders with parts, besides the folder of ``path``.

        Raises:
            InstallerFault: no such file, or the table of parts is invalid.
        """
        places = [os.path.dirname(path) or ".", *folders]
        named = _PART.search(path)
        if named is None:
            if os.path.isfile(path):
                return cls(path, [_Piece(path, path, 0, os.path.getsize(path))])
            whole = os.path.basename(path)
        else:
            whole = os.path.basename(path[: named.start()])
        table = _found(whole + _TABLE, places)
        if table is None:
            missing = "the table of its parts, {}{}, is missing".format(whole, _TABLE) if named else "it does not exist"
            raise InstallerFault("{} cannot be opened: {}".format(path, missing), 2)
        return cls(table, _pieces_in(table, [os.path.dirname(table) or ".", *places]))

    def read(self, start_bytes: int, size_bytes: int) -> bytes:
        """Return a small range. Raises the errors of :meth:`chunks`."""
        return b"".join(self.chunks(start_bytes, size_bytes))

    def chunks(self, start_bytes: int, size_bytes: int) -> Iterator[bytes]:
        """Iterate over a range, in chunks of at most 1 MiB.

        Raises:
            InstallerFault: a part is missing or too short, or the bundle ends before the range.
            OSError: a file cannot be read.
        """
        end_bytes = start_bytes + size_bytes
        if end_bytes > self.size_bytes:
            raise InstallerFault("{} is not a bundle: it is too short".format(self.name))
        for number, piece in enumerate(self._pieces, 1):
            first, last = max(start_bytes, piece.start_bytes), min(end_bytes, piece.start_bytes + piece.size_bytes)
            if first >= last:
                continue
            if piece.path is None:
                raise InstallerFault(
                    "part {} of {} is missing: {}; fix: connect the drive with it, and name its folder with "
                    "--parts DIR".format(number, len(self._pieces), piece.name)
                )
            for chunk in _range(piece.path, first - piece.start_bytes, last - first):
                yield chunk

    def place(self, start_bytes: int) -> str:
        """Return the file and the offset in it of an offset in the bundle, for messages."""
        for piece in self._pieces:
            if piece.start_bytes <= start_bytes < piece.start_bytes + piece.size_bytes:
                return "{}, byte {}".format(piece.path or piece.name, start_bytes - piece.start_bytes)
        return self.name


def _found(name: str, folders: Sequence[str]) -> Optional[str]:
    paths = (os.path.join(folder, name) for folder in folders)
    return next((path for path in paths if os.path.isfile(path)), None)


def _pieces_in(table: str, folders: Sequence[str]) -> List[_Piece]:
    """Return the parts in a table of parts."""
    fault = InstallerFault("{} is not a table of the parts of a bundle".format(table))
    try:
        if os.path.getsize(table) > _MOST_TABLE_BYTES:
            raise fault
        with open(table, encoding="utf-8") as file:
            value = json.load(file)
    except (ValueError, RecursionError):
        raise fault from None
    except OSError as error:
        raise InstallerFault("{} cannot be read: {}".format(table, error.strerror), 2) from error
    listed: Any = value.get("parts") if isinstance(value, dict) else None
    if not isinstance(listed, list) or not listed:
        raise fault
    pieces: List[_Piece] = []
    start_bytes = 0
    for item in listed:
        name, size_bytes = (item.get("name"), item.get("size_bytes")) if isinstance(item, dict) else (None, None)
        if not isinstance(name, str) or not name or "/" in name or not isinstance(size_bytes, int) or size_bytes < 1:
            raise fault
        path = _found(name, folders)
        if path is not None and os.path.getsize(path) != size_bytes:
            raise InstallerFault(
                "{} has {} bytes, and should have {}; fix: copy the part again".format(
                    path, os.path.getsize(path), size_bytes
                )
            )
        pieces.append(_Piece(name, path, start_bytes, size_bytes))
        start_bytes += size_bytes
    return pieces


def _range(path: str, start_bytes: int, size_bytes: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        file.seek(start_bytes)
        while size_bytes:
            chunk = file.read(min(PIECE_BYTES, size_bytes))
            if not chunk:
                raise InstallerFault("{} ends too early".format(path))
            size_bytes -= len(chunk)
            yield chunk
