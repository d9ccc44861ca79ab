"""Values that describe the start of a plugin: the programs that run, and how certain that is."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from enum import IntEnum

from mirror.plugin.rootfs.tree import ResolvedPath
from mirror.plugin.startup.known_commands import TOOLS
from mirror.plugin.startup.swallowed_flags import SwallowedFlag
from mirror.plugin.startup.wrapper_programs import is_wrapper
from mirror.plugin.startup.written_paths import WrittenPaths


class Certainty(IntEnum):
    """Certainty that a program is started, and that the plugin cannot work without it."""

    #: A script tests something first, or reacts to a failure of the program.
    POSSIBLE = 0
    #: A script starts the program, but an earlier program may prevent that, or the plugin may work without it.
    LIKELY = 1
    #: Nothing of the plugin runs without the program.
    CERTAIN = 2


@dataclass(frozen=True, slots=True)
class StartedProgram:
    """One program that a plugin starts.

    Attributes:
        name: name by which it is started.
        path: absolute path that the name means; the name itself if no folder of ``PATH`` has it.
        found: the file; None if no file is there.
        by: the wrapper or script that starts it; empty for the entrypoint.
        line: line in the script; 0 if a wrapper starts the program.
        certainty: certainty of the start.
        is_read: True if a shell reads the file as a script, which needs no permission to execute it.
    """

    name: str
    path: str
    found: ResolvedPath | None
    by: str
    line: int
    certainty: Certainty
    is_read: bool = False

    @property
    def is_tool(self) -> bool:
        """True for programs of the system, and for wrappers."""
        return posixpath.basename(self.name) in TOOLS or is_wrapper(self.name)


@dataclass(frozen=True, slots=True)
class DemandedSetting:
    """A setting that is empty by default, and without which a script ends.

    Attributes:
        script: name of the script.
        line: line that demands the setting.
        setting: the setting.
    """

    script: str
    line: int
    setting: str


@dataclass(frozen=True, slots=True)
class PluginStart:
    """Everything that is known about the start of a plugin.

    Attributes:
        programs: programs, the entrypoint first.
        swallowed: flags of commands that take the next word for their value.
        demanded: settings that a script demands.
        written: places that scripts write to.
    """

    programs: tuple[StartedProgram, ...]
    swallowed: tuple[SwallowedFlag, ...]
    demanded: tuple[DemandedSetting, ...]
    written: WrittenPaths


def script_of(found: ResolvedPath | None) -> str | None:
    """Return the text of a shell script; None for another file."""
    return found.node.program.script_text if found is not None and found.node.program is not None else None
