"""Checks of a plugin's root filesystem for faults that prevent enabling the plugin. Pure decisions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.findings import rootfs_findings as table
from mirror.plugin.findings.finding import Finding
from mirror.plugin.lint.config_checks import covering_mount
from mirror.plugin.lint.rootfs_mount_checks import check_rootfs_mounts
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.rootfs.root_filesystem import Rootfs, chain, started

#: Most libraries whose own needs are followed.
_MOST_LIBRARIES: Final = 500
#: Shortest name that is searched. Shorter names occur in any program by chance.
_LEAST_STEM_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class IntendedPlatform:
    """Platform for which a plugin is intended.

    Attributes:
        platform: the platform.
        why: source of the platform, as in "…, but the tag says linux/arm64".
    """

    platform: Platform
    why: str


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
    if config.entrypoint or config.args.value:
        yield from _check_start(config, rootfs, meant)
    yield from check_rootfs_mounts(config, rootfs)
    if not _mentions_socket(config, rootfs):
        yield table.SOCKET_UNMENTIONED(socket=config.interface.socket)
    if config.propagated_mount and rootfs.tree.find(posixpath.join("/", config.propagated_mount)) is None:
        yield table.PROPAGATED_MOUNT_MISSING(path=config.propagated_mount)


def _check_start(config: PluginConfig, rootfs: Rootfs, meant: IntendedPlatform | None) -> Iterator[Finding]:
    """Yield findings about the started program and its chain of interpreters."""
    name, found = started(config, rootfs)
    if covering_mount(config, posixpath.normpath(posixpath.join("/", config.work_dir, name))) is not None:
        return  # the program comes from the host
    if found is None:
        kind = table.PROGRAM_MISSING if "/" in name else table.PROGRAM_NOT_IN_PATH
        yield kind(name=name)
        return
    if found.node.kind is not EntryKind.FILE:
        yield table.PROGRAM_NOT_A_FILE(name=name, file_kind=found.node.kind.word)
        return
    if not found.node.mode & 0o111:
        yield table.PROGRAM_NOT_EXECUTABLE(name=name)
        return
    before = name
    for called, one in chain(found, rootfs):
        if one is None:
            if covering_mount(config, called) is None:
                kind = table.INTERPRETER_CRLF if called.endswith("\r") else table.INTERPRETER_MISSING
                yield kind(name=before, interpreter=called)
            return
        yield from _check_program(config, rootfs, called, one.node, meant)
        before = called


def _check_program(
    config: PluginConfig, rootfs: Rootfs, name: str, node: Node, meant: IntendedPlatform | None
) -> Iterator[Finding]:
    """Yield findings about one program of the chain."""
    program = node.program
    if program is None or (program.elf is None and not program.interpreter):
        yield table.NO_PROGRAM(name=name)
        return
    elf = program.elf
    if elf is None:
        return
    if elf.platform is None:
        yield table.PLATFORM_UNKNOWN(name=name)
    elif meant is not None and not elf.platform.covers(meant.platform):
        yield table.PLATFORM_WRONG(name=name, platform=elf.platform, wanted=meant.platform, why=meant.why)
    if elf.interpreter is None:
        return
    if rootfs.tree.find(posixpath.join("/", elf.interpreter)) is None:
        if covering_mount(config, elf.interpreter) is None:
            yield table.LOADER_MISSING(name=name, loader=elf.interpreter)
    # Libraries below a mount are those of the host, which are unknown here.
    elif not any(covering_mount(config, folder) for folder in ("/lib", "/lib64", "/usr/lib", "/usr/local/lib")):
        missing = _missing_libraries(rootfs, node)
        if missing:
            yield table.LIBRARIES_MISSING(name=name, libraries=missing)


def _missing_libraries(rootfs: Rootfs, program: Node) -> list[str]:
    """List the libraries that a program or its libraries need, and that no folder holds.

    A library counts as found in any folder. The searched folders depend on the loader and on files in ``/etc``, and a
    wrong report would be worse than a missed one (ADR 14).
    """
    nodes_by_name = {path.rpartition("/")[2]: node for path, node in rootfs.tree.walk()}
    missing: list[str] = []
    seen: set[str] = set()
    waiting = [program]
    while waiting and len(seen) < _MOST_LIBRARIES:
        node = waiting.pop()
        elf = node.program.elf if node.program is not None else None
        for name in (elf.needed if elf is not None else None) or ():
            base = posixpath.basename(name)
            if base in seen:
                continue
            seen.add(base)
            if base in nodes_by_name:
                waiting.append(nodes_by_name[base])
            else:
                missing.append(base)
    return sorted(missing)


def _mentions_socket(config: PluginConfig, rootfs: Rootfs) -> bool:
    """Return True if a file, or a text of the config, mentions the socket."""
    socket = config.interface.socket
    said = [*config.entrypoint, *config.args.value, *(env.value or "" for env in config.env)]
    return not socket or bool(rootfs.mentioned) or any(socket in text for text in said)
