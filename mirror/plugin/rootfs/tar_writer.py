"""Entries of a tree as they stand in a tar (POSIX pax, as engines read it)."""

from __future__ import annotations

import tarfile
from typing import Final

from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.tree import TreeEntry

#: The end of a tar: two blocks of zeros, and no more of them, as engines write it.
END_OF_TAR: Final = bytes(2 * tarfile.BLOCKSIZE)
_XATTR: Final = "SCHILY.xattr."


def tar_header(entry: TreeEntry, latest_seconds: int) -> bytes:
    """Make the header of an entry, with what pax headers it needs; a file's content follows.

    Args:
        entry: what is written.
        latest_seconds: no time is later than this; none is before 1970 either.
    """
    node = entry.node
    info = tarfile.TarInfo(entry.path or ".")
    info.mode, info.uid, info.gid = node.mode, node.uid, node.gid
    info.mtime = max(0, min(node.modified_seconds, latest_seconds))
    if entry.same_as is not None:
        info.type, info.linkname = EntryKind.HARD_LINK.value, entry.same_as
    else:
        info.type, info.linkname = node.kind.value, node.target
        info.size = node.size_bytes
        info.devmajor, info.devminor = node.device
        info.pax_headers = {f"{_XATTR}{name}": node.xattrs[name] for name in sorted(node.xattrs)}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def tar_padding(node: Node) -> bytes:
    """Make what stands behind a file's content, up to a whole block."""
    return bytes(-node.size_bytes % tarfile.BLOCKSIZE)
