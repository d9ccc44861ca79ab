"""A folder for ``docker plugin create``, ``config.json`` and ``rootfs/``, read as if it were a plugin."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mirror.oci.errors import ConfigurationFault, ContentTooLarge, ManifestInvalid
from mirror.plugin.config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.entry import Entry, EntryKind
from mirror.plugin.findings import Finding
from mirror.plugin.lint.manifest_findings import CONFIG_UNREADABLE, FILES_MISSING
from mirror.plugin.lint.rootfs_findings import ROOTFS_MISSING
from mirror.plugin.rootfs_checks import names_to_find
from mirror.plugin.rootfs_reader import RootfsReader
from mirror.plugin.view import PluginContent

_PIECE_BYTES: Final = 1024 * 1024
_KINDS: Final = {
    stat.S_IFREG: EntryKind.FILE,
    stat.S_IFDIR: EntryKind.FOLDER,
    stat.S_IFLNK: EntryKind.LINK,
    stat.S_IFCHR: EntryKind.DEVICE,
    stat.S_IFBLK: EntryKind.DEVICE,
    stat.S_IFIFO: EntryKind.PIPE,
}


async def read_folder(path: Path, *, digests: bool = False) -> PluginContent:
    """Read such a folder, or a ``config.json`` alone.

    Args:
        path: the folder, or the file.
        digests: whether each file is hashed, so that it can be compared.

    Raises:
        ConfigurationFault: it is no such folder, or cannot be read.

    Cancelled, reading ends with the file that is being read.
    """
    stopping = threading.Event()
    try:
        return await asyncio.to_thread(_read, path, digests, stopping)
    except OSError as error:
        raise ConfigurationFault(f"{error.filename or path} cannot be read: {error.strerror}") from error
    finally:
        stopping.set()


def _read(path: Path, digests: bool, stopping: threading.Event) -> PluginContent:  # noqa: FBT001 - one caller
    folder = path.is_dir()
    file = path / "config.json" if folder else path
    if not file.is_file():
        raise ConfigurationFault(
            f"{path} is no plugin's folder: 'docker plugin create' takes one with config.json and rootfs/ in it"
        )
    with file.open("rb") as stream:
        content = stream.read(MAX_CONFIG_BYTES + 1)
    findings: list[Finding] = []
    config = None
    try:
        config = PluginConfig.parse(content)
    except (ManifestInvalid, ContentTooLarge) as error:
        findings.append(CONFIG_UNREADABLE(reason=error.message))
    if not folder:
        return PluginContent(config, None, tuple(findings))
    rootfs = path / "rootfs"
    if not rootfs.is_dir():
        return PluginContent(config, None, (*findings, ROOTFS_MISSING()))
    watcher = RootfsReader(() if config is None else names_to_find(config), digests=digests)
    for entry, place in _entries(rootfs):
        if stopping.is_set() or not watcher.grows:
            break
        _pass(entry, place, watcher)
    read = watcher.finish()
    if not read.tree.root.children:
        findings.append(FILES_MISSING())
    return PluginContent(config, read, tuple(findings))


def _entries(rootfs: Path) -> Iterator[tuple[Entry, Path]]:
    """Everything below a folder, as it is there; no link is followed."""
    waiting = [rootfs]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            inside = sorted(found, key=lambda one: one.name)
        for one in inside:
            status = one.stat(follow_symlinks=False)
            kind = _KINDS.get(stat.S_IFMT(status.st_mode))
            if kind is None:
                continue  # a socket: no engine takes it along
            place = Path(one.path)
            size_bytes = status.st_size if kind is EntryKind.FILE else 0
            target = str(place.readlink()) if kind is EntryKind.LINK else ""
            relative = place.relative_to(rootfs).as_posix()
            yield Entry(relative, kind, stat.S_IMODE(status.st_mode), size_bytes, target), place
            if kind is EntryKind.FOLDER:
                waiting.append(place)


def _pass(entry: Entry, place: Path, watcher: RootfsReader) -> None:
    watcher.begin(entry)
    if entry.kind is EntryKind.FILE:
        with place.open("rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                watcher.content(piece, 0, len(piece))
    watcher.end()
