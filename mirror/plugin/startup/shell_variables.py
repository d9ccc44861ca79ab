"""Values of variables in a shell script, as far as they are the same at every start with the plugin's defaults."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mirror.plugin.startup.shell_words import Piece, ShellWord

#: Longest value and longest list of arguments that are kept. A script may double a value with each line.
_MOST_VALUE_CHARACTERS: Final = 4096
_MOST_FIELDS: Final = 1000
_MOST_FIELD_CHARACTERS: Final = 64 * 1024
_MOST_PIECES: Final = 50
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_HOME: Final = re.compile(r"(?:^|:)~")
#: Variables that the engine or the shell sets.
_ALWAYS_SET: Final = frozenset(
    ["HOME", "HOSTNAME", "IFS", "OLDPWD", "PATH", "PPID", "PWD", "RANDOM", "TERM", "UID", "USER"]
)


@dataclass(frozen=True, slots=True)
class KnownValue:
    """Value of a variable.

    Attributes:
        text: the value.
        setting: setting of the plugin that the whole value comes from; empty if there is none.
        pieces: parts of the word that a script assigned.
    """

    text: str
    setting: str = ""
    pieces: tuple[Piece, ...] = ()


class ShellVariables:
    """Variables and positional parameters of a shell.

    Args:
        values: values at the start. None means that a value is unknown. A variable without an entry is not set.
        arguments: positional parameters from ``$1`` on, each None if unknown; None if even their number is unknown.

    Attributes:
        is_complete: False if variables without an entry may be set too.
    """

    def __init__(self, values: Mapping[str, KnownValue | None], arguments: Sequence[str | None] | None = None) -> None:
        self.values: dict[str, KnownValue | None] = {
            name: value if value is not None and len(value.text) <= _MOST_VALUE_CHARACTERS else None
            for name, value in values.items()
        }
        self.arguments = arguments if arguments is None or len(arguments) <= _MOST_FIELDS else None
        self.is_complete = True

    def forget_all(self) -> None:
        """Note that any variable may have changed."""
        self.values.clear()
        self.arguments = None
        self.is_complete = False

    def forget(self, names: Iterable[str]) -> None:
        """Note that these variables may have changed."""
        self.values.update(dict.fromkeys(names))

    def assign(self, word: ShellWord, *, certain: bool) -> None:
        """Apply a word if it is an assignment. Ignore other words.

        Args:
            word: word such as ``NAME=VALUE``.
            certain: False if the shell may not reach the assignment. The value is unknown then.
        """
        match = _assignment(word)
        if match is None:
            return
        pieces = (Piece(match.string[match.end() :]), *word.pieces[1:])
        value = None if _HOME.search(pieces[0].text or "") else self._joined(pieces)
        if match[2]:
            before = self.values.get(match[1])
            pieces = (*(before.pieces if before is not None else ()), *value.pieces) if value is not None else ()
            value = None if before is None or value is None else KnownValue(before.text + value.text, pieces=pieces)
        is_short = value is not None and len(value.text) <= _MOST_VALUE_CHARACTERS
        self.values[match[1]] = value if certain and is_short else None

    def apply_expansions(self, word: ShellWord, *, certain: bool) -> None:
        """Apply the expansions of a word that set a variable or end the script, such as ``${NAME:=VALUE}``."""
        for piece in word.pieces:
            if piece.operator in {":=", "="}:
                value = self.value_of(piece)
                self.values[piece.variable] = None if value is None or not certain else KnownValue(value.text)
            elif piece.operator in {":?", "?"}:
                self.values[piece.variable] = None

    def expand(self, word: ShellWord) -> list[str | None]:
        """Return the fields that a word becomes. An unknown field is None, and may be several fields or none."""
        first = word.pieces[0] if word.pieces else Piece("")
        if first.text is not None and first.text.startswith("~") and not first.quoted:
            return [None]
        expansions = [piece for piece in word.pieces if piece.text is None]
        if len(expansions) == 1 and expansions[0].variable in {"@", "*"} and not word.literal:
            if self.arguments is not None and all(piece.text in {None, ""} for piece in word.pieces):
                return list(self.arguments)
            return [None]
        fields: list[str] = []
        current: str | None = None
        characters = 0
        for piece in word.pieces:
            value = self.value_of(piece)
            characters += 0 if value is None else len(value.text)
            if value is None or len(fields) > _MOST_FIELDS or characters > _MOST_FIELD_CHARACTERS:
                return [None]
            if not piece.quoted and (_is_pattern(value.text) or _has_braces(piece.text or "")):
                return [None]
            if piece.quoted or piece.text is not None:
                current = (current or "") + value.text
                continue
            words = value.text.split()
            if value.text[:1].isspace() and current is not None:
                fields.append(current)
                current = None
            for number, part in enumerate(words):
                if number:
                    fields.append(current or "")
                    current = None
                current = (current or "") + part
            if words and value.text[-1:].isspace() and current is not None:
                fields.append(current)
                current = None
        return [*fields] if current is None else [*fields, current]

    def value_of(self, piece: Piece) -> KnownValue | None:
        """Return the value of a piece; None if it is unknown."""
        if piece.text is not None:
            return KnownValue(piece.text)
        name = piece.variable
        if name.isdecimal():
            found = self._argument(int(name))
        elif name in self.values:
            found = self.values[name]
        elif name and self.is_complete and piece.operator and name not in _ALWAYS_SET and name.isidentifier():
            found = KnownValue("")  # not set
        else:
            return None
        if found is None or piece.operator in {"", "?", ":?"}:
            return found
        if piece.operator in {":+", "+"}:
            chosen = piece.alternative if found.text else ""
        elif found.text:
            return found
        else:
            chosen = piece.alternative
        return None if chosen is None or len(chosen) > _MOST_VALUE_CHARACTERS else KnownValue(chosen)

    def _argument(self, number: int) -> KnownValue | None:
        if self.arguments is None or not number:
            return None
        text = self.arguments[number - 1] if number <= len(self.arguments) else ""
        return None if text is None else KnownValue(text)

    def _joined(self, pieces: Sequence[Piece]) -> KnownValue | None:
        """Return the value of pieces that are not split into fields; None if it is unknown."""
        values = [self.value_of(piece) for piece in pieces]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        text = "".join(value.text for value in known)
        settings = {value.setting for value in known if value.setting}
        parts = [part for piece, value in zip(pieces, known, strict=True) for part in value.pieces or (piece,)]
        setting = settings.pop() if len(settings) == 1 and not text else ""
        return KnownValue(text, setting, tuple(parts[:_MOST_PIECES]))


def is_assignment(word: ShellWord) -> bool:
    """Return True for a word such as ``NAME=VALUE``."""
    return _assignment(word) is not None


def _is_pattern(text: str) -> bool:
    """Return True for a pattern of file names. The files that are there decide what it becomes."""
    return "*" in text or "?" in text or "]" in text.partition("[")[2]


def _has_braces(text: str) -> bool:
    """Return True for braces that become several words, such as ``{a,b}`` (bash)."""
    inside = text.partition("{")[2].rpartition("}")[0]
    return "," in inside or ".." in inside


def _assignment(word: ShellWord) -> re.Match[str] | None:
    """Return the name and the operator of an assignment; None for another word."""
    first = word.pieces[0] if word.pieces else None
    return None if first is None or first.text is None or first.quoted else _ASSIGNMENT.match(first.text)
