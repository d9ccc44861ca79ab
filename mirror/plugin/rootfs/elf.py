"""The needs of an ELF program to be started (gABI, chapter 5): its loader, and the libraries that it names (ADR 14).

Read from bytes that pass by once, with no more of them kept than is asked for here, and whatever they are: nothing
that a program says of itself is believed beyond the bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mirror.plugin.rootfs.platform import Platform, platform_from_elf

#: Bytes of a program's beginning that tell whether it is a dynamic one, and where its table of libraries lies.
HEAD_BYTES: Final = 4096
#: Most bytes of the table of libraries that are read.
MOST_DYNAMIC_BYTES: Final = 64 * 1024

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29
_MOST_SEGMENTS: Final = 128
_MOST_NEEDED: Final = 256
_MOST_NAME_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a program: its kind, where it lies in the file and in memory, and how many bytes of the file it has."""

    kind: int
    offset: int
    address: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ElfLayout:
    """Places in a program.

    Attributes:
        platform: what it runs on; None where Go has no name for that.
        wide: whether it is one of 64 bits.
        order: of its bytes, as ``struct`` writes it.
        interpreter: where the path of its loader lies, as offset and size in bytes; None where it needs none.
        dynamic: where its table of libraries lies, likewise.
        loads: what of it is loaded, and where to.
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
        platform: what it runs on; None where Go has no name for that.
        interpreter: path of the loader; None where it needs none.
        needed: names of the libraries that it names itself; None where they could not be read.
        paths: where it has them looked for, before the usual folders; ``$ORIGIN`` stands for its own folder.
    """

    platform: Platform | None
    interpreter: str | None = None
    needed: tuple[str, ...] | None = ()
    paths: tuple[str, ...] = ()


def layout_of(head: bytes) -> ElfLayout | None:
    """Read a program's header and segments.

    Args:
        head: its beginning, :data:`HEAD_BYTES` or all there is.

    Returns:
        None where it is no ELF file.
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
    """The needs of a program.

    Args:
        layout: as its head says.
        content: its first bytes, as many as were kept.
        dynamic: the table of libraries, as far as it was there.
    """
    interpreter = None
    if layout.interpreter is not None:
        at, size_bytes = layout.interpreter
        interpreter = _text(bytes(content[at : at + size_bytes]).partition(b"\0")[0])
    if layout.dynamic is None:
        return Elf(layout.platform, interpreter)
    entries = list(_dynamic_entries(layout, dynamic))
    strings = next((_offset(layout, value) for tag, value in entries if tag == _STRINGS), None)
    if strings is None:
        return Elf(layout.platform, interpreter, needed=None if any(tag == _NEEDED for tag, _ in entries) else ())
    names = [_name(content, strings + value) for tag, value in entries if tag == _NEEDED][:_MOST_NEEDED]
    whole = tuple(name for name in names if name is not None)
    places = [_name(content, strings + value) for tag, value in entries if tag in {_RPATH, _RUNPATH}]
    paths = tuple(part for place in places if place for part in place.split(":") if part)
    return Elf(layout.platform, interpreter, whole if len(whole) == len(names) else None, paths)


def _segments(head: bytes, wide: bool, order: str) -> Iterator[Segment]:  # noqa: FBT001 - one bit of the header
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
    entry = struct.Struct(f"{layout.order}{'QQ' if layout.wide else 'II'}")
    for tag, value in entry.iter_unpack(dynamic[: len(dynamic) - len(dynamic) % entry.size]):
        if tag == 0:
            return
        yield tag, value


def _offset(layout: ElfLayout, address: int) -> int | None:
    """Find where in the file something lies that is loaded to an address."""
    for load in layout.loads:
        if load.address <= address < load.address + load.size_bytes:
            return address - load.address + load.offset
    return None


def _name(content: bytes | bytearray, at: int) -> str | None:
    """The string there, or None where it was not kept to its end."""
    end = content.find(b"\0", at, at + _MOST_NAME_BYTES)
    return None if at >= len(content) or end < 0 else _text(bytes(content[at:end]))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
