"""The header of a tar's entry, one block of 512 bytes (POSIX ustar, GNU), read and written.

It is read by hand for speed: some tars hold little else. :meth:`tarfile.TarInfo.frombuf` says what is accepted, and how
it is read. What is written is POSIX pax, as engines read it.
"""

from __future__ import annotations

import tarfile
import zlib
from functools import lru_cache
from typing import Final, NamedTuple

from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.tree import TreeEntry

BLOCK_BYTES: Final = 512
#: The end of a tar: two blocks of zeros, and no more of them, as engines write it.
END_OF_TAR: Final = bytes(2 * BLOCK_BYTES)
_XATTR: Final = "SCHILY.xattr."
_HALF_BYTES: Final = BLOCK_BYTES // 2
_CHECKSUM: Final = slice(148, 156)
_NEGATIVE, _BINARY = 0o377, 0o200
#: Types of GNU's that keep other things where the beginning of a long name stands.
_WITHOUT_PREFIX: Final = frozenset({b"L", b"K", b"S"})


class Header(NamedTuple):
    """Values of a header.

    Attributes:
        kind: its type, one byte.
        name: of the entry; bytes outside UTF-8 are surrogates.
        size_bytes: of the content that follows; negative where that is what it says.
        mode: permissions.
        uid, gid: numeric owners.
        modified_seconds: since 1970.
        target: of a link.
        device: major and minor number.
    """

    kind: bytes
    name: str
    size_bytes: int
    mode: int
    uid: int
    gid: int
    modified_seconds: int
    target: str
    device: tuple[int, int]


def read_header(block: bytes) -> Header:
    """Read a block.

    Raises:
        ValueError: it is no header.
    """
    checksum = _number(block[_CHECKSUM])
    if checksum != _sum(block) and checksum != _signed_sum(block):
        raise ValueError("a wrong checksum")
    kind, name = block[156:157], text(block[:100])
    mode, uid, gid = _number(block[100:108]), _number(block[108:116]), _number(block[116:124])
    size_bytes, modified_seconds = _number(block[124:136]), _number(block[136:148])
    device = _number(block[329:337]), _number(block[337:345])
    if block[345] and kind not in _WITHOUT_PREFIX:
        name = f"{text(block[345:500])}/{name}"
    return Header(kind, name, size_bytes, mode, uid, gid, modified_seconds, text(block[157:257]), device)


def text(field: bytes) -> str:
    """A name, which ends at the first zero byte."""
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


@lru_cache(4096)
def _number(field: bytes) -> int:
    """A number: octal digits, or GNU's binary form."""
    if field[0] == _BINARY:
        return int.from_bytes(field[1:], "big")
    if field[0] == _NEGATIVE:
        return int.from_bytes(b"\xff" + field[1:], "big", signed=True)
    return int(field.partition(b"\0")[0].decode("ascii").strip() or "0", 8)


def _sum(block: bytes) -> int:
    """Sum all bytes, those of the checksum taken for blanks."""
    field = block[_CHECKSUM]
    # The low half of Adler's checksum is one more than the sum, modulo 65521, which 256 bytes do not reach.
    low, high = zlib.adler32(block[:_HALF_BYTES]), zlib.adler32(block[_HALF_BYTES:])
    return (low & 0xFFFF) + (high & 0xFFFF) - 2 - sum(field) + 8 * ord(" ")


def _signed_sum(block: bytes) -> int:
    """Sum all bytes as if they had a sign, as some old programs did."""
    return _sum(block) - 256 * sum(byte > 127 for byte in block[:148] + block[156:])


def tar_header(entry: TreeEntry, latest_seconds: int) -> bytes:
    """Make the header of an entry, with what pax headers it needs; a file's content follows.

    Args:
        entry: what is written.
        latest_seconds: no time is later than this; none is before 1970 either.
    """
    node = entry.node
    info = tarfile.TarInfo(entry.path or ".")
    info.mode, info.uid, info.gid = node.mode, node.uid, node.gid
    info.mtime = max(0, min(node.modified_seconds, latest_seconds))
    if entry.same_as is not None:
        info.type, info.linkname = EntryKind.HARD_LINK.value, entry.same_as
    else:
        info.type, info.linkname = node.kind.value, node.target
        info.size = node.size_bytes
        info.devmajor, info.devminor = node.device
        info.pax_headers = {f"{_XATTR}{name}": node.xattrs[name] for name in sorted(node.xattrs)}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def tar_padding(node: Node) -> bytes:
    """Make what stands behind a file's content, up to a whole block."""
    return bytes(-node.size_bytes % BLOCK_BYTES)
