"""Reading of a shell script into its simple commands (POSIX XCU 2.9 and 2.10, and the additions of bash)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.startup.known_commands import ENDLESS, PREFIXES, TESTS
from mirror.plugin.startup.shell_commands import OpenCommand, ShellCommand, joined, names_in
from mirror.plugin.startup.shell_lexer import ShellLexer
from mirror.plugin.startup.shell_words import Piece, ShellUnreadable, ShellWord, plain_word

_MOST_CHARACTERS: Final = 64 * 1024
#: Most commands of one script, those in substitutions included.
_MOST_COMMANDS: Final = 10_000
#: Deepest nesting of compound commands, and of command substitutions.
_MOST_OPEN: Final = 50
_MOST_SUBSTITUTIONS: Final = 5

_CLOSERS: Final = {"fi": "if", "done": "loop", "esac": "case", "}": "{"}


def read_commands(text: str, first_line: int = 1) -> tuple[ShellCommand, ...] | None:
    """Return the simple commands of a script in the order of the text; None if the text cannot be read.

    Args:
        text: the script.
        first_line: number of the first line.
    """
    try:
        parser = _Parser(text, first_line, _MOST_SUBSTITUTIONS) if len(text) <= _MOST_CHARACTERS else None
        return tuple(parser.read()) if parser is not None else None
    except ShellUnreadable:
        return None


class _Parser:
    """Reader of the commands of one script or substitution."""

    def __init__(self, text: str, first_line: int, substitutions: int) -> None:
        self._lexer = ShellLexer(text, first_line)
        self._substitutions = substitutions
        self._commands: list[ShellCommand] = []
        self._frames = [OpenCommand()]
        self._function = ""  # name of a function whose body comes next
        self._next: ShellWord | str = self._lexer.next()

    def read(self) -> list[ShellCommand]:
        """Read to the end of the text."""
        while self._next != "":
            if self._frames[-1].phase == "pattern":
                self._read_pattern()
            elif isinstance(self._next, ShellWord):
                self._read_word(self._next)
            else:
                self._read_operator(self._next)
        if len(self._frames) > 1:
            raise ShellUnreadable("a compound command does not end")
        return self._commands

    def _advance(self) -> ShellWord | str:
        token, self._next = self._next, self._lexer.next()
        return token

    def _read_operator(self, operator: str) -> None:
        frame = self._frames[-1]
        if operator[0] in "<>" or operator.startswith("&>"):
            self._read_simple()  # only redirections, such as those after a compound command
            return
        self._advance()
        left = self._commands[frame.pipe_start :] if operator in {"&&", "||"} else []
        if operator in {";", "\n", "&"}:
            if operator == "&":
                self._mark(frame.list_start, subshell=True)
            frame.begin_list(len(self._commands))
        elif operator in {";;", ";&", ";;&"} and frame.kind == "case":
            frame.begin_list(len(self._commands))
            frame.phase = "pattern"
        elif operator == "&&":
            if not (frame.is_simple and left) or frame.negated or left[-1].name in TESTS:
                frame.list_guards = joined(frame.list_guards, names_in(left))
            frame.begin_element(len(self._commands))
        elif operator == "||":
            self._mark(frame.pipe_start, handled=True)
            frame.list_guards = joined(frame.list_guards, names_in(left))
            frame.begin_element(len(self._commands))
        elif operator in {"|", "|&"}:
            self._mark(frame.pipe_start, subshell=True)
            frame.piped, frame.pipe_start = True, len(self._commands)
        elif operator == "(" and self._next == "(" and not self._lexer.apart:
            self._read_arithmetic()
        elif operator == "(":
            self._open("(", subshell=True)
        elif operator == ")":
            self._close("(")
        else:
            raise ShellUnreadable("an unexpected operator")

    def _read_word(self, word: ShellWord) -> None:
        frame, keyword = self._frames[-1], word.keyword
        if keyword in {"if", "while", "until"}:
            self._advance()
            self._open("if" if keyword == "if" else "loop", phase="condition", endless=ENDLESS.get(keyword, ()))
        elif keyword in {"for", "select"}:
            self._read_for()
        elif keyword == "case":
            self._read_case()
        elif keyword in {"then", "elif", "else", "do"}:
            self._read_branch(keyword)
        elif keyword == "{":
            self._advance()
            self._open("{")
        elif keyword in _CLOSERS:
            self._advance()
            self._close(_CLOSERS[keyword])
        elif keyword in PREFIXES:
            self._advance()
            frame.negated = frame.negated or keyword == "!"
        elif keyword == "function":
            self._advance()
            self._read_function(self._advance())
        else:
            self._read_simple()

    def _read_branch(self, keyword: str) -> None:
        """Read the word between a condition and a body."""
        frame = self._frames[-1]
        if frame.kind not in {"if", "loop"}:
            raise ShellUnreadable("an unexpected word")
        self._advance()
        if frame.phase == "condition":
            condition = self._commands[frame.condition_start :]
            if [word.source for command in condition for word in command.words] not in frame.endless:
                frame.own_guards = joined(frame.own_guards, names_in(condition))
        frame.begin_list(len(self._commands))
        frame.phase = "condition" if keyword == "elif" else "body"
        frame.condition_start = len(self._commands)

    def _read_for(self) -> None:
        """Read the head of a for loop. The body is reached if the list of values begins with a literal."""
        self._advance()
        guards: frozenset[str] | None = frozenset()
        name = self._advance()
        if name == "(":
            self._lexer.skip_parentheses(2)
            self._advance()
        elif isinstance(name, ShellWord):
            words = self._words_of_line()
            if len(words) > 1 and words[0].keyword == "in" and words[1].literal:
                guards = None
            self._emit((plain_word("read", name.line), name))  # sets the variable
        while self._next in {";", "\n"}:
            self._advance()
        self._open("loop", own_guards=guards)

    def _read_case(self) -> None:
        self._advance()
        word = self._advance()
        while self._next == "\n":
            self._advance()
        if not isinstance(word, ShellWord) or not isinstance(self._next, ShellWord) or self._next.keyword != "in":
            raise ShellUnreadable("a case without a word")
        self._advance()
        self._open("case", phase="pattern", own_guards=word.names)

    def _read_pattern(self) -> None:
        """Read one pattern of a case, or the end of the case."""
        while self._next == "\n":
            self._advance()
        if isinstance(self._next, ShellWord) and self._next.keyword == "esac":
            self._frames[-1].phase = "body"
            return
        while self._next not in {")", ""}:
            self._advance()
        self._advance()
        self._frames[-1].phase = "body"

    def _read_simple(self) -> None:
        """Read a simple command with its redirections, or the head of a function."""
        words: list[ShellWord] = []
        redirections: list[tuple[str, ShellWord]] = []
        in_test = isinstance(self._next, ShellWord) and self._next.keyword == "[["
        while self._next != "":
            if isinstance(part := self._next, ShellWord):
                words.append(part)
                self._advance()
                if in_test and part.keyword == "]]":
                    break
            elif in_test:
                self._advance()  # an operator of [[
            elif part[0] in "<>" or part.startswith("&>"):
                # A number or name before a redirection is a file descriptor.
                if words and not self._lexer.apart and words[-1].is_descriptor and len(words) > 1:
                    words.pop()
                if (target := self._read_redirection()) is not None:
                    redirections.append((part, target))
            elif part == "(" and len(words) == 1 and words[0].keyword and not words[0].source.endswith("="):
                self._read_function(words[0])
                return
            elif part == "(" and words and words[-1].source.endswith("=") and not self._lexer.apart:
                self._lexer.skip_parentheses()  # the values of an array
                self._advance()
                words[-1] = replace(words[-1], pieces=(*words[-1].pieces, Piece()))
            else:
                break
        self._emit(tuple(words), tuple(redirections))

    def _read_function(self, name: ShellWord | str) -> None:
        """Read the parentheses after the name of a function, and remember the name for the body."""
        if not isinstance(name, ShellWord):
            raise ShellUnreadable("a function without a name")
        if self._next == "(":
            self._advance()
            if self._advance() != ")":
                raise ShellUnreadable("a function with parameters")
        while self._next == "\n":
            self._advance()
        self._function = name.source

    def _read_redirection(self) -> ShellWord | None:
        """Read a redirection. Return its target; None if that is not a file."""
        operator = self._advance()
        target = self._next
        if not isinstance(target, ShellWord):
            raise ShellUnreadable("a redirection without a target")
        if operator in {"<<", "<<-"}:
            self._lexer.add_heredoc(target, tabs=operator == "<<-")
        self._advance()
        return None if str(operator).startswith("<<") else target

    def _read_arithmetic(self) -> None:
        """Read ``((…))``, after its first parenthesis."""
        names = self._lexer.skip_parentheses(2)
        line = self._lexer.line
        self._advance()
        self._emit((plain_word("((", line), ShellWord((Piece(names=names),), "", line)))

    def _words_of_line(self) -> list[ShellWord]:
        words: list[ShellWord] = []
        while self._next == "\n":
            self._advance()
        while isinstance(self._next, ShellWord) and self._next.keyword != "do":
            words.append(self._next)
            self._advance()
        return words

    def _emit(self, words: tuple[ShellWord, ...], redirections: tuple[tuple[str, ShellWord], ...] = ()) -> None:
        """Append a command, after the commands of its substitutions."""
        frame = self._frames[-1]
        command = ShellCommand(
            words,
            redirections,
            function=frame.function,
            guards=frame.inner_guards,
            handled=frame.inner_handled,
            subshell=frame.subshell or frame.piped,
            nested=len(self._frames) > 1,
        )
        for piece in (piece for word in words for piece in word.pieces if piece.commands):
            if self._substitutions:
                inner = _Parser(piece.commands, self._lexer.line_at(piece.offset), self._substitutions - 1).read()
                # A function that a substitution defines is unknown outside of it, and its body is not followed.
                self._commands += (
                    replace(command, words=one.words, redirections=one.redirections, handled=True, subshell=True)
                    for one in inner
                    if not one.function
                )
        self._commands.append(command)
        frame.is_simple = frame.is_simple if not words else True
        if len(self._commands) > _MOST_COMMANDS:
            raise ShellUnreadable("too many commands")

    def _open(self, kind: str, *, subshell: bool = False, **properties: object) -> None:
        above = self._frames[-1]
        if len(self._frames) > _MOST_OPEN:
            raise ShellUnreadable("compound commands are nested too deeply")
        start = len(self._commands)
        inner = OpenCommand(kind, condition_start=start, list_start=start, pipe_start=start, **properties)  # type: ignore[arg-type]
        if self._function:
            inner.function, inner.subshell, self._function = self._function, subshell, ""
        else:
            inner.function = above.function
            inner.guards, inner.handled = above.inner_guards, above.inner_handled
            inner.subshell = above.subshell or above.piped or subshell
        self._frames.append(inner)

    def _close(self, kind: str) -> None:
        if self._frames[-1].kind != kind:
            raise ShellUnreadable("an unexpected end")
        self._frames.pop()
        self._frames[-1].is_simple = False

    def _mark(self, start: int, *, handled: bool = False, subshell: bool = False) -> None:
        """Add properties to the last commands, from a position on."""
        for position, command in enumerate(self._commands[start:], start):
            # Nested compound commands mark their commands again and again.
            if (handled and not command.handled) or (subshell and not command.subshell):
                self._commands[position] = replace(
                    command, handled=command.handled or handled, subshell=command.subshell or subshell
                )
