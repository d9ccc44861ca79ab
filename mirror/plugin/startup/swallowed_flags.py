"""Flags whose value is an unquoted variable that is empty by default. Such a flag takes the next word for its value."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from mirror.plugin.rootfs.program import SHELLS
from mirror.plugin.startup.shell_variables import ShellVariables
from mirror.plugin.startup.shell_words import Piece, ShellWord

#: Arguments of a command that are looked at, and flags in one variable that are reported.
_MOST_ARGUMENTS: Final = 100
_MOST_IN_VALUE: Final = 3
#: Pieces of a text that are looked at, and those of them that may be the word after a flag.
_MOST_PIECES: Final = 1000
_MOST_FOLLOWING: Final = 10
_FLAG: Final = re.compile(r"--?[A-Za-z][A-Za-z0-9_.-]*")
_LAST_FLAG: Final = re.compile(r"(?:^|\s)(--?[A-Za-z][A-Za-z0-9_.-]*)[ \t]+$")
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
    # A text that is expanded before a shell splits it into words.
    is_text = posixpath.basename(words[0].literal or "") in SHELLS | {"eval", "su"}
    for position, word in enumerate(words[1:_MOST_ARGUMENTS], 1):
        flag, rest = word.literal, words[position + 1 :]
        if flag is not None and _FLAG.fullmatch(flag) and rest:
            if (empty := _empty_value(rest[0].pieces, variables, tested)) is not None:
                following = next((other.source for other in rest[1:] if variables.expand(other)), "")
                yield SwallowedFlag(script, word.line, flag, *empty, following)
        elif is_text and len(word.pieces) > 1:
            for flag, empty, following in islice(_in_value(word.pieces, variables, tested), _MOST_IN_VALUE):
                yield SwallowedFlag(script, word.line, flag, *empty, following)
        elif len(word.pieces) == 1 and not word.pieces[0].quoted and not word.pieces[0].operator:
            value = variables.value_of(word.pieces[0]) if word.pieces[0].variable else None
            within = _in_value(value.pieces if value is not None else (), variables, tested)
            for flag, empty, following in islice(within, _MOST_IN_VALUE):
                after = next((other.source for other in rest if variables.expand(other)), "")
                yield SwallowedFlag(script, word.line, flag, *empty, following or after)


def _in_value(
    pieces: Sequence[Piece], variables: ShellVariables, tested: frozenset[str]
) -> Iterator[tuple[str, tuple[str, str], str]]:
    """Yield the flags without a value in a variable that holds several arguments.

    Each item has the flag, the variable and setting of its value, and the next word in the variable.
    """
    for position, piece in enumerate(pieces[: min(len(pieces) - 1, _MOST_PIECES)]):
        flag = _LAST_FLAG.search(piece.text or "")
        value = replace(pieces[position + 1], quoted=False)
        if flag is None or (empty := _empty_value([value], variables, tested)) is None:
            continue
        after = pieces[position + 2 : position + 2 + _MOST_FOLLOWING]
        following = "".join(f"${one.variable}" if one.text is None else one.text for one in after)
        if not following.strip() or following[:1].isspace():
            yield flag[1], empty, (following.split() or [""])[0]


def _empty_value(pieces: Sequence[Piece], variables: ShellVariables, tested: frozenset[str]) -> tuple[str, str] | None:
    """Return variable and setting of a word that disappears, because its unquoted variables are empty; else None."""
    found = None
    for one in pieces:
        piece = replace(one, operator="") if one.operator in {":-", "-"} and one.alternative == "" else one
        value = variables.value_of(piece) if piece.variable and not piece.operator and not piece.quoted else None
        if value is None or value.text.strip() or not value.setting:
            return None
        if {piece.variable, value.setting} & tested or _ARGUMENTS.search(f"{piece.variable}_{value.setting}"):
            return None
        found = found or (piece.variable, value.setting)
    return found
