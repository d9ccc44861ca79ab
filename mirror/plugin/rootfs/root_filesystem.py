"""A plugin's root filesystem, as far as it was read: what is in it, and which program an engine would start in it."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.entry import EntryKind
from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.rootfs.tree import ResolvedPath, Tree

#: Where engines look for a program without a slash in its name (moby: pkg/system DefaultPathEnv).
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Programs that Linux starts for one another: a script for a script for … (BINPRM_MAX_RECURSION is 4).
_MOST_STARTS: Final = 5
#: Folders of a ``PATH`` that are looked into.
_MOST_FOLDERS: Final = 100


@dataclass(frozen=True, slots=True)
class Rootfs:
    """The files of layers or a folder.

    Attributes:
        tree: files, folders and links; of the notes below, there are some of each kind at most.
        mentioned: which of the names that were looked for stand in a file.
        whiteouts: names that engines take for a deletion.
        links_broken: hard links to what is not there, as ``NAME -> TARGET``.
        too_long: names that Linux does not take.
    """

    tree: Tree
    mentioned: frozenset[bytes] = frozenset()
    whiteouts: tuple[str, ...] = ()
    links_broken: tuple[str, ...] = ()
    too_long: tuple[str, ...] = ()

    def platforms(self) -> Counter[Platform]:
        """For how many programs and libraries each platform is meant."""
        elves = (node.program.elf for _, node in self.tree.walk() if node.program is not None)
        return Counter(elf.platform for elf in elves if elf is not None and elf.platform is not None)


def started(config: PluginConfig, rootfs: Rootfs) -> tuple[str, ResolvedPath | None]:
    """The program that an engine starts.

    Returns:
        What the config calls it, and where that leads; None where nothing is there. A name without a slash is looked
        for in ``PATH``, as engines do it: what cannot be started is passed over.
    """
    name = next(iter((*config.entrypoint, *config.args.value)), "")
    if "/" in name:
        return name, rootfs.tree.find(posixpath.join("/", config.work_dir, name))
    for folder in _path_of(config).split(":")[:_MOST_FOLDERS]:
        found = rootfs.tree.find(posixpath.join("/", config.work_dir, folder, name)) if name else None
        if found is not None and found.node.kind is EntryKind.FILE and found.node.mode & 0o111:
            return name, found
    return name, None


def chain(found: ResolvedPath, rootfs: Rootfs) -> Iterator[tuple[str, ResolvedPath | None]]:
    """The programs that Linux starts for one, each as it is called: itself, and for scripts what comes after ``#!``.

    What ``/usr/bin/env`` looks for comes after it, in the default ``PATH``.
    """
    called, at = found.path, found
    for _ in range(_MOST_STARTS):
        yield called, at
        program = at.node.program
        if program is None or not program.interpreter:
            return
        called = program.interpreter
        inner = rootfs.tree.find(posixpath.join("/", called))
        if inner is not None and posixpath.basename(called) == "env" and program.argument:
            yield called, inner
            called = next((word for word in program.argument.split() if not word.startswith("-")), "")
            places = (rootfs.tree.find(f"{folder}/{called}") for folder in _DEFAULT_PATH.split(":"))
            inner = next((place for place in places if place is not None), None)
        if inner is None:
            yield called, None
            return
        at = inner


def _path_of(config: PluginConfig) -> str:
    """``PATH`` of the plugin: variables of its own come after the engine's, and win."""
    own = [env.value for env in config.env if env.name == "PATH" and env.value is not None]
    return own[-1] if own else _DEFAULT_PATH


def platform_of(config: PluginConfig, rootfs: Rootfs) -> Platform | None:
    """Tell the platform of a plugin: as the program says that is started, else as most of its programs say."""
    _, found = started(config, rootfs)
    if found is not None:
        for _, one in chain(found, rootfs):
            program = one.node.program if one is not None else None
            if program is not None and program.elf is not None:
                return program.elf.platform
    most = rootfs.platforms().most_common(1)
    return most[0][0] if most else None
