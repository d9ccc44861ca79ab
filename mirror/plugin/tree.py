"""A root filesystem as a list of entries, and how they stand in a tar (POSIX pax, as engines read it)."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from mirror.oci.errors import ManifestInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.tar_walk import TarEntry

#: Longest path, and longest name in it, in bytes: what Linux takes.
MOST_PATH_BYTES: Final = 4096
MOST_NAME_BYTES: Final = 255
#: What ends a tar: two blocks of zeros, and no more of them, as engines write it.
END_OF_TAR: Final = bytes(2 * tarfile.BLOCKSIZE)

_XATTR: Final = "SCHILY.xattr."
_LATEST_SECONDS: Final = 2**34 - 1
_MOST_OWNER: Final = 2**32 - 2
_MOST_DEVICE: Final = 2**20 - 1
_MOST_XATTR_BYTES: Final = 64 * 1024


class Kind(Enum):
    """What an entry is; the value is its type in a tar. A further name of a file is no kind of its own."""

    FILE = tarfile.REGTYPE
    SYMLINK = tarfile.SYMTYPE
    CHARACTER_DEVICE = tarfile.CHRTYPE
    BLOCK_DEVICE = tarfile.BLKTYPE
    FOLDER = tarfile.DIRTYPE
    PIPE = tarfile.FIFOTYPE


class Content(Protocol):
    """What a file holds, to be read when it is needed."""

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, in pieces of at most 1 MiB."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A file, folder, link or device, whatever its names; the same object under two paths is a hard link.

    Attributes:
        kind: what it is.
        mode: permissions, with setuid, setgid and sticky.
        uid, gid: numeric owners.
        modified_seconds: since 1970.
        size_bytes: of a file, else 0.
        target: of a symbolic link.
        device: major and minor number of a device.
        xattrs: extended attributes, raw bytes as surrogates.
        content: of a file.
    """

    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    modified_seconds: int = 0
    size_bytes: int = 0
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, str] = field(default_factory=dict)
    content: Content | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree. In a list of them a folder comes before what is in it, and a file before its further names.

    Attributes:
        path: from the root, which is ``""``; components joined by ``/``, none of them ``.`` or ``..``.
        node: what is there.
        same_as: path of an earlier entry that is the same file.
    """

    path: str
    node: Node
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """An entry as it stands in a layer's tar.

    Attributes:
        name: as written.
        node: what it is; None for a hard link.
        link: the name that a hard link leads to.
    """

    name: str
    node: Node | None
    link: str | None = None


def tar_header(entry: Entry, latest_seconds: int) -> bytes:
    """The header of an entry, with what pax headers it needs; a file's content follows.

    Args:
        entry: what is written.
        latest_seconds: no time is later than this; none is before 1970 either.
    """
    node = entry.node
    info = tarfile.TarInfo(entry.path or ".")
    info.mode, info.uid, info.gid = node.mode, node.uid, node.gid
    info.mtime = max(0, min(node.modified_seconds, latest_seconds))
    if entry.same_as is not None:
        info.type, info.linkname = tarfile.LNKTYPE, entry.same_as
    else:
        info.type, info.linkname = node.kind.value, node.target
        info.size = node.size_bytes
        info.devmajor, info.devminor = node.device
        info.pax_headers = {f"{_XATTR}{name}": node.xattrs[name] for name in sorted(node.xattrs)}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def tar_padding(node: Node) -> bytes:
    """What stands behind a file's content, up to a whole block."""
    return bytes(-node.size_bytes % tarfile.BLOCKSIZE)


def from_tar(entry: TarEntry, content: Content | None) -> LayerEntry:
    """An entry that was read from a tar.

    Raises:
        ManifestInvalid: a kind of entry that engines do not unpack, a sparse file, or a value that no file can have.
    """
    if entry.kind == tarfile.LNKTYPE:
        return LayerEntry(entry.path, None, entry.target)
    if entry.is_sparse:
        raise ManifestInvalid(f"{quoted(entry.path)} is a sparse file: make the archive without --sparse")
    try:
        kind = Kind.FILE if entry.kind == tarfile.AREGTYPE else Kind(entry.kind)
    except ValueError as error:
        raise ManifestInvalid(f"{quoted(entry.path)} is of a kind that engines do not know") from error
    is_device = kind in {Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE}
    node = Node(
        kind=kind,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        modified_seconds=entry.modified_seconds if 0 <= entry.modified_seconds <= _LATEST_SECONDS else 0,
        size_bytes=entry.size_bytes if kind is Kind.FILE else 0,
        target=entry.target if kind is Kind.SYMLINK else "",
        device=entry.device if is_device else (0, 0),
        xattrs=entry.xattrs,
        content=content if kind is Kind.FILE else None,
    )
    if wrong := next(_impossible(node), None):
        raise ManifestInvalid(f"{quoted(entry.path)} has {wrong}")
    return LayerEntry(entry.path, node)


def _impossible(node: Node) -> Iterator[str]:
    """What no file on Linux can have."""
    if not (0 <= node.uid <= _MOST_OWNER and 0 <= node.gid <= _MOST_OWNER):
        yield "an owner that is no number of 32 bits"
    if not all(0 <= number <= _MOST_DEVICE for number in node.device):
        yield "a device number that does not exist"
    if node.kind is Kind.SYMLINK and not (0 < _length(node.target) < MOST_PATH_BYTES and "\0" not in node.target):
        yield "a target that no symbolic link can have"
    for name, value in node.xattrs.items():
        if not 0 < _length(name) <= MOST_NAME_BYTES or "\0" in name or _length(value) > _MOST_XATTR_BYTES:
            yield "an extended attribute that no file can have"


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
