"""Checks of a plugin's root filesystem: why the plugin cannot be enabled. Pure decisions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.lint import rootfs_findings as table
from mirror.plugin.lint.config_checks import covering_mount
from mirror.plugin.lint.findings import Finding
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.rootfs.root_filesystem import Rootfs, chain, started

#: Libraries that are followed from one to the next.
_MOST_LIBRARIES: Final = 500
#: Shorter names stand in any program by chance.
_LEAST_STEM_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class IntendedPlatform:
    """The platform that a plugin is meant for.

    Attributes:
        platform: which.
        why: what says so, as in "…, and the tag says linux/arm64".
    """

    platform: Platform
    why: str


def names_to_find(config: PluginConfig) -> tuple[bytes, ...]:
    """List the texts to look for in files: the socket's name, and that without ``.sock``, which libraries add."""
    socket = config.interface.socket.encode()
    stem = socket.removesuffix(b".sock")
    return (socket, stem) if len(stem) >= _LEAST_STEM_BYTES else (socket,)


def check_rootfs(config: PluginConfig, rootfs: Rootfs, meant: IntendedPlatform | None = None) -> Iterator[Finding]:
    """Yield everything that is wrong with a root filesystem.

    Args:
        config: the plugin's.
        rootfs: what is in it.
        meant: the platform that it is meant for, where something says so.
    """
    if rootfs.whiteouts:
        yield table.WHITEOUTS(names=rootfs.whiteouts)
    if rootfs.links_broken:
        yield table.HARD_LINKS_BROKEN(names=rootfs.links_broken)
    if rootfs.too_long:
        yield table.NAMES_LONG(names=rootfs.too_long)
    if not rootfs.tree.whole:
        yield table.ROOTFS_NOT_READ()
        return
    if config.entrypoint or config.args.value:
        yield from _check_start(config, rootfs, meant)
    if not _mentions_socket(config, rootfs):
        yield table.SOCKET_UNMENTIONED(socket=config.interface.socket)
    if config.propagated_mount and rootfs.tree.find(posixpath.join("/", config.propagated_mount)) is None:
        yield table.PROPAGATED_MOUNT_MISSING(path=config.propagated_mount)


def _check_start(config: PluginConfig, rootfs: Rootfs, meant: IntendedPlatform | None) -> Iterator[Finding]:
    name, found = started(config, rootfs)
    if covering_mount(config, posixpath.normpath(posixpath.join("/", config.work_dir, name))) is not None:
        return  # it comes from the host
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
    """Check one program of those that are started for one another."""
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
    elif not any(covering_mount(config, folder) for folder in ("/lib", "/lib64", "/usr/lib", "/usr/local/lib")):
        missing = _missing_libraries(rootfs, node)
        if missing:
            yield table.LIBRARIES_MISSING(name=name, libraries=missing)


def _missing_libraries(rootfs: Rootfs, program: Node) -> list[str]:
    """List the libraries that a program needs, or one of its libraries does, and that are nowhere.

    Wherever it lies, a library counts as found: which folders are looked into is for the loader to say, and for files
    in ``/etc`` that it reads.
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
    """Tell whether a file or the config's own words mention the socket."""
    socket = config.interface.socket
    said = [*config.entrypoint, *config.args.value, *(env.value or "" for env in config.env)]
    return not socket or bool(rootfs.mentioned) or any(socket in text for text in said)
