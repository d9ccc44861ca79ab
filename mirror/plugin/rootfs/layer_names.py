"""Names in a layer: cleaning them as engines do, and recognising whiteouts and ignored names."""

from __future__ import annotations

from typing import Final

from mirror.oci.errors import LayerEntryInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.entry import MOST_NAME_BYTES, MOST_PATH_BYTES, byte_length

WHITEOUT: Final = ".wh."
#: Opaque mark: the whiteout of everything in its folder.
OPAQUE: Final = ".wh..wh..opq"
_METADATA: Final = ".wh..wh."
#: Names of at most this many characters are never too long: a character has at most 4 bytes in UTF-8.
_SHORT: Final = MOST_NAME_BYTES // 4


def parts_of(path: str) -> list[str]:
    """Return the components of a name, cleaned as engines clean it. ``..`` above the root stays at the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return parts


def is_too_long(path: str) -> bool:
    """Return True if a name exceeds the limits of Linux, as a whole or in one component."""
    # The cheap checks come first: this runs for each entry of a layer, and encoding every name would be slow.
    if len(path) <= _SHORT:
        return False
    parts = parts_of(path) if ".." in path else path.split("/")
    if max(map(len, parts), default=0) > _SHORT and any(byte_length(part) > MOST_NAME_BYTES for part in parts):
        return True
    if len(path) <= MOST_PATH_BYTES // 4:
        return False
    return byte_length("/".join(part for part in parts if part not in {"", "."})) > MOST_PATH_BYTES


def is_metadata(path: str) -> bool:
    """Return True if engines ignore the name."""
    parts = parts_of(path) if _METADATA in path else []
    return bool(parts) and parts[0].startswith(_METADATA) and parts != [OPAQUE]


def require_plain(name: str) -> None:
    """Check that all engines accept a name and read it in the same way.

    Raises:
        LayerEntryInvalid: the name leads out of the layer, is too long, holds a zero byte, or is a whiteout without a
            meaning.
    """
    depth = 0
    for part in name.split("/") if ".." in name else ():
        depth += -1 if part == ".." else part not in {"", "."}
        if depth < 0:
            raise LayerEntryInvalid(f"{quoted(name)} leads out of the layer")
    if is_too_long(name):
        raise LayerEntryInvalid(f"{quoted(name)} is longer than Linux allows")
    if "\0" in name:
        raise LayerEntryInvalid(f"{quoted(name)} holds a zero byte")
    if WHITEOUT in name and any(part.startswith(WHITEOUT) for part in parts_of(name)[:-1]) and not is_metadata(name):
        raise LayerEntryInvalid(f"{quoted(name)} is a whiteout without a meaning")
