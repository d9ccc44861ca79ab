"""Names in a layer: cleaned as engines clean them, and which of them are whiteouts or mean nothing."""

from __future__ import annotations

from typing import Final

from mirror.oci.errors import LayerEntryInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.entry import MOST_NAME_BYTES, MOST_PATH_BYTES, byte_length

WHITEOUT: Final = ".wh."
#: The whiteout of all that is in its folder.
OPAQUE: Final = ".wh..wh..opq"
_METADATA: Final = ".wh..wh."
#: Names of so many characters are never too long.
_SHORT: Final = MOST_NAME_BYTES // 4


def parts_of(path: str) -> list[str]:
    """The components of a name in a layer, cleaned as engines clean it. What leads above the root is at the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return parts


def is_too_long(path: str) -> bool:
    """Tell whether a name in a layer is longer than Linux takes, as a whole or in a component."""
    if len(path) <= _SHORT:
        return False
    parts = parts_of(path) if ".." in path else path.split("/")
    if max(map(len, parts), default=0) > _SHORT and any(byte_length(part) > MOST_NAME_BYTES for part in parts):
        return True
    if len(path) <= MOST_PATH_BYTES // 4:
        return False
    return byte_length("/".join(part for part in parts if part not in {"", "."})) > MOST_PATH_BYTES


def is_metadata(path: str) -> bool:
    """Tell whether engines pass over a name."""
    parts = parts_of(path) if _METADATA in path else []
    return bool(parts) and parts[0].startswith(_METADATA) and parts != [OPAQUE]


def require_plain(name: str) -> None:
    """Refuse a name that engines take for different things, or not at all.

    Raises:
        LayerEntryInvalid: it leads out of the layer, is too long, or is a whiteout that means nothing.
    """
    depth = 0
    for part in name.split("/") if ".." in name else ():
        depth += -1 if part == ".." else part not in {"", "."}
        if depth < 0:
            raise LayerEntryInvalid(f"{quoted(name)} leads out of the layer")
    if is_too_long(name):
        raise LayerEntryInvalid(f"{quoted(name)} is longer than names can be")
    if "\0" in name:
        raise LayerEntryInvalid(f"{quoted(name)} holds a zero byte")
    if WHITEOUT in name and any(part.startswith(WHITEOUT) for part in parts_of(name)[:-1]) and not is_metadata(name):
        raise LayerEntryInvalid(f"{quoted(name)} is no whiteout that means anything")
