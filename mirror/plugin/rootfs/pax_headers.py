"""Extended headers of a tar that override values of the entry after them: pax (POSIX) and GNU long names."""

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
#: Pax records that are read here, and the fields of :class:`EntryOverrides` that hold their values.
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
#: Grammar of numbers, and of times in seconds. Fractions of a second are dropped.
_DECIMAL: Final = re.compile(rb"[0-9]{1,19}")
_SIGNED: Final = re.compile(rb"[+-]?[0-9]{1,19}")
_MOMENT: Final = re.compile(rb"([+-]?[0-9]{1,19})(?:\.[0-9]*)?")


@dataclass(frozen=True, slots=True)
class EntryOverrides:
    """Values for the next entry from extended headers. GNU long names take precedence over pax names, as in Go."""

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
    """Return the overrides with those of another extended header added, as Go's reader does.

    A pax header replaces an earlier pax header. A global header discards everything before it.

    Args:
        kind: type byte of the extended header.
        content: content of the extended header.
        before: overrides of the headers before this one.

    Raises:
        ValueError: the content is outside the pax grammar.
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
    # Go parses a global header and ignores its values. Applying them to the entries after it, as tarfile does, would
    # give other names than the engine reads (ADR 24).
    if kind == GLOBAL_HEADER:
        return NO_OVERRIDES
    return EntryOverrides(**said, xattrs=xattrs, long_path=before.long_path, long_target=before.long_target)


def _pax_value(key: bytes, value: bytes) -> str | int:
    """Parse the value of a pax record: text for names, otherwise an integer."""
    if key in _NAMES:
        return _text(value)
    grammar = {b"size": _DECIMAL, b"mtime": _MOMENT}.get(key, _SIGNED)
    number = grammar.fullmatch(value)
    if number is None:
        raise ValueError("no number")
    return int(number[1] if key == b"mtime" else value)


def _text(name: bytes) -> str:
    """Decode a name; bytes outside UTF-8 become surrogates."""
    return name.decode("utf-8", "surrogateescape")


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of the records of a pax header.

    Raises:
        ValueError: the content is outside the pax grammar.
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
