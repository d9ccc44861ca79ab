"""Simple commands of shell scripts, and the conditions under which they are reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.startup.shell_commands import ShellCommand
from mirror.plugin.startup.shell_parser import read_commands


def shown(command: ShellCommand) -> str:
    """Return a command with marks: ``?`` tested, ``!`` handled, ``&`` in another process, ``name:`` in a function."""
    marks = "?" * (command.guards is not None) + "!" * command.handled + "&" * command.subshell
    text = " ".join(word.source for word in command.words)
    return f"{f'{command.function}: ' if command.function else ''}{marks}{text}"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a; b\nc & d", ["a", "b", "&c", "d"]),
        ("a && b", ["a", "b"]),
        ("[ x ] && b; c", ["[ x ]", "?b", "c"]),
        ("a || b && c; d", ["!a", "?b", "?c", "d"]),
        ("a | b", ["&a", "&b"]),
        ("! a", ["!a"]),
        ("if a; then b; elif c; then d; else e; fi; f", ["!a", "?b", "?!c", "?d", "?e", "f"]),
        ("while true; do a; done", ["!true", "a"]),
        ("while [ true ]; do a; done", ["![ true ]", "a"]),
        ("while [ 1 -eq 1 ]; do a; done", ["![ 1 -eq 1 ]", "a"]),
        ("while [ $x ]; do a; done", ["![ $x ]", "?a"]),
        ("while test 1\ndo a; done", ["!test 1", "a"]),
        ("until a; do b; done", ["!a", "?b"]),
        ("for x in 1 2; do a; done", ["read x", "a"]),
        ("for x in $y; do a; done", ["read x", "?a"]),
        ("for x; do a; done", ["read x", "?a"]),
        ("for ((i = 0; i < 3; i++)); do a; done; b", ["?a", "b"]),
        ("case $x in a|b) c;; (*) d;& e) ;; esac; f", ["?c", "?d", "f"]),
        ("case x in\nesac\na", ["a"]),
        ("f() { a; }; f; b", ["f: a", "f", "b"]),
        ("function f { a; }\nfunction g()\n{\n b; }\nc", ["f: a", "g: b", "c"]),
        ("(a; b) && c", ["&a", "&b", "?c"]),
        ("{ a; } || { b; c; }", ["!a", "?b", "?c"]),
        ("a=$(b c) d", ["!&b c", "a=$(b c) d"]),
        ("echo `a`", ["!&a", "echo `a`"]),
        ("cat <<X\na $(b)\nX\nc", ["cat", "c"]),
        ("cat <<-'X' | b\n\tX\nc", ["&cat", "&b", "c"]),
        ("if [[ $a =~ ^(b|c)$ && d ]]; then e; fi", ["![[ $a =~ ^ b c $ d ]]", "?e"]),
        ("((x++)); a=(b c) d", ["(( ", "a= d"]),
        ("a >b 2>&1 </c d", ["a d"]),
        ("echo if then; a", ["echo if then", "a"]),
        ("while read x; do a; done <b; c", ["!read x", "?a", "", "c"]),
        ("a \\\n  b # c\nd", ["a b", "d"]),
        ("", []),
        ("# nothing", []),
    ],
)
def test_commands(script: str, expected: list[str]) -> None:
    found = read_commands(script)
    assert found is not None
    assert [shown(command) for command in found] == expected


@pytest.mark.parametrize(
    "script", ["if a; then b", "a; }", "done", "a )", "case x in a) b", "'", "f( x", "a >", "fi", "("]
)
def test_what_is_no_script(script: str) -> None:
    assert read_commands(script) is None


def test_guards_name_the_variables_that_are_tested() -> None:
    found = read_commands('if [ -n "$a" ]; then [ $b ] && c; fi; case $d in x) e;; esac')
    assert found is not None
    assert {shown(one): one.guards for one in found if one.guards} == {
        "?[ $b ]": {"a"},
        "?c": {"a", "b"},
        "?e": {"d"},
    }


def test_redirections() -> None:
    found = read_commands("echo a >/b 2>>c <d &>e >&2")
    assert found is not None
    assert [(operator, target.source) for operator, target in found[0].redirections] == [
        (">", "/b"),
        (">>", "c"),
        ("<", "d"),
        ("&>", "e"),
        (">&", "2"),
    ]


PIECES = st.sampled_from(
    ["a", " ", "\n", ";", "&", "|", "(", ")", "{", "}", "$", "`", "'", '"', "\\", "<", ">", "<<x", "if", "then", "fi",
     "while", "do", "done", "case", "in", "esac", ";;", "for", "$(", "${", "=", "[[", "]]", "((", "#", "f()", "!", "1"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=60).map(" ".join), st.lists(PIECES).map("".join)))
def test_any_text_is_read_or_not(text: str) -> None:
    read_commands(text)


@pytest.mark.parametrize(
    "part",
    ["(", "{ ", "$(", '"$(', "`", "a|", "a&&", "a||", "a&", "<<x\n", "a;", "'", '"', "if a;then ", "((", "$((", "${a:-",
     "f(){ ", "case a in a) ", "{ a;} ||", "a=$a", "$(a)", "! ", "[[ ", "\\\n", ">a "]
)  # fmt: skip
def test_the_cost_of_a_script_does_not_grow_faster_than_its_length(part: str) -> None:
    """A quadratic reader would need minutes for one of these scripts of 64 KiB."""
    read_commands((part * 65536)[:65536])
