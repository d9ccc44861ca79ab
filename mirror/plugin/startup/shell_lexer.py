"""Reading of a shell script into words and operators (POSIX XCU 2.3, and the additions of bash).

The text comes from a plugin. It is read once from left to right. Nested substitutions are matched with a stack of
limited depth, so the cost is proportional to the length of the text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final

from mirror.plugin.startup.shell_words import Piece, ShellUnreadable, ShellWord

#: Deepest nesting of quotes and substitutions that is followed.
_MOST_NESTED: Final = 50

_BLANK: Final = re.compile(r"(?:[ \t]|\\\n)+")
_PLAIN: Final = re.compile(r"[^ \t\n\\'\"`$|&;()<>]+")
_PLAIN_QUOTED: Final = re.compile(r'[^\\"`$]+')
_OPERATOR: Final = re.compile(r";;&|;;|;&|;|&>>|&>|&&|&|\|\||\|&|\||\(|\)|\n|<<<|<<-|<<|<&|<>|<|>>|>&|>\||>")
_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!-]")
_BRACED: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])(:?[-+=?]|\})")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Signs with a meaning inside of a substitution.
_MARK: Final = re.compile(r"[\\'\"`(){}#]|\$[({]")
_NO_EXPANSION: Final = re.compile(r"[^\\'\"`$]*")


class ShellLexer:
    """Reader of the words and operators of one script.

    Args:
        text: the script.
        first_line: number of the first line.
    """

    def __init__(self, text: str, first_line: int = 1) -> None:
        self._text = text
        self._at = 0
        self._first_line = first_line
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._heredocs: list[tuple[str, bool]] = []
        # True if blanks or comments precede the last token.
        self.apart = True

    @property
    def line(self) -> int:
        """Line number of the next token."""
        return self.line_at(self._at)

    def line_at(self, offset: int) -> int:
        """Return the line number of an offset."""
        return self._first_line + bisect_left(self._newlines, offset)

    def next(self) -> ShellWord | str:
        """Return the next word, the next operator as text, or an empty text at the end.

        Raises:
            ShellUnreadable: a quote or a substitution does not end.
        """
        start = self._at
        if blank := _BLANK.match(self._text, self._at):
            self._at = blank.end()
        if self._text.startswith("#", self._at):
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end
        self.apart = self._at > start
        if self._at >= len(self._text):
            return ""
        operator = _OPERATOR.match(self._text, self._at)
        if operator is None or self._text.startswith(("<(", ">("), self._at):
            return self._word()
        self._at = operator.end()
        if operator[0] == "\n":
            self._skip_heredocs()
        return operator[0]

    def add_heredoc(self, end: ShellWord, *, tabs: bool) -> None:
        """Skip the lines of a here-document, which begin after the current line.

        Args:
            end: word that ends the document.
            tabs: True if tabs before the end are ignored.
        """
        self._heredocs.append((end.literal if end.literal is not None else end.source, tabs))

    def skip_parentheses(self, depth: int = 1) -> tuple[str, ...]:
        """Skip to the end of open parentheses, and return the names in between."""
        start = self._at
        for _ in range(depth):
            self._at = self._end_of(self._at, ")")
        return tuple(_NAME.findall(self._text, start, self._at))

    def _skip_heredocs(self) -> None:
        for end, tabs in self._heredocs:
            while self._at < len(self._text):
                stop = self._text.find("\n", self._at)
                stop = len(self._text) if stop < 0 else stop
                line = self._text[self._at : stop]
                self._at = min(stop + 1, len(self._text))
                if (line.lstrip("\t") if tabs else line) == end:
                    break
        self._heredocs.clear()

    def _word(self) -> ShellWord:
        start = self._at
        pieces: list[Piece] = []
        text = self._text
        while self._at < len(text):
            sign = text[self._at]
            if plain := _PLAIN.match(text, self._at):
                pieces.append(Piece(plain[0]))
                self._at = plain.end()
            elif sign == "\\":
                if not text.startswith("\\\n", self._at):
                    pieces.append(Piece(text[self._at + 1 : self._at + 2] or sign, quoted=True))
                self._at += 2
            elif sign == "'":
                end = self._find("'", self._at + 1)
                pieces.append(Piece(text[self._at + 1 : end], quoted=True))
                self._at = end + 1
            elif sign == '"' or text.startswith('$"', self._at):
                self._at += 1 if sign == '"' else 2
                pieces += self._double_quoted()
            elif sign in "$`":
                pieces.append(self._expansion(quoted=False))
            elif text.startswith(("<(", ">("), self._at):
                self._at += 1
                pieces.append(self._commands(")", quoted=True))
            else:
                break
        return ShellWord(tuple(pieces), text[start : self._at], self.line_at(start))

    def _double_quoted(self) -> list[Piece]:
        """Read to the end of double quotes. An empty text is a piece too: it makes a word."""
        pieces = [Piece("", quoted=True)]
        text = self._text
        while self._at < len(text):
            sign = text[self._at]
            if plain := _PLAIN_QUOTED.match(text, self._at):
                pieces.append(Piece(plain[0], quoted=True))
                self._at = plain.end()
            elif sign == '"':
                self._at += 1
                return pieces
            elif sign == "\\":
                escaped = text[self._at + 1 : self._at + 2]
                if escaped != "\n":
                    pieces.append(Piece(escaped if escaped in '$`"\\' else f"\\{escaped}", quoted=True))
                self._at += 2
            else:
                pieces.append(self._expansion(quoted=True))
        raise ShellUnreadable("a quote does not end")

    def _expansion(self, *, quoted: bool) -> Piece:
        """Read an expansion that begins with a dollar sign or a backquote."""
        text, start = self._text, self._at
        if text.startswith("`", start):
            return self._commands("`", quoted=quoted)
        self._at += 1
        if text.startswith("$((", start):
            self._at += 2
            return Piece(quoted=quoted, names=self.skip_parentheses(2))
        if text.startswith("$(", start):
            return self._commands(")", quoted=quoted)
        if text.startswith("${", start):
            return self._braced(quoted=quoted)
        if text.startswith("$'", start) and not quoted:
            return self._escaped()
        name = _PARAMETER.match(text, self._at)
        self._at += len(name[0]) if name else 0
        return Piece(variable=name[0], quoted=quoted) if name else Piece("$", quoted=quoted)

    def _escaped(self) -> Piece:
        """Skip text in quotes with escape sequences (bash)."""
        end = self._at + 1
        while not self._text.startswith("'", end):
            end += 2 if self._text.startswith("\\", end) else 1
            if end >= len(self._text):
                raise ShellUnreadable("a quote does not end")
        self._at = end + 1
        return Piece(quoted=True)

    def _commands(self, closer: str, *, quoted: bool) -> Piece:
        """Read the commands of a substitution."""
        start = self._at + 1
        self._at = self._end_of(start, closer)
        return Piece(quoted=quoted, commands=self._text[start : self._at - 1], offset=start)

    def _braced(self, *, quoted: bool) -> Piece:
        """Read an expansion in braces."""
        start = self._at + 1
        self._at = self._end_of(start, '"}' if quoted else "}")
        inner = _BRACED.match(self._text, start, self._at)
        if inner is None:
            return Piece(quoted=quoted, names=tuple(_NAME.findall(self._text, start, self._at)))
        if inner[2] == "}":
            return Piece(variable=inner[1], quoted=quoted)
        rest = self._text[inner.end() : self._at - 1]
        simple = rest[1:-1] if len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "'\"" else rest
        alternative = simple if _NO_EXPANSION.fullmatch(simple) else None
        names = () if alternative is not None else tuple(_NAME.findall(rest))
        return Piece(variable=inner[1], operator=inner[2], alternative=alternative, quoted=quoted, names=names)

    def _end_of(self, start: int, closer: str) -> int:
        """Return the offset after the end of a substitution.

        Args:
            start: offset after its beginning.
            closer: sign that ends the substitution. For a brace inside of double quotes, ``"}``.
        """
        text, at = self._text, start
        closers = [closer]
        while closers:
            if len(closers) > _MOST_NESTED:
                raise ShellUnreadable("substitutions are nested too deeply")
            mark = _MARK.search(text, at)
            if mark is None:
                raise ShellUnreadable("a substitution does not end")
            sign, at, inside = mark[0], mark.end(), closers[-1]
            if sign == "\\":
                at += 1
            elif sign == inside[-1]:
                closers.pop()
            elif sign in {"$(", "${"}:
                closers.append(")" if sign == "$(" else '"}' if '"' in inside else "}")
            elif inside == "`" or '"' in inside:
                if sign in {'"', "`"} and inside != "`":
                    closers.append(sign)
            elif sign == "'":
                at = self._find("'", at) + 1
            elif sign in {'"', "`"}:
                closers.append(sign)
            elif sign == "(" and inside == ")":
                closers.append(")")
            elif sign == "#" and inside == ")" and text[at - 2] in " \t\n;":
                at = text.find("\n", at)
                at = len(text) if at < 0 else at
        return at

    def _find(self, sign: str, start: int) -> int:
        end = self._text.find(sign, start)
        if end < 0:
            raise ShellUnreadable("a quote does not end")
        return end
