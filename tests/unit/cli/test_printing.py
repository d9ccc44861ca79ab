"""Output for terminals and pipes."""

from __future__ import annotations

import io

from rich.console import Console

from mirror.cli.printing import wrapped

LINE = "  error: the folder sha256:0123456789abcdef0123456789abcdef is missing"


def test_prose_is_wrapped_for_a_terminal_and_its_words_stay_whole():
    terminal = Console(file=io.StringIO(), force_terminal=True, width=30)
    assert wrapped(terminal, LINE, 4).splitlines() == [
        "  error: the folder",
        "    sha256:0123456789abcdef0123456789abcdef",
        "    is missing",
    ]


def test_prose_is_one_line_in_a_pipe():
    assert wrapped(Console(file=io.StringIO(), width=30), LINE, 4) == LINE
