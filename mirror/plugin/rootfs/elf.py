"""Requirements for starting an ELF program: its loader and the libraries that it names (gABI, chapter 5; ADR 14).

The program is read from bytes that pass by once, and only the parts named here are kept. The content is untrusted:
offsets and sizes in a program are never followed beyond the bytes that were kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mirror.plugin.rootfs.platform import Platform, platform_from_elf

#: Leading bytes of a program that hold its header and the table of its segments (ADR 14).
HEAD_BYTES: Final = 4096
#: Most bytes of the dynamic section that are read.
MOST_DYNAMIC_BYTES: Final = 64 * 1024

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29
# A program may claim any number of segments, libraries and characters, so each is bounded.
_MOST_SEGMENTS: Final = 128
_MOST_NEEDED: Final = 256
_MOST_NAME_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a program: its kind, its place in the file and in memory, and its size in the file."""

    kind: int
    offset: int
    address: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ElfLayout:
    """Layout of an ELF file: the places of the parts that :func:`read` needs.

    Attributes:
        platform: platform that the program runs on; None if Go has no name for the machine.
        wide: True for a 64-bit program, False for a 32-bit one.
        order: byte order, as ``struct`` writes it (``<`` or ``>``).
        interpreter: offset and size in bytes of the loader's path; None if the program has no loader.
        dynamic: offset and size in bytes of the dynamic section; None if the program is static.
        loads: segments that are loaded into memory.
    """

    platform: Platform | None
    wide: bool
    order: str
    interpreter: tuple[int, int] | None
    dynamic: tuple[int, int] | None
    loads: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Elf:
    """An ELF program or library.

    Attributes:
        platform: platform that the program runs on; None if Go has no name for the machine.
        interpreter: path of the loader; None if the program has no loader.
        needed: names of the libraries that the program names itself; None if they could not be read.
        paths: folders that the loader searches before the usual ones (RPATH, RUNPATH). ``$ORIGIN`` means the folder of
            the program.
    """

    platform: Platform | None
    interpreter: str | None = None
    needed: tuple[str, ...] | None = ()
    paths: tuple[str, ...] = ()


def layout_of(head: bytes) -> ElfLayout | None:
    """Read the header and the segments of a program.

    Args:
        head: beginning of the file, :data:`HEAD_BYTES` or the whole file if that is shorter.

    Returns:
        The layout; None if the file is not ELF.
    """
    if len(head) < 52 or not head.startswith(b"\x7fELF") or head[4] not in {1, 2} or head[5] not in {1, 2}:
        return None
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    segments = list(_segments(head, wide, order))
    interpreter = next((one for one in segments if one.kind == _INTERPRETER), None)
    dynamic = next((one for one in segments if one.kind == _DYNAMIC), None)
    return ElfLayout(
        platform=platform_from_elf(head),
        wide=wide,
        order=order,
        interpreter=None
        if interpreter is None
        else (interpreter.offset, min(interpreter.size_bytes, _MOST_NAME_BYTES)),
        dynamic=None if dynamic is None else (dynamic.offset, min(dynamic.size_bytes, MOST_DYNAMIC_BYTES)),
        loads=tuple(one for one in segments if one.kind == _LOAD),
    )


def read(layout: ElfLayout, content: bytes | bytearray, dynamic: bytes | bytearray) -> Elf:
    """Read the loader and the libraries of a program.

    Args:
        layout: layout that :func:`layout_of` read from the head.
        content: leading bytes of the file, as many as were kept.
        dynamic: dynamic section, as far as the file holds one.

    Returns:
        The program. ``needed`` is None if a name lies beyond the bytes that were kept.
    """
    interpreter = None
    if layout.interpreter is not None:
        at, size_bytes = layout.interpreter
        interpreter = _text(bytes(content[at : at + size_bytes]).partition(b"\0")[0])
    if layout.dynamic is None:
        return Elf(layout.platform, interpreter)
    entries = list(_dynamic_entries(layout, dynamic))
    strings = next((_offset(layout, value) for tag, value in entries if tag == _STRINGS), None)
    # The names of libraries are offsets into the string table. Without the table they exist but cannot be read.
    if strings is None:
        return Elf(layout.platform, interpreter, needed=None if any(tag == _NEEDED for tag, _ in entries) else ())
    names = [_name(content, strings + value) for tag, value in entries if tag == _NEEDED][:_MOST_NEEDED]
    whole = tuple(name for name in names if name is not None)
    places = [_name(content, strings + value) for tag, value in entries if tag in {_RPATH, _RUNPATH}]
    paths = tuple(part for place in places if place for part in place.split(":") if part)
    # An incomplete list would make a library look unneeded, so one unreadable name makes the whole list unknown.
    return Elf(layout.platform, interpreter, whole if len(whole) == len(names) else None, paths)


def _segments(head: bytes, wide: bool, order: str) -> Iterator[Segment]:  # noqa: FBT001 - one bit of the header
    """Yield the segments of the program header table, as far as the table lies within the head."""
    if wide:
        place, sizes, entry = ("Q", 32), 54, struct.Struct(f"{order}IIQQQQQQ")
    else:
        place, sizes, entry = ("I", 28), 42, struct.Struct(f"{order}IIIIIIII")
    if len(head) < sizes + 4:
        return
    (table,) = struct.unpack_from(f"{order}{place[0]}", head, place[1])
    entry_bytes, count = struct.unpack_from(f"{order}HH", head, sizes)
    if entry_bytes < entry.size:
        return
    for number in range(min(count, _MOST_SEGMENTS)):
        at = table + number * entry_bytes
        if at + entry.size > len(head):
            return
        values = entry.unpack_from(head, at)
        if wide:
            yield Segment(values[0], values[2], values[3], values[5])
        else:
            yield Segment(values[0], values[1], values[2], values[4])


def _dynamic_entries(layout: ElfLayout, dynamic: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield tag and value of each entry of the dynamic section, up to the entry that ends the section."""
    entry = struct.Struct(f"{layout.order}{'QQ' if layout.wide else 'II'}")
    for tag, value in entry.iter_unpack(dynamic[: len(dynamic) - len(dynamic) % entry.size]):
        if tag == 0:
            return
        yield tag, value


def _offset(layout: ElfLayout, address: int) -> int | None:
    """Return the file offset of the content that is loaded at an address; None if no segment covers the address."""
    for load in layout.loads:
        if load.address <= address < load.address + load.size_bytes:
            return address - load.address + load.offset
    return None


def _name(content: bytes | bytearray, at: int) -> str | None:
    """Return the zero-terminated string at an offset; None if the string was not kept to its end."""
    end = content.find(b"\0", at, at + _MOST_NAME_BYTES)
    return None if at >= len(content) or end < 0 else _text(bytes(content[at:end]))


def _text(name: bytes) -> str:
    """Decode a name; bytes outside UTF-8 become surrogates."""
    return name.decode("utf-8", "surrogateescape")
