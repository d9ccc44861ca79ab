"""The bytes around the content of a member: tar headers and padding (POSIX ustar; pax for 8 GiB and more). Pure.

A header depends on name and size alone. So every reader can compute the headers of a bundle and compare them with the
file, and no header has to be parsed.
"""

from __future__ import annotations

from typing import Final

BLOCK_BYTES: Final = 512
END: Final = bytes(2 * BLOCK_BYTES)
#: Sizes from here on do not fit the eleven octal digits of a ustar header.
_LARGE_BYTES: Final = 8**11
_NAME_BYTES: Final = 100


def member_header(path: str, size_bytes: int) -> bytes:
    """Return the header of a member: mode 0644, no owner, time 0.

    Args:
        path: path in ASCII.
        size_bytes: size of the content.
    """
    records = b""
    if len(path) > _NAME_BYTES:  # the path of a sha512 blob
        records += _pax_record("path", path)
    if size_bytes >= _LARGE_BYTES:
        records += _pax_record("size", str(size_bytes))
        size_bytes = 0
    pax = _block("pax", len(records), b"x") + records + padding(len(records)) if records else b""
    return pax + _block(path[:_NAME_BYTES], size_bytes, b"0")


def header_size_bytes(path: str, size_bytes: int) -> int:
    """Return the size of :func:`member_header`: one block, or three with a pax record."""
    return BLOCK_BYTES if len(path) <= _NAME_BYTES and size_bytes < _LARGE_BYTES else 3 * BLOCK_BYTES


def padding(size_bytes: int) -> bytes:
    """Return the zeros that follow the content of a member."""
    return bytes(-size_bytes % BLOCK_BYTES)


def _block(name: str, size_bytes: int, kind: bytes) -> bytes:
    fields = (
        name.encode("ascii").ljust(100, b"\0"),
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % size_bytes,
        b"%011o\0" % 0,
        b" " * 8,
        kind,
        bytes(100),
        b"ustar\x0000",
        bytes(32 + 32),
        b"0000000\0" * 2,
        bytes(155 + 12),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _pax_record(key: str, value: str) -> bytes:
    # The length counts its own digits.
    rest = len(f" {key}={value}\n")
    length = rest + len(str(rest))
    if len(str(length)) + rest != length:
        length += 1
    return f"{length} {key}={value}\n".encode("ascii")
