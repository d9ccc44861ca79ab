"""Output for terminals and pipes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mirror.cli import plugin_output
from mirror.cli.printing import wrapped
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from tests.support.rootfs import config

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


def test_no_reason_of_an_engine_is_wider_than_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=(output := io.StringIO()), force_terminal=True, width=60, soft_wrap=True, no_color=True)
    monkeypatch.setattr(plugin_output, "RESULTS", terminal)
    mount = {"Name": "data", "Destination": "/data", "Type": "bind", "Source": None, "Settable": ["source"]}
    view = view_plugin(PluginContent(config(Mounts=[mount]), None))
    plugin_output.print_view(view)
    told = output.getvalue().partition("Engines")[2]
    assert "has no source" in told
    assert max(len(line) for line in told.splitlines()) <= 60
