"""Words of a shell script, with their quotes and expansions."""

from __future__ import annotations

from dataclasses import dataclass


class ShellUnreadable(Exception):
    """A text that is not a shell script, or exceeds what this package reads. Never leaves the package."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a word: literal text, an expansion of a variable, or another expansion.

    Attributes:
        text: literal text; None for an expansion.
        variable: name of the expanded variable or positional parameter; empty for other pieces.
        operator: operator after the name in braces, such as ``:-``; empty if there is none.
        alternative: text after the operator; None if the text has expansions itself.
        quoted: True inside of quotes, where the result is not split into words.
        commands: text of a command substitution; empty for other pieces.
        offset: start of ``commands`` in the script.
        names: names in an expansion that is not followed, such as ``${x%.*}``.
    """

    text: str | None = None
    variable: str = ""
    operator: str = ""
    alternative: str | None = ""
    quoted: bool = False
    commands: str = ""
    offset: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShellWord:
    """One word of a script.

    Attributes:
        pieces: parts of the word, in order.
        source: text of the word in the script.
        line: line number, from 1.
    """

    pieces: tuple[Piece, ...]
    source: str
    line: int

    @property
    def literal(self) -> str | None:
        """The word without quotes; None if the word has expansions."""
        texts = [piece.text for piece in self.pieces if piece.text is not None]
        return "".join(texts) if len(texts) == len(self.pieces) else None

    @property
    def keyword(self) -> str:
        """The word if no part of it is quoted or expanded, as reserved words are; otherwise an empty text."""
        return self.source if len(self.pieces) == 1 and self.pieces[0].text == self.source else ""

    @property
    def is_descriptor(self) -> bool:
        """True for a number or a name in braces (bash). Before a redirection, they stand for a file descriptor."""
        return self.source.isdecimal() or (self.source[:1] == "{" and self.source[1:-1].isidentifier())

    @property
    def names(self) -> frozenset[str]:
        """Names of the variables in the word."""
        return frozenset(name for piece in self.pieces for name in (piece.variable, *piece.names) if name)


def plain_word(text: str, line: int) -> ShellWord:
    """Return a word without quotes and expansions."""
    return ShellWord((Piece(text),), text, line)
