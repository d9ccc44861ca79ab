"""State of a shell while its script is followed, and the built-in commands that change this state."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from mirror.plugin.rootfs.entry import MOST_PATH_BYTES
from mirror.plugin.startup.shell_commands import ShellCommand
from mirror.plugin.startup.shell_variables import KnownValue, ShellVariables
from mirror.plugin.startup.shell_words import ShellWord
from mirror.plugin.startup.started_programs import Certainty, DemandedSetting

_DECLARING: Final = frozenset(["export", "readonly", "local", "declare", "typeset"])
#: Commands that set the variables which they name.
_SETTING: Final = frozenset(["read", "unset", "getopts", "mapfile", "readarray", "printf", "let"])


@dataclass(slots=True)
class ShellState:
    """State of one shell.

    Attributes:
        title: name of the script in messages.
        variables: variables and positional parameters.
        folder: working folder; None if unknown.
        ceiling: highest certainty of the programs that the script starts.
        guards: names of the variables that were tested before the script; None if nothing was tested.
        undisturbed: True until the first program that may end the script, or never end itself.
        functions: bodies of functions by their names.
    """

    title: str
    variables: ShellVariables
    folder: str | None
    ceiling: Certainty
    guards: frozenset[str] | None = None
    undisturbed: bool = True
    functions: dict[str, list[ShellCommand]] = field(default_factory=dict)

    def child(self, title: str, parameters: Sequence[str | None], ceiling: Certainty) -> ShellState:
        """Return the state of a shell that this shell starts. All known variables are taken for exported."""
        variables = ShellVariables(self.variables.values, parameters)
        if not self.variables.is_complete:
            variables.forget_all()
        return ShellState(title, variables, self.folder, ceiling)

    def with_path(self, words: Sequence[str | None]) -> ShellState:
        """Return the state for a program whose ``PATH`` the words before its name set, as in ``env PATH=/opt X``.

        Args:
            words: assignments, options and arguments; None stands for an unknown one, which may be ``PATH`` too.
        """
        paths = [word for word in words if word is None or word.startswith("PATH=")]
        if not paths:
            return self
        state = self.child(self.title, self.variables.arguments or (), self.ceiling)
        path = None if None in paths else (paths[-1] or "").removeprefix("PATH=")
        state.variables.values["PATH"] = None if path is None else KnownValue(path[:MOST_PATH_BYTES])
        return state

    def path_of(self, name: str) -> str | None:
        """Return the absolute path that a name with a slash means; None if it is unknown."""
        if self.folder is None and not name.startswith("/"):
            return None
        path = posixpath.join(self.folder or "/", name)
        return path if len(path) <= MOST_PATH_BYTES else None

    def demanded(self, word: ShellWord) -> Iterator[DemandedSetting]:
        """Yield the settings that a word demands, as ``${NAME:?}`` does, and that are empty. The script ends there."""
        for piece in word.pieces if self.ceiling is not Certainty.POSSIBLE else ():
            value = self.variables.value_of(piece) if piece.operator == ":?" else None
            if value is not None and value.setting and not value.text:
                yield DemandedSetting(self.title, word.line, value.setting)

    def lose(self) -> None:
        """Note that the script did something unknown."""
        self.variables.forget_all()
        self.undisturbed = False

    def apply_builtin(self, command: ShellCommand, fields: Sequence[str | None], *, certain: bool) -> bool:
        """Apply a built-in command that changes the state. Return False for other commands.

        Args:
            command: the command.
            fields: name and arguments; None stands for an unknown one.
            certain: False if the shell may not reach the command, or runs it in another process.
        """
        name = fields[0]
        if name in _DECLARING:
            for word in command.words[1:]:
                self.variables.assign(word, certain=certain)
        elif name in _SETTING:
            if name != "printf" or "-v" in fields:
                self.variables.forget(part for part in fields[1:] if part is not None)
        elif name == "((":
            self.variables.forget(name for word in command.words for name in word.names)
        elif name in {"cd", "chdir", "pushd"}:
            target = fields[1] if len(fields) == 2 else None
            self.folder = self.path_of(target) if certain and target else None
        elif name == "alias":
            # An alias may stand for any command.
            self.functions |= {part.partition("=")[0]: [] for part in fields[1:] if part}
            self.undisturbed = False
        elif name == "popd":
            self.folder = None
        elif name == "set":
            self._set(fields, certain=certain)
        elif name == "shift":
            count = fields[1] if len(fields) > 1 else "1"
            known = certain and self.variables.arguments is not None and count is not None and count.isdecimal()
            rest = (self.variables.arguments or ())[int(count or 0) if known and len(count or "") < 6 else 0 :]
            self.variables.arguments = rest if known else None
        else:
            return False
        return True

    def _set(self, fields: Sequence[str | None], *, certain: bool) -> None:
        """Apply ``set``, which replaces the positional parameters after ``--``."""
        if "--" in fields:
            rest = fields[fields.index("--") + 1 :]
            self.variables.arguments = rest if certain and None not in rest else None
        elif any(part is None or part[:1] not in {"-", "+"} for part in fields[1:2]):
            self.variables.arguments = None
