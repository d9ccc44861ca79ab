"""Flags whose value is an unquoted variable that is empty by default. Such a flag takes the next word for its value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mirror.plugin.startup.shell_variables import ShellVariables
from mirror.plugin.startup.shell_words import ShellWord

_FLAG: Final = re.compile(r"--?[A-Za-z][A-Za-z0-9_.-]*")
#: Variables with such names hold whole arguments, not the value of the flag before them.
_ARGUMENTS: Final = re.compile(
    r"(?i)(^|_)(arg|args|opt|opts|option|options|flag|flags|param|params|extra|cfg|switches)(_|$)"
)


@dataclass(frozen=True, slots=True)
class SwallowedFlag:
    """A flag without its value.

    Attributes:
        script: name of the script.
        line: line of the flag.
        flag: the flag.
        variable: variable that was meant to be its value.
        setting: setting of the plugin that the variable has its value from.
        following: next word of the command, which becomes the value; empty if there is none.
    """

    script: str
    line: int
    flag: str
    variable: str
    setting: str
    following: str


def swallowed_flags(
    words: Sequence[ShellWord], variables: ShellVariables, tested: frozenset[str], script: str
) -> Iterator[SwallowedFlag]:
    """Yield the flags of a command that take the next word for their value, with the plugin's defaults.

    Args:
        words: name and arguments of the command.
        variables: variables before the command.
        tested: names of variables that the script tested before it runs the command. These are not reported.
        script: name of the script.
    """
    for position in range(1, len(words) - 1):
        flag = words[position].literal
        if flag is None or not _FLAG.fullmatch(flag):
            continue
        empty = _empty_variable(words[position + 1], variables)
        if empty is None:
            continue
        name, setting = empty
        if {name, setting} & tested or _ARGUMENTS.search(name) or _ARGUMENTS.search(setting):
            continue
        following = next((word for word in words[position + 2 :] if variables.expand(word)), None)
        yield SwallowedFlag(
            script, words[position].line, flag, name, setting, "" if following is None else following.source
        )


def _empty_variable(word: ShellWord, variables: ShellVariables) -> tuple[str, str] | None:
    """Return variable and setting of a word that disappears, because its unquoted variables are empty; else None."""
    found = None
    for piece in word.pieces:
        if not piece.variable or piece.operator or piece.quoted:
            return None
        value = variables.value_of(piece)
        if value is None or value.text or not value.setting:
            return None
        found = found or (piece.variable, value.setting)
    return found
