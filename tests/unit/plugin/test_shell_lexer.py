"""Words of shell scripts, compared with a real shell."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.startup.shell_lexer import ShellLexer
from mirror.plugin.startup.shell_words import ShellUnreadable, ShellWord


def tokens(text: str) -> list[ShellWord | str]:
    lexer = ShellLexer(text)
    found = []
    while (token := lexer.next()) != "":
        found.append(token)
    return found


def literals(text: str) -> list[str | None]:
    return [token.literal if isinstance(token, ShellWord) else token for token in tokens(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\tc", ["a", "b", "c"]),
        ("a'b c'\"d e\"f", ["ab cd ef"]),
        ("a \\\n b", ["a", "b"]),
        ("a\\\nb", ["ab"]),
        ("a # b\nc#d", ["a", "\n", "c#d"]),
        ("a&&b||c;d&e|f", ["a", "&&", "b", "||", "c", ";", "d", "&", "e", "|", "f"]),
        ("a >>b 2>&1 &>c", ["a", ">>", "b", "2", ">&", "1", "&>", "c"]),
        ("'' \"\"", ["", ""]),
        ('"a\\"b\\c"', ['a"b\\c']),
        ("$x", [None]),
        ("a$", ["a$"]),
        ("$(a $(b ')') \"c)\") d", [None, "d"]),
        ('${a:-${b}} "${c:-it\'s}" d', [None, None, "d"]),
        ("$((1 + (2))) `a b` $'it\\'s' d", [None, None, None, "d"]),
        ("<(a b) c", [None, "c"]),
        ("$(case x in\n# it's (\nesac) d", [None, "d"]),
    ],
)
def test_words_and_operators(text: str, expected: list[str | None]) -> None:
    assert literals(text) == expected


@pytest.mark.parametrize("text", ["'a", '"a', "`a", "$(a", "${a", "$((1)", "$'a", '"$(a"', "$(" * 100 + ")" * 100])
def test_quotes_that_do_not_end(text: str) -> None:
    with pytest.raises(ShellUnreadable):
        tokens(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a", ("a", "", "")),
        ("${a}", ("a", "", "")),
        ("${a:-/b}", ("a", ":-", "/b")),
        ("${a:+'b c'}", ("a", ":+", "b c")),
        ("${a:-$b}", ("a", ":-", None)),
        ("$1", ("1", "", "")),
        ("$@", ("@", "", "")),
        ("${a%.*}", ("", "", "")),
    ],
)
def test_expansions(text: str, expected: tuple[str, str, str | None]) -> None:
    (word,) = tokens(text)
    assert isinstance(word, ShellWord)
    (piece,) = word.pieces
    assert (piece.variable, piece.operator, piece.alternative) == expected
    assert word.names <= {"a", "b", "1", "@"}


def test_lines_are_counted() -> None:
    found = [token for token in tokens("a 'b\n\n' c \\\n d\ne") if isinstance(token, ShellWord)]
    assert [(word.source, word.line) for word in found] == [("a", 1), ("'b\n\n'", 1), ("c", 3), ("d", 4), ("e", 5)]


QUOTED = st.text(st.sampled_from("ab '\"\\\n#\t"), max_size=12)


@given(QUOTED)
def test_words_are_those_of_a_real_shell(text: str) -> None:
    told = subprocess.run(["/bin/sh", "-c", f"printf '%s\\0' - {text}"], capture_output=True, text=True, check=False)
    try:
        found = literals(f"- {text}")
    except ShellUnreadable:
        # The shell takes the end of the text for the end of a quote in some places.
        return
    if "\n" not in found and told.returncode == 0:
        assert told.stdout.split("\0")[:-1] == found
