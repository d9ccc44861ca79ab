"""Extended headers of a tar, which say more of the entry that follows: those of pax (POSIX), and GNU's long names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mirror.plugin.rootfs.tar_header import text

LOCAL_HEADER: Final = b"x"
GLOBAL_HEADER: Final = b"g"
LONG_NAME: Final = b"L"
LONG_TARGET: Final = b"K"
_RECORD: Final = re.compile(rb"([0-9]{1,7}) ([^=]+)=")
#: Records of pax that matter here, and where what they say is kept.
_PAX: Final = {
    b"size": "size_bytes",
    b"path": "path",
    b"linkpath": "target",
    b"uid": "uid",
    b"gid": "gid",
    b"mtime": "modified_seconds",
}
_XATTR: Final = b"SCHILY.xattr."
_SPARSE: Final = b"GNU.sparse."
_NAMES: Final = frozenset({b"path", b"linkpath", b"uname", b"gname"})
#: Numbers, and a time in seconds, of which the whole ones are kept.
_DECIMAL: Final = re.compile(rb"[0-9]{1,19}")
_SIGNED: Final = re.compile(rb"[+-]?[0-9]{1,19}")
_MOMENT: Final = re.compile(rb"([+-]?[0-9]{1,19})(?:\.[0-9]*)?")


@dataclass(frozen=True, slots=True)
class EntryOverrides:
    """Values of the next entry that extended headers give; GNU's long names win over those of pax, as in Go."""

    size_bytes: int | None = None
    path: str = ""
    target: str = ""
    uid: int | None = None
    gid: int | None = None
    modified_seconds: int | None = None
    xattrs: Mapping[str, str] = field(default_factory=dict)
    sparse: bool = False
    long_path: str = ""
    long_target: str = ""


NO_OVERRIDES: Final = EntryOverrides()


def with_header(kind: bytes, content: bytes, before: EntryOverrides) -> EntryOverrides:
    """Add what another extended header says of the next entry, as Go's reader does.

    A header of pax takes the place of one before it, and a global one ends whatever was said before it.

    Args:
        kind: its type.
        content: what it holds.
        before: what was known.

    Raises:
        ValueError: it is one of pax, and outside the grammar.
    """
    if kind == LONG_NAME:
        return replace(before, long_path=text(content))
    if kind == LONG_TARGET:
        return replace(before, long_target=text(content))
    said: dict[str, Any] = {}
    xattrs: dict[str, str] = {}
    for key, value in _records(content):
        if b"\0" in (value if key in _NAMES else key):
            raise ValueError("a record with a zero in it")
        if not value:
            continue
        if key in _PAX:
            said[_PAX[key]] = _pax_value(key, value)
        elif key.startswith(_XATTR):
            xattrs[_text(key.removeprefix(_XATTR))] = _text(value)
        elif key.startswith(_SPARSE):
            said["sparse"] = True
    if kind == GLOBAL_HEADER:
        return NO_OVERRIDES
    return EntryOverrides(**said, xattrs=xattrs, long_path=before.long_path, long_target=before.long_target)


def _pax_value(key: bytes, value: bytes) -> str | int:
    if key in _NAMES:
        return _text(value)
    grammar = {b"size": _DECIMAL, b"mtime": _MOMENT}.get(key, _SIGNED)
    number = grammar.fullmatch(value)
    if number is None:
        raise ValueError("no number")
    return int(number[1] if key == b"mtime" else value)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of an extended header of pax.

    Raises:
        ValueError: they are outside the grammar.
    """
    position = 0
    while position < len(content):
        begun = _RECORD.match(content, position)
        if begun is None:
            raise ValueError("not a record")
        end = position + int(begun[1])
        if end <= begun.end() or content[end - 1 : end] != b"\n":
            raise ValueError("a record of another length")
        yield begun[2], content[begun.end() : end - 1]
        position = end
