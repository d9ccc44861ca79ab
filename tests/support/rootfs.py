"""Root filesystems, programs and configs for tests."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.entry import EntryKind, LayerEntry
from mirror.plugin.rootfs.root_filesystem import Rootfs
from mirror.plugin.rootfs.rootfs_builder import RootfsBuilder
from mirror.plugin.rootfs.tree import TreeLimits

SOCKET = "driver.sock"


def config(**members: Any) -> PluginConfig:
    """Return a config without findings, with some members replaced."""
    whole = {
        "Entrypoint": ["/bin/driver"],
        "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": SOCKET},
    }
    return PluginConfig.parse(json.dumps(whole | members).encode())


def elf(
    machine: int = 62,
    *,
    loader: str | None = None,
    needed: Sequence[str] = (),
    paths: str = "",
    wide: bool = True,
    little: bool = True,
    gap: int = 0,
) -> bytes:
    """Return an ELF program with these properties, which no kernel would run. ``gap`` bytes come before its table."""
    order = "<" if little else ">"
    word = "Q" if wide else "I"
    header_bytes, segment_bytes = (64, 56) if wide else (52, 32)
    segments: list[tuple[int, int, int]] = []
    body = bytearray()
    begin = header_bytes + 3 * segment_bytes

    def add(content: bytes) -> int:
        body.extend(content)
        return begin + len(body) - len(content)

    if loader is not None:
        text = loader.encode() + b"\0"
        segments.append((3, add(text), len(text)))
    if needed or paths:
        names = b"\0" + b"".join(name.encode() + b"\0" for name in (*needed, paths))
        strings = add(names)
        entries = [(1, names.index(b"\0" + name.encode() + b"\0") + 1) for name in needed]
        entries += [(29, names.rindex(paths.encode()))] if paths else []
        entries += [(5, 0x10000 + strings), (0, 0)]
        add(bytes(gap))
        table = b"".join(struct.pack(f"{order}{word}{word}", *entry) for entry in entries)
        segments.append((2, add(table), len(table)))
    total = begin + len(body)
    segments.append((1, 0, total))
    head = b"\x7fELF" + bytes([2 if wide else 1, 1 if little else 2, 1, 0]) + bytes(8)
    head += struct.pack(f"{order}HHI", 2, machine, 1)
    head += struct.pack(
        f"{order}{word * 3}IHHHHHH", 0, header_bytes, 0, 0, header_bytes, segment_bytes, len(segments), 0, 0, 0
    )
    for kind, offset, size in segments:
        address = 0x10000 + offset
        if wide:
            head += struct.pack(f"{order}IIQQQQQQ", kind, 4, offset, address, address, size, size, 1)
        else:
            head += struct.pack(f"{order}IIIIIIII", kind, offset, address, address, size, size, 4, 1)
    return head.ljust(begin, b"\0") + bytes(body)


def file(path: str, content: bytes = b"", mode: int = 0o755) -> tuple[LayerEntry, bytes]:
    """Return a file."""
    return LayerEntry(path, EntryKind.FILE, mode, len(content)), content


def folder(path: str, mode: int = 0o755) -> tuple[LayerEntry, bytes]:
    """Return a folder."""
    return LayerEntry(path, EntryKind.FOLDER, mode), b""


def link(path: str, target: str, kind: EntryKind = EntryKind.SYMLINK) -> tuple[LayerEntry, bytes]:
    """Return a link."""
    return LayerEntry(path, kind, 0o777, 0, target), b""


def rootfs(
    *entries: tuple[LayerEntry, bytes],
    names: Iterable[bytes] = (),
    cut: int = 1000,
    digests: bool = True,
    **limits: TreeLimits,
) -> Rootfs:
    """Return the root filesystem of these entries, with content passed in pieces of ``cut`` bytes."""
    reader = RootfsBuilder(names, digests=digests, **limits)
    for entry, content in entries:
        reader.begin(entry)
        for start in range(0, len(content), cut):
            reader.content(content, start, min(start + cut, len(content)))
        reader.end()
    return reader.finish()
