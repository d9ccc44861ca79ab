"""Files and folders that enabling adds to the root filesystem of a plugin (moby: daemon/initlayer; runc: mount points).

Everything that is added is empty, belongs to root and has the mode 0755.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.entry import EntryKind
from mirror.plugin.rootfs.tree import TreeEntry

#: Files and folders that every engine adds before the start.
_ALWAYS_ADDED: Final = (
    *(".dockerenv", "dev/console", "dev/pts", "dev/shm", "dev/mqueue", "proc", "sys"),
    *("etc/hosts", "etc/hostname", "etc/resolv.conf", "run/docker/plugins"),
)
_MOUNTS_LINK: Final = ("etc/mtab", "/proc/mounts")
_MODE: Final = 0o755
#: Most symbolic links that Linux follows for one path.
_MOST_LINKS: Final = 40
#: Most components of a path with the targets of its links.
_MOST_PARTS: Final = 4096


def without_additions(
    entries: Iterable[TreeEntry], config: PluginConfig, made_here: Callable[[str], bool]
) -> list[TreeEntry]:
    """List the entries of a root filesystem without those that enabling adds again.

    Folders above an addition are omitted too, if nothing else is in them.

    Args:
        entries: the root filesystem, each folder before its content.
        config: config of the plugin.
        made_here: returns True for a path that a program made on this host, and False for one that was unpacked.
    """
    listed = list(entries)
    links = {entry.path: entry.node.target for entry in listed if entry.node.kind is EntryKind.SYMLINK}
    added = {place for path in _places(config) if (place := _followed(path, links))}
    above = {folder for place in added for folder in _folders_above(place)}
    holding: set[str] = set()
    kept = []
    # The content of a folder decides about the folder, so it comes first.
    for entry in reversed(listed):
        is_folder = entry.node.kind is EntryKind.FOLDER
        is_place = entry.path in added or (is_folder and entry.path in above)
        if (entry.path, entry.node.target) == _MOUNTS_LINK:
            is_addition = made_here(entry.path)
        else:
            is_addition = is_place and entry.path not in holding and _is_plain(entry) and made_here(entry.path)
        if not is_addition:
            kept.append(entry)
            holding.add(entry.path.rpartition("/")[0])
    return kept[::-1]


def _places(config: PluginConfig) -> Iterator[str]:
    """Yield the paths at which an engine and its runtime need a file or folder."""
    yield from _ALWAYS_ADDED
    yield config.propagated_mount
    yield config.work_dir
    yield from (mount.destination for mount in config.mounts)


def _folders_above(path: str) -> Iterator[str]:
    """Yield the folders above a path, without the root."""
    while path := path.rpartition("/")[0]:
        yield path


def _is_plain(entry: TreeEntry) -> bool:
    """Return True for an empty file or a folder with the owner and mode of an addition."""
    node = entry.node
    is_empty = node.kind is EntryKind.FOLDER or (node.kind is EntryKind.FILE and node.size_bytes == 0)
    return is_empty and node.mode == _MODE and node.uid == node.gid == 0 and not node.xattrs and entry.same_as is None


def _followed(path: str, links: Mapping[str, str]) -> str:
    """Return a path without symbolic links, or an empty text if the path does not end.

    Args:
        path: path from the root.
        links: target of each symbolic link, by its path.
    """
    ahead = path.split("/")[::-1]
    done: list[str] = []
    followed = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            del done[-1:]
        elif part not in {"", "."}:
            done.append(part)
            target = links.get("/".join(done))
            if target is not None:
                followed += 1
                ahead += reversed(target.split("/"))
                if followed > _MOST_LINKS or len(ahead) > _MOST_PARTS:
                    return ""
                done = [] if target.startswith("/") else done[:-1]
    return "/".join(done)
