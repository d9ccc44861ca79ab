"""Reads the blocks of a page: commands in ``sh``, sessions in ``console``, and configurations in ``yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
#: A line of a session begins with the prompt of a user or of root, after the name of the machine.
_PROMPT = re.compile(r"^(?:[\w-]+)?[$#] +(?=\S)")
_HEREDOC = re.compile(r"<<-?'?(\w+)'?")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: path of the page below the repository.
        line: number of its first line.
        kind: word after the fence.
        text: the lines, without the indentation of the fence.
    """

    page: str
    line: int
    kind: str
    text: str

    def commands(self) -> list[str]:
        """Return the commands. One that goes on in further lines, as with a backslash, is one item."""
        if self.kind == "console":
            return list(_typed(self.text.splitlines()))
        return list(_joined(line for line in self.text.splitlines() if line.strip())) if self.kind == "sh" else []

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, in their order."""
    text = (ROOT / page).read_text()
    return [
        Block(
            page,
            text[: found.start()].count("\n") + 1,
            found["kind"],
            re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
        )
        for found in _FENCE.finditer(text)
    ]


def _typed(lines: list[str]) -> Iterator[str]:
    """Yield what a person has typed in a session. The other lines are the output."""
    rest = iter(lines)
    for line in rest:
        if not _PROMPT.match(line):
            continue
        command = _PROMPT.sub("", line)
        while _goes_on(command):
            command += f"\n{next(rest)}"
        yield command


def _joined(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        command = line
        while _goes_on(command):
            command += f"\n{next(lines)}"
        yield command


def _goes_on(command: str) -> bool:
    """Return True if the command needs a further line: a backslash, a pipe, a loop, or text up to a word."""
    if found := _HEREDOC.search(command):
        return command.splitlines()[-1] != found[1]
    if re.match(r"for .* do$", command.splitlines()[0]):
        return command.splitlines()[-1] != "done"
    return command.endswith(("\\", "|"))
