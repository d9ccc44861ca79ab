"""Checks of mounts against the root filesystem: what they need there, and what they hide. Pure decisions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from mirror.plugin.config.host_path import is_within, path_and_parents, resolve
from mirror.plugin.config.host_preparation import HostKind, has_bind_option, host_kind
from mirror.plugin.config.mount_reach import EMPTY_FILE_SYSTEMS
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.findings import mount_findings as table
from mirror.plugin.findings.finding import Finding
from mirror.plugin.lint.mount_checks import described, place_of
from mirror.plugin.rootfs.entry import EntryKind
from mirror.plugin.rootfs.root_filesystem import Rootfs, chain, started

#: Folders over which the engine mounts its own before all others.
_MOUNTED_BEFORE: Final = ("/proc", "/sys", "/dev")
#: Folders of a host, and file systems, that hold no programs.
_WITHOUT_PROGRAMS: Final = ("/proc", "/sys", "/dev/pts")
_EMPTY: Final = EMPTY_FILE_SYSTEMS.union({"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue"})
#: Paths that the engine makes anew if they are no folders, and files that it makes if nothing is there (moby:
#: daemon/initlayer).
_MADE_ANEW: Final = frozenset({"/dev", "/etc", "/proc", "/sys"})
_MADE_FILES: Final = frozenset({"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"})
#: Most mounts that are looked up.
_MOST_MOUNTS: Final = 500


@dataclass(frozen=True, slots=True)
class _Place:
    """A mount as the plugin sees it.

    Attributes:
        path: absolute path in the plugin.
        words: words for the mount in messages.
        kind: kind of the mounted content; None if unknown.
        is_empty: True if the mounted content surely has no program.
    """

    path: str
    words: str
    kind: HostKind | None
    is_empty: bool = False


def check_rootfs_mounts(config: PluginConfig, rootfs: Rootfs) -> Iterator[Finding]:
    """Yield findings about mounts that cannot be made in a root filesystem, or that hide its program.

    Args:
        config: configuration of the plugin.
        rootfs: complete root filesystem of the plugin.
    """
    places = tuple(replace(place, path=_followed(place.path, rootfs)) for place in _places(config))
    mounted = set(_MOUNTED_BEFORE)
    for place in places:
        # An earlier mount hides the root filesystem at this place.
        if mounted.isdisjoint(path_and_parents(place.path)):
            yield from _check_place(place, rootfs)
        mounted.add(place.path)
    yield from _check_work_dir(config, rootfs, places)
    yield from _check_hidden(config, rootfs, places)


def _places(config: PluginConfig) -> Iterator[_Place]:
    """Yield the mounts of a plugin in the order in which they are made."""
    if config.propagated_mount:
        yield _Place(place_of(config.propagated_mount), "PropagatedMount", HostKind.FOLDER, is_empty=True)
    for mount in config.mounts[:_MOST_MOUNTS]:
        if not mount.destination or place_of(mount.destination) == "/run/docker/plugins":
            continue
        bound = has_bind_option(mount)
        kind = host_kind(mount.source or "") if bound else HostKind.FOLDER
        leads_to = resolve(mount.source or "").leads_to or ""
        of_the_kernel = any(is_within(leads_to, folder) for folder in _WITHOUT_PROGRAMS)
        is_empty = kind in {HostKind.FILE, HostKind.DEVICE} or of_the_kernel if bound else mount.type in _EMPTY
        yield _Place(place_of(mount.destination), described(mount), kind, is_empty)
    yield _Place("/run/docker/plugins", "the engine's mount at /run/docker/plugins", HostKind.FOLDER)
    if config.network_type:
        for path in ("/etc/hosts", "/etc/resolv.conf"):
            yield _Place(path, f"the engine's mount at {path}", HostKind.FILE)


def _followed(path: str, rootfs: Rootfs) -> str:
    """Return the path without links, as the runtime follows them; the path itself if nothing is there."""
    found = rootfs.tree.find(path)
    return path if found is None else found.path


def _check_place(place: _Place, rootfs: Rootfs) -> Iterator[Finding]:
    """Yield the finding about the files at and above the place of a mount."""
    above = _not_a_folder(posixpath.dirname(place.path), rootfs)
    if above is not None:
        yield table.MOUNT_NOT_A_FOLDER(mount=place.words, path=above[0], file_kind=above[1].word)
        return
    kind = _kind_at(place.path, rootfs)
    if kind is None or place.kind is None:
        return
    if place.kind is HostKind.FOLDER and kind is not EntryKind.FOLDER:
        yield table.MOUNT_NOT_A_FOLDER(mount=place.words, path=place.path, file_kind=kind.word)
    elif place.kind is not HostKind.FOLDER and kind is EntryKind.FOLDER:
        yield table.MOUNT_NOT_A_FILE(mount=place.words, path=place.path)


def _kind_at(path: str, rootfs: Rootfs) -> EntryKind | None:
    """Return the kind of the file at a path when the mounts are made; None if nothing is there."""
    if path in _MADE_ANEW:
        return EntryKind.FOLDER
    found = rootfs.tree.find(path)
    return found.node.kind if found is not None else EntryKind.FILE if path in _MADE_FILES else None


def _check_work_dir(config: PluginConfig, rootfs: Rootfs, places: tuple[_Place, ...]) -> Iterator[Finding]:
    """Yield the finding about a file in the place of the working folder, unless a mount hides the place."""
    path = place_of(config.work_dir)
    if any(is_within(path, place) for place in (*_MOUNTED_BEFORE, *(place.path for place in places))):
        return
    wrong = _not_a_folder(path, rootfs, dangling=True)
    if wrong is not None:
        yield table.WORK_DIR_NOT_A_FOLDER(work_dir=config.work_dir, path=wrong[0], file_kind=wrong[1].word)


def _not_a_folder(path: str, rootfs: Rootfs, *, dangling: bool = False) -> tuple[str, EntryKind] | None:
    """Return the first part of a path that is no folder, and its kind; None if all parts are folders or missing.

    Args:
        path: absolute path.
        rootfs: root filesystem.
        dangling: True to also return a link that leads nowhere. The runtime makes the target of such a link for a
            mount, but not for the working folder.
    """
    for part in path_and_parents(path):
        kind = EntryKind.FOLDER if part == "/" else _kind_at(part, rootfs)
        if kind is None:
            link = rootfs.tree.find(part, follow=False) if dangling else None
            return None if link is None else (part, link.node.kind)
        if kind is not EntryKind.FOLDER:
            return part, kind
    return None


def _check_hidden(config: PluginConfig, rootfs: Rootfs, places: tuple[_Place, ...]) -> Iterator[Finding]:
    """Yield findings about mounts over the program, its interpreters and its loader."""
    name, found = started(config, rootfs)
    if found is None:
        path = place_of(posixpath.join(config.work_dir, name))
        cover = _cover(path, places) if "/" in name else None
        if cover is not None and cover.is_empty:
            yield table.PROGRAM_HIDDEN(name=name, mount=cover.words)
        elif cover is not None:
            yield table.PROGRAM_FROM_HOST(name=name, mount=cover.words)
        return
    cover = _cover(found.path, places)
    if cover is not None and not cover.is_empty:
        if cover.path == found.path:
            yield table.PROGRAM_FROM_HOST(name=name, mount=cover.words)
        else:
            yield table.PROGRAM_COVERED(name=name, mount=cover.words)
        return
    for called, one in chain(found, rootfs):
        elf = one.node.program.elf if one is not None and one.node.program is not None else None
        loader = rootfs.tree.find(place_of(elf.interpreter)) if elf is not None and elf.interpreter else None
        for needed, shown in ((one, called), (loader, elf.interpreter if elf is not None else None)):
            cover = None if needed is None else _cover(needed.path, places)
            if cover is not None and cover.is_empty:
                yield table.PROGRAM_HIDDEN(mount=cover.words, name=shown or "")
                return


def _cover(path: str, places: tuple[_Place, ...]) -> _Place | None:
    """Return the last mount that hides a path; None if no mount does."""
    return next((place for place in reversed(places) if is_within(path, place.path)), None)
