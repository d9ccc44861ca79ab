"""Each `plugin-mirror` command in a page exists, and so do its options, also where no test can run it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer

from mirror.cli.start.lazy_commands import LazyGroup
from mirror.cli.start.root_group import root_group
from tests.docs.blocks import ROOT, Block, blocks

PAGES = [
    str(page.relative_to(ROOT))
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
]
PROGRAM = "plugin-mirror"
#: Characters of the words that end a command of the shell.
ENDS = set("|&;<>()\n")
#: Kinds of blocks: of commands, of sessions, and those without a command.
KINDS = {"sh", "console", "text", "yaml", "json", "nginx", "ini", "dockerfile", "promql"}


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>()\n")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    return list(lexer)


def _calls(block: Block) -> Iterator[list[str]]:
    """Yield the arguments of each call of the program in a block."""
    for command in block.commands():
        words = _words(re.sub(r"<<-?'?(\w+)'?.*\1", "", command, flags=re.DOTALL))
        for place, word in enumerate(words):
            before = words[place - 1] if place else ";"
            if word != PROGRAM or not (set(before) <= ENDS or before in {"sudo", "do", "exec"} or "=" in before):
                continue
            rest = words[place + 1 :]
            yield rest[: next((n for n, other in enumerate(rest) if set(other) <= ENDS), len(rest))]


def _command(words: Sequence[str]) -> tuple[Any, list[str]]:
    """Return a command and the words behind its name."""
    found: Any = root_group()
    rest = list(words)
    while isinstance(found, LazyGroup):
        while rest and rest[0].startswith("-"):
            del rest[0]
        assert rest, f"{words} names no command"
        assert rest[0] in found.commands, f"there is no command {rest[0]}"
        found = found.commands[rest.pop(0)]
    return found.load(), rest


CALLS = [(str(block), words) for page in PAGES for block in blocks(page) for words in _calls(block)]


def test_there_are_commands_to_check() -> None:
    assert len(CALLS) > 80


@pytest.mark.parametrize(("place", "words"), CALLS, ids=[f"{place} {' '.join(words[:2])}" for place, words in CALLS])
def test_the_command_and_its_options_exist(place: str, words: list[str]) -> None:
    command, rest = _command(words)
    # Raises a UsageError for an option that does not exist.
    given, left_over, _ = command.make_parser(typer.Context(command)).parse_args(rest)
    assert left_over == []
    needed = {parameter.name for parameter in command.params if parameter.required}
    assert {name for name in needed if not given.get(name)} == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page == "README.md" or page.startswith("docs/guides/")])
def test_each_block_says_if_it_has_commands(page: str) -> None:
    assert {str(block): block.kind for block in blocks(page) if block.kind not in KINDS} == {}
