"""Root filesystem of a plugin, as far as it was read: its files, and the program that an engine starts in it."""

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

#: Folders that engines search for a program without a slash in its name (moby: pkg/system DefaultPathEnv).
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Longest chain of scripts and interpreters that Linux follows for one program (BINPRM_MAX_RECURSION is 4).
_MOST_STARTS: Final = 5
#: Folders of a ``PATH`` that are searched.
_MOST_FOLDERS: Final = 100
_MOST_PATH_CHARACTERS: Final = 4096


@dataclass(frozen=True, slots=True)
class Rootfs:
    """Files of the layers of a plugin, or of a folder.

    Attributes:
        tree: files, folders and links.
        mentioned: searched names that some file contains.
        whiteouts: paths of whiteouts; engines take these names for deletions. This list and the next two are cut after
            a fixed number of paths.
        links_broken: hard links without a target, as ``NAME -> TARGET``.
        too_long: paths that exceed the limits of Linux.
    """

    tree: Tree
    mentioned: frozenset[bytes] = frozenset()
    whiteouts: tuple[str, ...] = ()
    links_broken: tuple[str, ...] = ()
    too_long: tuple[str, ...] = ()

    def platforms(self) -> Counter[Platform]:
        """Count the programs and libraries for each platform."""
        elves = (node.program.elf for _, node in self.tree.walk() if node.program is not None)
        return Counter(elf.platform for elf in elves if elf is not None and elf.platform is not None)


def started(config: PluginConfig, rootfs: Rootfs) -> tuple[str, ResolvedPath | None]:
    """Find the program that an engine starts.

    Returns:
        The name of the program in the config, and the file it leads to; None if no file is there.
    """
    name = next(iter((*config.entrypoint, *config.args.value)), "")
    if "/" in name:
        return name, rootfs.tree.find(posixpath.join("/", config.work_dir, name))
    found = find_in_path(rootfs, name, search_path(config), config.work_dir)
    return name, None if found is None else found[1]


def find_in_path(rootfs: Rootfs, name: str, folders: str, work_dir: str) -> tuple[str, ResolvedPath] | None:
    """Search a program without a slash in its name. Files that are not executable are skipped, as engines do.

    Args:
        rootfs: root filesystem.
        name: name of the program.
        folders: value of ``PATH``.
        work_dir: folder that relative folders begin at.

    Returns:
        The path of the program and its file; None if no folder has the program.
    """
    for folder in folders.split(":")[:_MOST_FOLDERS]:
        path = posixpath.join("/", work_dir, folder, name)
        found = rootfs.tree.find(path) if name else None
        if found is not None and found.node.kind is EntryKind.FILE and found.node.mode & 0o111:
            return path, found
    return None


def chain(found: ResolvedPath, rootfs: Rootfs) -> Iterator[tuple[str, ResolvedPath | None]]:
    """Yield the programs that Linux starts for one program, with the name by which each is started.

    The program itself comes first, then the interpreter of a script. For the interpreter ``/usr/bin/env``, the program
    named in its argument follows, searched in the default ``PATH``. A missing program is yielded as None and ends the
    chain.
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
            # The kernel passes the whole rest of the line as one argument, which only ``-S`` splits.
            words = program.argument.split()
            if not words[0].startswith("-"):
                words = [program.argument.strip(" \t")]
            called = next((word for word in words if not word.startswith("-")), "")
            places = (rootfs.tree.find(f"{folder}/{called}") for folder in _DEFAULT_PATH.split(":"))
            inner = next((place for place in places if place is not None), None)
        if inner is None:
            yield called, None
            return
        at = inner


def search_path(config: PluginConfig) -> str:
    """Return ``PATH`` of the plugin. The plugin's own variables come after the engine's, so the last one wins."""
    # A variable without a value is not passed on.
    own = [env.value for env in config.env if env.name == "PATH" and env.value is not None]
    return own[-1][:_MOST_PATH_CHARACTERS] if own else _DEFAULT_PATH
