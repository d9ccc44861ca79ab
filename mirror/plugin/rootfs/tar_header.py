"""Reading and writing the header of a tar entry, one block of 512 bytes (POSIX ustar, GNU).

Headers are read with code of our own for speed, because some tars consist of little else. The accepted headers and
their values are those of :meth:`tarfile.TarInfo.frombuf`. Written headers are POSIX pax, as engines read them.
"""

from __future__ import annotations

import tarfile
import zlib
from functools import lru_cache
from typing import Final, NamedTuple

from mirror.oci.errors import ManifestInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.tree import TreeEntry

BLOCK_BYTES: Final = 512
#: The end of a tar: exactly two blocks of zeros, as engines write it.
END_OF_TAR: Final = bytes(2 * BLOCK_BYTES)
_XATTR: Final = "SCHILY.xattr."
_HALF_BYTES: Final = BLOCK_BYTES // 2
_NAME_BYTES: Final = 100
_NAME, _SIZE_AND_TIME, _CHECKSUM, _LINK = slice(0, 100), slice(124, 148), slice(148, 156), slice(157, 257)
#: Largest number in twelve bytes of octal digits with a zero byte at the end.
_MOST_OCTAL: Final = 8**11 - 1
_FILE, _HARD_LINK = EntryKind.FILE.value, EntryKind.HARD_LINK.value
_NO_DEVICE: Final = (0, 0)
_NEGATIVE, _BINARY = 0o377, 0o200
#: GNU types that use the field of the name's prefix for other values.
_WITHOUT_PREFIX: Final = frozenset({b"L", b"K", b"S"})


class Header(NamedTuple):
    """Values of a tar header.

    Attributes:
        kind: type byte.
        name: name of the entry; bytes outside UTF-8 are surrogates.
        size_bytes: size of the content after the header; negative if the header says so.
        mode: permission bits.
        uid, gid: numeric owners.
        modified_seconds: modification time in seconds since 1970.
        target: target of a link.
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
    """Parse a header block.

    Raises:
        ValueError: the block is not a valid header.
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
    """Decode a text field, which ends at the first zero byte. Bytes outside UTF-8 become surrogates."""
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


@lru_cache(4096)
def _number(field: bytes) -> int:
    """Parse a number field: octal digits, or GNU's binary form."""
    if field[0] == _BINARY:
        return int.from_bytes(field[1:], "big")
    if field[0] == _NEGATIVE:
        return int.from_bytes(b"\xff" + field[1:], "big", signed=True)
    return int(field.partition(b"\0")[0].decode("ascii").strip() or "0", 8)


def _sum(block: bytes) -> int:
    """Return the checksum of a header: the sum of all bytes, with blanks in place of the checksum field."""
    field = block[_CHECKSUM]
    # The low half of Adler-32 is the sum plus 1, modulo 65521, which the sum of 256 bytes does not reach.
    low, high = zlib.adler32(block[:_HALF_BYTES]), zlib.adler32(block[_HALF_BYTES:])
    return (low & 0xFFFF) + (high & 0xFFFF) - 2 - sum(field) + 8 * ord(" ")


def _signed_sum(block: bytes) -> int:
    """Return the checksum with bytes taken as signed, as some old programs computed it."""
    return _sum(block) - 256 * sum(byte > 127 for byte in block[:148] + block[156:])


def tar_header(entry: TreeEntry, latest_seconds: int) -> bytes:
    """Return the header of an entry, preceded by its pax headers if needed.

    The content of a file follows separately.

    Args:
        entry: entry to write.
        latest_seconds: upper limit of the modification time in seconds since 1970. Times before 1970 become 0.

    Raises:
        ManifestInvalid: a tar cannot hold the name of an extended attribute.
    """
    path, node, same_as = entry
    # A hard link has no content, so its size is 0. Its attributes are those of its target.
    if same_as is not None:
        kind, target, size_bytes, device = _HARD_LINK, same_as, 0, _NO_DEVICE
    else:
        # Looking up the value of a member of an Enum takes longer than the comparison.
        kind = _FILE if node.kind is EntryKind.FILE else node.kind.value
        target, size_bytes, device = node.target, node.size_bytes, node.device
    seconds = min(node.modified_seconds, latest_seconds)
    if same_as is not None or not node.xattrs:
        template = _template(kind, node.mode, node.uid, node.gid, device)
        short = None if template is None else template.filled(path or ".", target, size_bytes, seconds)
        if short is not None:
            return short
    info = _info(kind, node.mode, node.uid, node.gid, device)
    info.name, info.linkname, info.size, info.mtime = path or ".", target, size_bytes, max(0, seconds)
    if same_as is None:
        _require_names(path, node)
        # Sorted, so that the same files give the same bytes (ADR 15).
        info.pax_headers = {f"{_XATTR}{name}": node.xattrs[name] for name in sorted(node.xattrs)}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _require_names(path: str, node: Node) -> None:
    """Refuse names of attributes outside UTF-8, and those that readers would cut at ``=``."""
    for name in node.xattrs:
        if "=" in name or name.encode("utf-8", "replace").decode() != name:
            raise ManifestInvalid(
                f"{quoted(path)}: a tar cannot hold the name of the extended attribute {quoted(name)}; "
                "fix: remove the attribute"
            )


def _info(kind: bytes, mode: int, uid: int, gid: int, device: tuple[int, int]) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.mode, info.uid, info.gid = kind, mode, uid, gid
    info.devmajor, info.devminor = device
    return info


class _Template:
    """Header that lacks names, size and time. Entries of the same kind, mode and owner share the rest.

    The rest comes from a header that ``tarfile`` made, so filled headers are those of ``tarfile``, which takes ten
    times as long.

    Args:
        block: header of an entry of this kind, mode and owner.
    """

    def __init__(self, block: bytes) -> None:
        rest = bytearray(block)
        rest[_NAME] = rest[_LINK] = bytes(_NAME_BYTES)
        rest[_SIZE_AND_TIME] = bytes(_SIZE_AND_TIME.stop - _SIZE_AND_TIME.start)
        self._owner = block[_NAME.stop : _SIZE_AND_TIME.start]
        self._kind = block[156:157]
        self._end = block[_LINK.stop :]
        self._checksum = _sum(bytes(rest))
        self._is_folder = self._kind == EntryKind.FOLDER.value

    def filled(self, path: str, target: str, size_bytes: int, seconds: int) -> bytes | None:
        """Return the header of an entry, None if ``tarfile`` must write it."""
        if self._is_folder and path[-1] != "/":
            path += "/"
        try:
            name, link = path.encode("ascii"), target.encode("ascii")
        except UnicodeEncodeError:
            return None
        if len(name) > _NAME_BYTES or len(link) > _NAME_BYTES:
            return None
        if size_bytes > _MOST_OCTAL or not 0 <= seconds <= _MOST_OCTAL:
            return None
        numbers = b"%011o\0%011o\0" % (size_bytes, seconds)
        # The low half of Adler-32 is the sum plus 1, modulo 65521, which these few bytes of ASCII do not reach.
        filled = zlib.adler32(link, zlib.adler32(numbers, zlib.adler32(name))) & 0xFFFF
        return b"%b%b%b%06o\0 %b%b%b" % (
            name.ljust(_NAME_BYTES, b"\0"),
            self._owner,
            numbers,
            self._checksum + filled - 1,
            self._kind,
            link.ljust(_NAME_BYTES, b"\0"),
            self._end,
        )


@lru_cache(1024)
def _template(kind: bytes, mode: int, uid: int, gid: int, device: tuple[int, int]) -> _Template | None:
    """Return the template of headers, None if these values need pax headers."""
    block = _info(kind, mode, uid, gid, device).tobuf(tarfile.PAX_FORMAT)
    return _Template(block) if len(block) == BLOCK_BYTES else None


def tar_padding(node: Node) -> bytes:
    """Return the zero bytes that fill the content of a file to a whole block."""
    return bytes(-node.size_bytes % BLOCK_BYTES)
