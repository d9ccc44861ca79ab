"""Following of a plugin's entrypoint through wrappers and shell scripts to the programs that run (ADR 30).

A script is read and never run. Scripts, their characters, their commands and the parts of words are limited in number.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from itertools import dropwhile
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.root_filesystem import Rootfs, chain, find_in_path, search_path
from mirror.plugin.rootfs.tree import ResolvedPath
from mirror.plugin.startup.known_commands import BUILTINS, TOOLS
from mirror.plugin.startup.shell_commands import ShellCommand, joined
from mirror.plugin.startup.shell_parser import read_commands
from mirror.plugin.startup.shell_state import ShellState
from mirror.plugin.startup.shell_variables import KnownValue, ShellVariables, is_assignment
from mirror.plugin.startup.shell_words import ShellWord
from mirror.plugin.startup.started_programs import Certainty, DemandedSetting, PluginStart, StartedProgram, script_of
from mirror.plugin.startup.swallowed_flags import SwallowedFlag, swallowed_flags
from mirror.plugin.startup.wrapper_programs import Arguments, WrappedStart, is_wrapper, unwrap
from mirror.plugin.startup.written_paths import WrittenPaths

_MOST_SCRIPTS: Final = 20
_MOST_CHARACTERS: Final = 256 * 1024
_MOST_COMMANDS: Final = 2_000
_MOST_PIECES: Final = 40_000
#: Deepest nesting of scripts, wrappers and calls of functions.
_MOST_DEPTH: Final = 12
#: Folders in which s6-overlay looks for services.
_SERVICES: Final = ("/etc/services.d", "/etc/s6-overlay/s6-rc.d")
#: Folders that are empty in a root filesystem and filled later.
_AT_RUN_TIME: Final = ("/dev/", "/proc/", "/run/", "/sys/", "/tmp/", "/var/run/")  # noqa: S108 - in the plugin
_SUPERVISORS: Final = frozenset(["init", "s6-svscan"])

Guards = frozenset[str] | None


def follow_start(
    config: PluginConfig, rootfs: Rootfs, is_hidden: Callable[[str], bool] = lambda _: False
) -> PluginStart:
    """Return the programs that a plugin starts.

    Args:
        config: configuration of the plugin.
        rootfs: root filesystem of the plugin.
        is_hidden: returns True for paths whose content comes from the host. Programs there are not followed.
    """
    follower = _Follower(config, rootfs, is_hidden)
    follower.follow_entrypoint()
    swallowed, demanded = dict.fromkeys(follower.swallowed), dict.fromkeys(follower.demanded)
    return PluginStart(tuple(dict.fromkeys(follower.programs)), tuple(swallowed), tuple(demanded), follower.written)


class _Follower:
    """The programs found so far, and what is left of the limits."""

    def __init__(self, config: PluginConfig, rootfs: Rootfs, is_hidden: Callable[[str], bool]) -> None:
        self.programs: list[StartedProgram] = []
        self.swallowed: list[SwallowedFlag] = []
        self.demanded: list[DemandedSetting] = []
        self.written = WrittenPaths()
        self._config = config
        self._rootfs = rootfs
        self._is_hidden = is_hidden
        self._scripts, self._commands, self._pieces = _MOST_SCRIPTS, _MOST_COMMANDS, _MOST_PIECES
        self._characters, self._depth = _MOST_CHARACTERS, 0

    def follow_entrypoint(self) -> None:
        """Follow the arguments of the config."""
        values: dict[str, KnownValue | None] = {
            env.name: KnownValue(env.value or "", env.name) for env in self._config.env
        }
        variables = ShellVariables(values | {"PATH": KnownValue(search_path(self._config))})
        state = ShellState("", variables, posixpath.join("/", self._config.work_dir), Certainty.CERTAIN)
        self._start((*self._config.entrypoint, *self._config.args.value), state, "", 0, Certainty.CERTAIN)

    def _start(self, arguments: Arguments, state: ShellState, by: str, line: int, certainty: Certainty) -> None:
        """Record a program, and follow what it starts.

        Args:
            arguments: name and arguments of the program.
            state: state of the shell that starts it.
            by: name of the script or wrapper that starts it.
            line: line in the script; 0 if there is no script.
            certainty: certainty of the start.
        """
        name = arguments[0] if arguments else None
        if not name or self._depth >= _MOST_DEPTH:
            return
        is_builtin = bool(by) and name in BUILTINS
        path, found = (name, None) if is_builtin else self._find(name, state)
        self.written.note_command(arguments, state.folder)
        if path is None or self._hides(path, found, is_started=bool(by)):
            return
        # Busybox may have a missing tool built in, and the plugin may work without it unless the script ends there.
        is_tool = bool(by) and found is None and name in TOOLS
        is_needed = certainty is Certainty.CERTAIN and self._rootfs.tree.find("/bin/busybox") is None
        if not is_builtin and (not is_tool or is_needed):
            recorded = Certainty.LIKELY if is_tool else certainty
            self.programs.append(StartedProgram(name, path, found, by, line, recorded))
        if not by and found is None:
            return
        self._depth += 1
        inner = unwrap(arguments)
        if inner is not None and inner.text is not None:
            title = by if line else f"{name} -c"
            self._run(inner.text, state.child(title, inner.parameters, certainty), max(line, 1))
        elif inner is not None and inner.file is not None:
            self._read(inner, state, by or name, line, certainty)
        elif inner is not None:
            inherited = state.with_path(arguments[: -len(inner.arguments)])
            self._start(inner.arguments, inherited, by or name, line, certainty)
        elif (text := script_of(found)) is not None and self._is_startable(found, by):
            self._run(text, state.child(path, arguments[1:], certainty))
        if posixpath.basename(name) in _SUPERVISORS:
            self._follow_services(state, name, arguments[1:])
        self._depth -= 1

    def _find(self, name: str, state: ShellState) -> tuple[str | None, ResolvedPath | None]:
        """Return the path of a program and its file. The path is None if it is unknown, the file if it is missing."""
        if "/" in name:
            path = state.path_of(name)
            return path, None if path is None else self._rootfs.tree.find(path)
        folders = state.variables.values.get("PATH")
        if folders is None or state.folder is None:
            return None, None
        return find_in_path(self._rootfs, name, folders.text, state.folder) or (name, None)

    def _hides(self, path: str, found: ResolvedPath | None, *, is_started: bool = True) -> bool:
        """Return True if the host or the engine provides the file at a path, or the target of a link there."""
        hidden = [path] if found is None else [path, found.path]
        at = self._rootfs.tree.find(path, follow=False) if found is None and path.startswith("/") else None
        if at is not None:
            hidden.append(posixpath.join(at.path, "..", at.node.target))
        # A script may have filled these folders before. The engine finds them empty.
        later = _AT_RUN_TIME if found is None and is_started else ()
        places = [posixpath.normpath(place) for place in hidden]
        return any(self._is_hidden(place) or place.startswith(later) for place in places)

    def _is_startable(self, found: ResolvedPath | None, by: str) -> bool:
        """Return True if all interpreters of a script exist. Only a shell runs a script that names no interpreter."""
        if found is None or found.node.program is None or not (by or found.node.program.interpreter):
            return False
        return all(one is not None for _, one in chain(found, self._rootfs))

    def _read(self, inner: WrappedStart, state: ShellState, by: str, line: int, certainty: Certainty) -> None:
        """Follow a script that a shell reads from a file."""
        file = inner.file or ""
        path = state.path_of(file)
        found = None if path is None else self._rootfs.tree.find(path)
        # A shell searches a name without a slash in several places.
        if path is None or self._hides(path, found) or (found is None and "/" not in file):
            return
        self.programs.append(StartedProgram(file, path, found, by, line, certainty, is_read=True))
        if (text := script_of(found)) is not None:
            self._run(text, state.child(path, inner.parameters, certainty))

    def _follow_services(self, state: ShellState, by: str, arguments: Arguments) -> None:
        """Follow the services of s6-overlay, each with a program ``run``, and the program in its arguments."""
        if by.endswith("/init") and arguments and (arguments[0] or "").startswith("/"):
            self._start(arguments, state, by, 0, Certainty.LIKELY)
        for folder in _SERVICES:
            found = self._rootfs.tree.find(folder)
            for service in sorted(found.node.children)[:_MOST_SCRIPTS] if found is not None else ():
                if self._rootfs.tree.find(f"{folder}/{service}/run") is not None:
                    self._start([f"{folder}/{service}/run"], state, by, 0, Certainty.LIKELY)

    def _run(self, text: str, state: ShellState, first_line: int = 1) -> None:
        """Follow the commands of a script."""
        self._scripts -= 1
        self._characters -= len(text)
        commands = read_commands(text, first_line) if min(self._scripts, self._characters) >= 0 else None
        if commands is None:
            state.lose()
            return
        for command in (one for one in commands if one.function):
            state.functions.setdefault(command.function, []).append(command)
        whole = [command for command in commands if not command.function]
        for command in whole:
            is_last = command is whole[-1] and not command.nested
            if self._follow(command, state, state.guards, is_last=is_last):
                return

    def _follow(self, command: ShellCommand, state: ShellState, outer: Guards, *, is_last: bool = False) -> bool:
        """Follow one command. Return True if the commands after it are surely not reached."""
        self._commands -= 1
        self._pieces -= sum(1 + len(word.pieces) for word in command.words)
        if self._commands < 0 or self._pieces < 0:
            return True
        guards = joined(outer, command.guards)
        certain = guards is None and not command.subshell
        for operator, target in command.redirections:
            for place in state.variables.expand(target) if ">" in operator else ():
                self.written.note_place(place, state.folder)
        words = tuple(dropwhile(is_assignment, command.words))
        for word in command.words if not words else ():
            state.variables.assign(word, certain=certain)
        fields = [part for word in words for part in state.variables.expand(word)]
        name = fields[0] if fields else None
        ends = False
        if name is not None and name in state.functions:
            ends = self._call(name, fields[1:], state, guards, command)
        elif words:
            is_system = posixpath.basename(name or "") in BUILTINS | TOOLS and not is_wrapper(name or "")
            if not is_system or name in {"eval", "set", "su"}:
                self.swallowed += swallowed_flags(words, state.variables, guards or frozenset(), state.title)
            ends = self._apply(command, words, fields, state, guards, is_last=is_last)
        for word in command.words:
            self.demanded += state.demanded(word) if certain else ()
            state.variables.apply_expansions(word, certain=certain)
        return ends and certain

    def _apply(
        self,
        command: ShellCommand,
        words: Sequence[ShellWord],
        fields: Arguments,
        state: ShellState,
        guards: Guards,
        *,
        is_last: bool,
    ) -> bool:
        """Apply a built-in command, or start a program. Return True if no command of the script follows."""
        name = fields[0] if fields else None
        certain = guards is None and not command.subshell
        # A shell that does not find the program of ``exec`` ends, so that ``exec X || Y`` never comes to Y.
        is_handled = command.handled and name != "exec"
        certainty = Certainty.POSSIBLE if guards is not None or is_handled else Certainty.LIKELY
        if name in {"exit", "return"}:
            # The script goes on only if the test had the other result.
            state.variables.forget(guards or ())
            return True
        if name in {".", "source"}:
            self._source(fields, state, guards, words[0].line, min(certainty, state.ceiling))
            return False
        if name == "eval" or (name == "exec" and len(fields) == 1):
            if name == "eval":
                self._run(" ".join(field or "$_" for field in fields[1:]), state.child(state.title, (), certainty))
                state.lose()
            return False
        if name is not None and state.apply_builtin(command, fields, certain=certain):
            return False
        is_exec = name == "exec"
        # A program that a setting names may be another one on each host.
        is_literal = not any(part.isidentifier() for word in words[is_exec : is_exec + 1] for part in word.names)
        if certainty and state.undisturbed and is_literal and (is_exec or is_last) and not command.subshell:
            certainty = Certainty.CERTAIN
        paths = [word for word in command.words[: -len(words)] if (word.pieces[0].text or "").startswith("PATH=")]
        inherited = state.with_path([part for word in paths for part in state.variables.expand(word)])
        self._start(fields, inherited, state.title, words[0].line, min(certainty, state.ceiling))
        if is_exec:
            state.variables.forget(guards or ())
        if name is None or is_exec or not (name in BUILTINS or posixpath.basename(name) in TOOLS):
            state.undisturbed = False
        return is_exec

    def _call(self, name: str, parameters: Arguments, state: ShellState, guards: Guards, command: ShellCommand) -> bool:
        """Follow a call of a function. Return True if the script surely ends in the function."""
        if self._depth >= _MOST_DEPTH:
            state.lose()
            return False
        before, ceiling = state.variables.arguments, state.ceiling
        state.variables.arguments = None if None in parameters else parameters
        if command.handled or command.subshell:
            state.ceiling = min(ceiling, Certainty.POSSIBLE if command.handled else Certainty.LIKELY)
        self._depth += 1
        ends = False
        for inner in state.functions[name]:
            if self._follow(inner, state, guards):
                ends = inner.name != "return"
                break
        self._depth -= 1
        state.variables.arguments, state.ceiling = before, ceiling
        return ends

    def _source(self, fields: Arguments, state: ShellState, guards: Guards, line: int, certainty: Certainty) -> None:
        """Follow a script that the shell reads as a part of its own script."""
        file = fields[1] if len(fields) > 1 else None
        path = state.path_of(file) if file is not None and "/" in file else None
        found = None if path is None else self._rootfs.tree.find(path)
        if path is None or file is None or self._hides(path, found) or self._depth >= _MOST_DEPTH:
            state.lose()
            return
        self.programs.append(
            StartedProgram(file, path, found, state.title, line, min(certainty, Certainty.LIKELY), is_read=True)
        )
        if (text := script_of(found)) is None:
            state.lose()
            return
        before = state.title, state.guards, state.ceiling
        state.title, state.guards, state.ceiling = path, guards, min(certainty, state.ceiling)
        self._depth += 1
        self._run(text, state)
        self._depth -= 1
        state.title, state.guards, state.ceiling = before
