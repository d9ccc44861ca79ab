"""Checks of the programs that a plugin starts: its entrypoint, and what wrappers and scripts start. Pure decisions."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mirror.plugin.config.host_path import path_and_parents
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.findings import rootfs_findings as table
from mirror.plugin.findings import script_findings as scripts
from mirror.plugin.findings.finding import Finding
from mirror.plugin.lint.mount_checks import place_of
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.rootfs.root_filesystem import Rootfs, chain, search_path
from mirror.plugin.startup.start_follower import follow_start
from mirror.plugin.startup.started_programs import Certainty, PluginStart, StartedProgram

#: Most libraries whose own needs are followed.
_MOST_LIBRARIES: Final = 500
_LIBRARY_FOLDERS: Final = ("/lib", "/lib64", "/usr/lib", "/usr/local/lib")
#: Libraries that musl's loader takes for itself, whatever their version (musl: ldso/dynlink.c, load_library). With
#: gcompat, musl also loads programs that were linked with glibc.
_IN_MUSL: Final = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.")
#: Architectures of which one kernel runs programs of both.
_TOGETHER: Final = (frozenset(["386", "amd64"]), frozenset(["arm", "arm64"]))


@dataclass(frozen=True, slots=True)
class IntendedPlatform:
    """Platform for which a plugin is intended.

    Attributes:
        platform: the platform.
        why: source of the platform, as in "…, but the tag says linux/arm64".
    """

    platform: Platform
    why: str


def check_start(config: PluginConfig, rootfs: Rootfs, meant: IntendedPlatform | None) -> Iterator[Finding]:
    """Yield findings about the entrypoint, the programs that it starts, and the commands of scripts.

    Args:
        config: configuration of the plugin.
        rootfs: root filesystem of the plugin, read to the end.
        meant: platform for which the plugin is intended; None if unknown.
    """
    mounted = frozenset(place_of(mount.destination) for mount in config.mounts if mount.destination)
    hidden = mounted | ({place_of(config.propagated_mount)} if config.propagated_mount else set())
    start = follow_start(config, rootfs, lambda path: _is_at(hidden, path))
    check = _StartCheck(config, rootfs, start, mounted, meant)
    if start.programs:
        yield from check.entrypoint(start.programs[0])
    # A program may be started several times. The most certain start counts.
    programs = {one.path: one for one in sorted(start.programs[1:], key=lambda one: one.certainty)}
    for program in (one for one in start.programs[1:] if programs.get(one.path) is one):
        if program.certainty is not Certainty.POSSIBLE:
            yield from check.started(program, is_certain=program.certainty is Certainty.CERTAIN)
        elif program.found is not None:
            # A script may have a program for each platform.
            found = [one for one in check.started(program, is_certain=True) if not one.code.startswith("platform")]
            yield from (scripts.CONDITIONAL_FAULT(fault=finding.text) for finding in found)
    for one in start.demanded:
        yield scripts.SETTING_DEMANDED(script=one.script, line=one.line, setting=one.setting)
    for flag in start.swallowed:
        if flag.following:
            yield scripts.FLAG_SWALLOWED(
                script=flag.script,
                line=flag.line,
                flag=flag.flag,
                variable=flag.variable,
                setting=flag.setting,
                following=flag.following,
            )
        else:
            yield scripts.FLAG_WITHOUT_VALUE(
                script=flag.script, line=flag.line, flag=flag.flag, variable=flag.variable, setting=flag.setting
            )


class _StartCheck:
    """Check of the programs of one plugin. Each file is checked once.

    Args:
        config: configuration of the plugin.
        rootfs: root filesystem of the plugin.
        start: programs that the plugin starts.
        mounted: places of the mounts, whose content comes from the host.
        meant: platform for which the plugin is intended; None if unknown.
    """

    def __init__(
        self,
        config: PluginConfig,
        rootfs: Rootfs,
        start: PluginStart,
        mounted: frozenset[str],
        meant: IntendedPlatform | None,
    ) -> None:
        self._config = config
        self._rootfs = rootfs
        self._start = start
        self._mounted = mounted
        self._meant = meant
        self._checked: set[int] = set()
        self._first: tuple[str, Platform] | None = None
        self._nodes_by_name: dict[str, Node] = {}
        self._has_musl = False

    def entrypoint(self, program: StartedProgram) -> Iterator[Finding]:
        """Yield findings about the entrypoint and its chain of interpreters."""
        name, found = program.name, program.found
        if found is None:
            kind = table.PROGRAM_MISSING if "/" in name else table.PROGRAM_NOT_IN_PATH
            yield kind(name=name)
        elif found.node.kind is not EntryKind.FILE:
            yield table.PROGRAM_NOT_A_FILE(name=name, file_kind=found.node.kind.word)
        elif not found.node.mode & 0o111:
            yield table.PROGRAM_NOT_EXECUTABLE(name=name)
        else:
            yield from self._chain(name, program, is_certain=True)

    def started(self, program: StartedProgram, *, is_certain: bool) -> Iterator[Finding]:
        """Yield findings about a program that a wrapper or script starts.

        Args:
            program: the program.
            is_certain: True if nothing of the plugin runs without the program.
        """
        name = f"{program.name} (started by {program.by}{f', line {program.line}' if program.line else ''})"
        found, written = program.found, self._start.written
        places = [program.path] if found is None else [program.path, found.path]
        if "/" not in program.path:
            places = [posixpath.join("/", folder, program.path) for folder in search_path(self._config).split(":")]
        if written.may_hold(*places):
            return
        if found is None:
            kind = scripts.STARTED_MISSING if is_certain else scripts.MISSING_GUESSED
            yield kind(name=name)
        elif program.is_read:
            return  # a shell reads the file itself
        elif found.node.kind is not EntryKind.FILE or not found.node.mode & 0o111:
            if not written.may_change_mode(program.path, found.path):
                kind = scripts.STARTED_NOT_EXECUTABLE if is_certain else scripts.NOT_EXECUTABLE_GUESSED
                yield kind(name=name)
        else:
            yield from self._chain(name, program, is_certain=is_certain)

    def _chain(self, name: str, program: StartedProgram, *, is_certain: bool) -> Iterator[Finding]:
        """Yield findings about a program and its chain of interpreters."""
        if program.found is None or id(program.found.node) in self._checked:
            return
        before = name
        for called, one in chain(program.found, self._rootfs):
            if one is None:
                if not _is_at(self._mounted, called) and not self._start.written.may_hold(called):
                    yield self._interpreter_missing(before, called, is_certain=is_certain)
                return
            shown = called if before is not name or not program.by else name
            if id(one.node) not in self._checked:
                self._checked.add(id(one.node))
                yield from self._program(shown, one.node, program, is_certain=is_certain)
            before = shown

    def _interpreter_missing(self, name: str, interpreter: str, *, is_certain: bool) -> Finding:
        if interpreter.endswith("\r"):
            kind = table.INTERPRETER_CRLF if is_certain else scripts.INTERPRETER_CRLF_GUESSED
            return kind(name=name, interpreter=interpreter)
        kind = table.INTERPRETER_MISSING if is_certain else scripts.INTERPRETER_GUESSED
        return kind(name=name, interpreter=interpreter)

    def _program(self, name: str, node: Node, program: StartedProgram, *, is_certain: bool) -> Iterator[Finding]:
        """Yield findings about one program of a chain."""
        elf = node.program.elf if node.program is not None else None
        if elf is None:
            # A shell runs a file in an unknown format as a script of its own language.
            if not program.by and (node.program is None or not node.program.interpreter):
                yield table.NO_PROGRAM(name=name)
            return
        yield from self._platform(name, elf.platform, program, is_certain=is_certain)
        if elf.interpreter is None:
            return
        written = self._start.written
        if self._rootfs.tree.find(posixpath.join("/", elf.interpreter)) is None:
            if not _is_at(self._mounted, elf.interpreter) and not written.may_hold(elf.interpreter):
                kind = table.LOADER_MISSING if is_certain else scripts.LOADER_GUESSED
                yield kind(name=name, loader=elf.interpreter)
        # Libraries below a mount are those of the host, which are unknown here. A script may create libraries too.
        elif not any(_is_at(self._mounted, folder) or written.may_be_below(folder) for folder in _LIBRARY_FOLDERS):
            missing = self._missing_libraries(node)
            if missing:
                kind = table.LIBRARIES_MISSING if is_certain else scripts.LIBRARIES_GUESSED
                yield kind(name=name, libraries=missing)

    def _platform(
        self, name: str, platform: Platform | None, program: StartedProgram, *, is_certain: bool
    ) -> Iterator[Finding]:
        """Yield findings about the platform of a program, compared with the intended one or the entrypoint's."""
        first = self._first
        if platform is None:
            if is_certain:
                yield table.PLATFORM_UNKNOWN(name=name)
            return
        self._first = first or (name, platform)
        meant = self._meant
        if meant is None:
            if first is not None and program.by and not _run_together(platform, first[1]):
                yield scripts.PLATFORMS_MIXED(name=name, platform=platform, entrypoint=first[0], other=first[1])
        elif platform.covers(meant.platform):
            return
        elif program.by:
            kind = scripts.STARTED_PLATFORM if is_certain else scripts.PLATFORM_GUESSED
            yield kind(name=name, platform=platform, wanted=meant.platform, why=meant.why)
        else:
            yield table.PLATFORM_WRONG(name=name, platform=platform, wanted=meant.platform, why=meant.why)

    def _missing_libraries(self, program: Node) -> list[str]:
        """List the libraries that a program or its libraries need, and that no folder holds.

        A library counts as found in any folder. The searched folders depend on the loader and on files in ``/etc``, and
        a wrong report would be worse than a missed one (ADR 14).
        """
        if not self._nodes_by_name:
            self._nodes_by_name = {path.rpartition("/")[2]: node for path, node in self._rootfs.tree.walk()}
            self._has_musl = any(name.startswith("ld-musl-") for name in self._nodes_by_name)
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
                if base in self._nodes_by_name:
                    waiting.append(self._nodes_by_name[base])
                elif not (self._has_musl and _IN_MUSL.match(base)):
                    missing.append(base)
        return sorted(missing)


def _is_at(places: frozenset[str], path: str) -> bool:
    """Return True if one of these mounts hides a path of the root filesystem."""
    return not places.isdisjoint(path_and_parents(place_of(path)))


def _run_together(one: Platform, other: Platform) -> bool:
    """Return True if one kernel runs programs for both platforms."""
    return one.os == other.os and (
        one.architecture == other.architecture
        or any({one.architecture, other.architecture} <= family for family in _TOGETHER)
    )
