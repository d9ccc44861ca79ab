"""Output for terminals and pipes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mirror.cli import plugin_output
from mirror.cli.plugins import upgrade_output
from mirror.cli.printing import counted, wrapped
from mirror.cli.terminal.output import Output
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from mirror.plugin.policy.upgrade_plan import NotApplied, UpgradePlan
from tests.support.rootfs import config

LINE = "  error: the folder sha256:0123456789abcdef0123456789abcdef is missing"


def test_prose_is_wrapped_for_a_terminal_and_its_words_stay_whole():
    terminal = Output(console=Console(file=io.StringIO(), force_terminal=True, width=30))
    assert wrapped(terminal, LINE, 4).splitlines() == [
        "  error: the folder",
        "    sha256:0123456789abcdef0123456789abcdef",
        "    is missing",
    ]


def test_a_number_has_the_right_noun():
    assert [counted(number, "name") for number in (0, 1, 2)] == ["0 names", "1 name", "2 names"]


def test_prose_is_one_line_in_a_pipe():
    assert wrapped(Output(console=Console(file=io.StringIO(), width=30)), LINE, 4) == LINE


@pytest.mark.parametrize("terminal", [False, True])
def test_what_an_upgrade_does_not_apply_is_prose_and_its_commands_are_not(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
):
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=60, color_system=None, soft_wrap=True)
    monkeypatch.setattr(upgrade_output, "RESULTS", Output(console=console))
    command = "docker plugin upgrade --skip-remote-check disk:latest mirror.example:5000/acme/disk:2.0"
    change = NotApplied("device /dev/fuse", None, "/dev/fuse", "an upgrade keeps the devices of the old version")
    upgrade_output.print_upgrade(UpgradePlan("disk:latest", "acme/disk:2.0", (command,), (), (), (change,), ()))
    lines = output.getvalue().splitlines()
    assert f"  {command}" in lines
    told = "  device /dev/fuse is not added (new: '/dev/fuse'): an upgrade keeps the devices of the old version"
    assert (told in lines, "    upgrade keeps the devices of the old version" in lines) == (not terminal, terminal)


def test_no_reason_of_an_engine_is_wider_than_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=(output := io.StringIO()), force_terminal=True, width=60, soft_wrap=True, no_color=True)
    monkeypatch.setattr(plugin_output, "RESULTS", Output(console=terminal))
    mount = {"Name": "data", "Destination": "/data", "Type": "bind", "Source": None, "Settable": ["source"]}
    view = view_plugin(PluginContent(config(Mounts=[mount]), None))
    plugin_output.print_view(view)
    told = output.getvalue()
    assert "has no source" in told
    assert max(len(line) for line in told.splitlines()) <= 60
