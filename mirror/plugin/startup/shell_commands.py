"""Simple commands of a shell script, and the conditions under which the shell reaches them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final

from mirror.plugin.startup.shell_words import ShellUnreadable, ShellWord

#: Most variables that are tested before one command. Each command has its own set of them.
_MOST_GUARDS: Final = 50


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """One simple command of a script.

    Attributes:
        words: assignments, name and arguments.
        redirections: operator and target of each redirection.
        function: function that the command belongs to; empty for the script itself.
        guards: names of the variables that are tested before the command is reached; None if nothing is tested.
        handled: True if the script reacts to a failure, as in the condition of ``if`` and before ``||``.
        subshell: True if the command runs in another process than the script: in the background, in a pipe, in
            parentheses or in a substitution.
        nested: True if the command stands inside of a compound command.
    """

    words: tuple[ShellWord, ...]
    redirections: tuple[tuple[str, ShellWord], ...] = ()
    function: str = ""
    guards: frozenset[str] | None = None
    handled: bool = False
    subshell: bool = False
    nested: bool = False

    @property
    def name(self) -> str | None:
        """First word; None if the word is not literal or there is none."""
        return self.words[0].literal if self.words else None


@dataclass(slots=True)
class OpenCommand:
    """An open compound command, and the list of commands that is being read in it.

    Attributes:
        kind: word that opened the command; ``loop`` for all loops.
        function, guards, handled, subshell: properties of all commands inside.
        phase: ``condition``, ``body``, or ``pattern`` of a case.
        own_guards: guards that the conditions read so far add.
        endless: words of the conditions that make this loop endless.
        condition_start, list_start, pipe_start: positions in the commands of the script.
        list_guards, negated, piped: properties of the commands up to the end of the list.
        is_simple: True if the last element of the list is a simple command.
    """

    kind: str = ""
    function: str = ""
    guards: frozenset[str] | None = None
    handled: bool = False
    subshell: bool = False
    phase: str = "body"
    own_guards: frozenset[str] | None = None
    endless: Container[list[str]] = ()
    condition_start: int = 0
    list_start: int = 0
    pipe_start: int = 0
    list_guards: frozenset[str] | None = None
    negated: bool = False
    piped: bool = False
    is_simple: bool = False

    @property
    def inner_guards(self) -> frozenset[str] | None:
        """Guards of the next command.

        Raises:
            ShellUnreadable: more variables are tested than real scripts test.
        """
        guards = joined(self.guards, self.own_guards, self.list_guards)
        if guards is not None and len(guards) > _MOST_GUARDS:
            raise ShellUnreadable("too many variables are tested")
        return guards

    @property
    def inner_handled(self) -> bool:
        """True if the script reacts to a failure of the next command."""
        return self.handled or self.negated or self.phase == "condition"

    def begin_list(self, position: int) -> None:
        """Begin the next list of commands at a position in the commands of the script."""
        self.list_guards, self.list_start = None, position
        self.begin_element(position)

    def begin_element(self, position: int) -> None:
        """Begin the next element of an AND-OR list."""
        self.negated = self.piped = False
        self.pipe_start = position


def names_in(commands: Iterable[ShellCommand]) -> frozenset[str]:
    """Return the names of the variables in these commands."""
    return frozenset(name for command in commands for word in command.words for name in word.names)


def joined(*guards: frozenset[str] | None) -> frozenset[str] | None:
    """Return all names of several guards together; None if nothing is tested."""
    tested = [names for names in guards if names is not None]
    # Most commands have the guards of the command before, and share the set: a script may have 10 000 commands.
    return tested[0].union(*tested[1:]) if len(tested) > 1 else tested[0] if tested else None
