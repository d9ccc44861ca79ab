"""Checks of a plugin's root filesystem for faults that prevent enabling the plugin. Pure decisions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Final

from mirror.plugin.config.dropped_mounts import with_made_mounts
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.findings import rootfs_findings as table
from mirror.plugin.findings.finding import Finding
from mirror.plugin.lint.rootfs_mount_checks import check_rootfs_mounts
from mirror.plugin.lint.start_checks import IntendedPlatform, check_start
from mirror.plugin.rootfs.root_filesystem import Rootfs

#: Shortest name that is searched. Shorter names occur in any program by chance.
_LEAST_STEM_BYTES: Final = 4


def names_to_find(config: PluginConfig) -> tuple[bytes, ...]:
    """Return the names to search in files: the socket's name, and the name without ``.sock``, which libraries add."""
    socket = config.interface.socket.encode()
    stem = socket.removesuffix(b".sock")
    return (socket, stem) if len(stem) >= _LEAST_STEM_BYTES else (socket,)


def check_rootfs(config: PluginConfig, rootfs: Rootfs, meant: IntendedPlatform | None = None) -> Iterator[Finding]:
    """Yield all findings about a root filesystem.

    Args:
        config: configuration of the plugin.
        rootfs: root filesystem of the plugin.
        meant: platform for which the plugin is intended; None if unknown.
    """
    if rootfs.whiteouts:
        yield table.WHITEOUTS(names=rootfs.whiteouts)
    if rootfs.links_broken:
        yield table.HARD_LINKS_BROKEN(names=rootfs.links_broken)
    if rootfs.too_long:
        yield table.NAMES_LONG(names=rootfs.too_long)
    # In an incomplete tree any file may seem to be missing.
    if not rootfs.tree.whole:
        yield table.ROOTFS_NOT_READ()
        return
    config = with_made_mounts(config)
    if config.entrypoint or config.args.value:
        yield from check_start(config, rootfs, meant)
    yield from check_rootfs_mounts(config, rootfs)
    if not _mentions_socket(config, rootfs):
        yield table.SOCKET_UNMENTIONED(socket=config.interface.socket)
    if config.propagated_mount and rootfs.tree.find(posixpath.join("/", config.propagated_mount)) is None:
        yield table.PROPAGATED_MOUNT_MISSING(path=config.propagated_mount)


def _mentions_socket(config: PluginConfig, rootfs: Rootfs) -> bool:
    """Return True if a file, or a text of the config, mentions the socket."""
    socket = config.interface.socket
    said = [*config.entrypoint, *config.args.value, *(env.value or "" for env in config.env)]
    return not socket or bool(rootfs.mentioned) or any(socket in text for text in said)
