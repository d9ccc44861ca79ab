"""Headers of tar entries, compared with Python's own library."""

from __future__ import annotations

import tarfile
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.rootfs.tar_header import BLOCK_BYTES, read_header


def by_the_library(block: bytes) -> tuple[Any, ...] | None:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    return (
        info.name.rstrip("/"),
        info.size,
        info.mode,
        info.uid,
        info.gid,
        info.mtime,
        info.linkname,
        (info.devmajor, info.devminor),
    )


def by_us(block: bytes) -> tuple[Any, ...] | None:
    try:
        header = read_header(block)
    except ValueError:
        return None
    return (
        header.name.rstrip("/"),
        header.size_bytes,
        header.mode,
        header.uid,
        header.gid,
        header.modified_seconds,
        header.target,
        header.device,
    )


def summed(block: bytes, *, signed: bool = False) -> bytes:
    """Return the header block with its correct checksum."""
    blank = block[:148] + b" " * 8 + block[156:]
    total = sum(byte - 256 * (signed and byte > 127) for byte in blank)
    return block[:148] + b"%06o\0 " % max(total, 0) + block[156:]


_NUMBERS = st.sampled_from(
    [b"0000644\0", b"     64 ", b"\x80\0\0\0\0\0\0\7", b"\xff" * 8, b"\0" * 8, b"9999999\0", b"-1\0     "]
)


@given(
    name=st.binary(max_size=120).map(lambda name: name.decode("utf-8", "surrogateescape").replace("\0", "")),
    kind=st.sampled_from([b"0", b"\0", b"1", b"2", b"3", b"5", b"7", b"x", b"g", b"L", b"K"]),
    size=st.integers(0, 2**70),
    numbers=st.dictionaries(st.sampled_from([100, 108, 116, 329, 337]), _NUMBERS, max_size=3),
    changes=st.dictionaries(st.integers(0, BLOCK_BYTES - 1), st.integers(0, 255), max_size=3),
    how=st.sampled_from(["right", "signed", "wrong"]),
)
def test_any_header(
    name: str, kind: bytes, size: int, numbers: dict[int, bytes], changes: dict[int, int], how: str
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    try:
        block = bytearray(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")[-BLOCK_BYTES:])
    except ValueError:
        return
    for place, number in numbers.items():
        block[place : place + 8] = number
    for place, byte in changes.items():
        block[place] = byte
    whole = bytes(block) if how == "wrong" else summed(bytes(block), signed=how == "signed")
    assert by_us(whole) == by_the_library(whole)


@given(st.binary(min_size=BLOCK_BYTES, max_size=BLOCK_BYTES))
def test_any_block(block: bytes) -> None:
    assert by_us(block) == by_the_library(block)
    assert by_us(summed(block)) == by_the_library(summed(block))
