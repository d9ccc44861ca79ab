"""What a plugin's root filesystem tells of whether it can be enabled: pure decisions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mirror.plugin import known_rootfs_findings as known
from mirror.plugin.config import PluginConfig
from mirror.plugin.config_checks import covering_mount
from mirror.plugin.findings import Finding
from mirror.plugin.platform import Platform
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.root_filesystem import Rootfs, chain, started

#: Libraries that are followed from one to the next.
_MOST_LIBRARIES: Final = 500
#: Shorter names stand in any program by chance.
_LEAST_STEM_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Meant:
    """The platform that a plugin is meant for.

    Attributes:
        platform: which.
        why: what says so, as in "…, and the tag says linux/arm64".
    """

    platform: Platform
    why: str


def names_to_find(config: PluginConfig) -> tuple[bytes, ...]:
    """What to look for in files: the socket's name, and that without ``.sock``, which libraries for plugins add."""
    socket = config.interface.socket.encode()
    stem = socket.removesuffix(b".sock")
    return (socket, stem) if len(stem) >= _LEAST_STEM_BYTES else (socket,)


def of_rootfs(config: PluginConfig, rootfs: Rootfs, meant: Meant | None = None) -> Iterator[Finding]:
    """Everything that is wrong with a root filesystem.

    Args:
        config: the plugin's.
        rootfs: what is in it.
        meant: the platform that it is meant for, where something says so.
    """
    if rootfs.whiteouts:
        yield known.whiteouts(rootfs.whiteouts)
    if rootfs.links_broken:
        yield known.links_broken(rootfs.links_broken)
    if rootfs.too_long:
        yield known.names_long(rootfs.too_long)
    if not rootfs.tree.whole:
        yield known.too_much()
        return
    if config.entrypoint or config.args.value:
        yield from _of_program(config, rootfs, meant)
    if not _mentions_socket(config, rootfs):
        yield known.socket_unmentioned(config.interface.socket)
    if config.propagated_mount and rootfs.tree.find(posixpath.join("/", config.propagated_mount)) is None:
        yield known.propagated_missing(config.propagated_mount)


def _of_program(config: PluginConfig, rootfs: Rootfs, meant: Meant | None) -> Iterator[Finding]:
    name, found = started(config, rootfs)
    if covering_mount(config, posixpath.normpath(posixpath.join("/", config.work_dir, name))) is not None:
        return  # it comes from the host
    if found is None:
        yield known.program_missing(name)
        return
    if found.node.kind is not EntryKind.FILE:
        yield known.program_not_executable(name, f"no file but a {found.node.kind.word}")
        return
    if not found.node.mode & 0o111:
        yield known.program_not_executable(name, "not executable")
        return
    before = name
    for called, one in chain(found, rootfs):
        if one is None:
            if covering_mount(config, called) is None:
                yield known.interpreter_missing(before, called)
            return
        yield from _of_one(config, rootfs, called, one.node, meant)
        before = called


def _of_one(config: PluginConfig, rootfs: Rootfs, name: str, node: Node, meant: Meant | None) -> Iterator[Finding]:
    """One program of those that are started for one another."""
    program = node.program
    if program is None or (program.elf is None and not program.interpreter):
        yield known.no_program(name)
        return
    elf = program.elf
    if elf is None:
        return
    if elf.platform is None:
        yield known.platform_unknown(name)
    elif meant is not None and not elf.platform.covers(meant.platform):
        yield known.platform_wrong(name, elf.platform, meant.platform, meant.why)
    if elf.interpreter is None:
        return
    if rootfs.tree.find(posixpath.join("/", elf.interpreter)) is None:
        if covering_mount(config, elf.interpreter) is None:
            yield known.loader_missing(name, elf.interpreter)
    elif not any(covering_mount(config, folder) for folder in ("/lib", "/lib64", "/usr/lib", "/usr/local/lib")):
        missing = _missing_libraries(rootfs, node)
        if missing:
            yield known.libraries_missing(name, missing)


def _missing_libraries(rootfs: Rootfs, program: Node) -> list[str]:
    """Libraries that a program needs, or one of its libraries does, and that are nowhere.

    Wherever it lies, a library counts as found: which folders are looked into is for the loader to say, and for files
    in ``/etc`` that it reads.
    """
    here = {path.rpartition("/")[2]: node for path, node in rootfs.tree.walk()}
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
            if base in here:
                waiting.append(here[base])
            else:
                missing.append(base)
    return sorted(missing)


def _mentions_socket(config: PluginConfig, rootfs: Rootfs) -> bool:
    """Whether a file or the config's own words speak of the socket."""
    socket = config.interface.socket
    said = [*config.entrypoint, *config.args.value, *(env.value or "" for env in config.env)]
    return not socket or bool(rootfs.mentioned) or any(socket in text for text in said)
