"""``host check`` on the command line: usage, exit codes and the width of its lines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mirror.cli import printing
from mirror.cli.command_line import run
from mirror.cli.hosts import check_output, host_check_command
from mirror.cli.terminal.output import Output
from mirror.hosts.checks.host_check import HostPrediction, Step, ok, problem
from mirror.hosts.checks.host_facts import HostFacts, RegistryAnswer
from mirror.hosts.checks.wanted_plugin import WantedPlugin
from mirror.hosts.engine_answers import read_info, read_version
from mirror.oci import Digest
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin

DIGEST = Digest.of(b"")
FACTS = HostFacts(
    read_version({"Version": "29.3.1", "ApiVersion": "1.52"}),
    read_info({"Name": "node\x1b1"}),
    (),
    RegistryAnswer(None),
)
WANTED = WantedPlugin(
    "mirror/x:1", "mirror/x:1", "mirror", "x:1", DIGEST, False, 1, view_plugin(PluginContent(None, None)), {}
)
PREDICTION = HostPrediction(
    (
        ok("name", "no plugin is named x:1"),
        problem("devices", Step.ENABLE, "[bold] /dev/fuse " + "is missing " * 9, "modprobe fuse"),
    )
)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["mirror:5000/x:1", "--socket", "ssh://node"], 2, "fix: use unix:///PATH or"),
        (["mirror:5000/x:1", "--socket", "/nope.sock"], 3, "no Docker Engine can be reached at /nope.sock"),
        (["mirror:5000/x:1", "--set", "key"], 2, "--set 'key' is not KEY=VALUE"),
        (["mirror:5000/x:1", "--alias", "Upper"], 2, "'Upper' is not a repository name"),
        (["mirror:5000/X:1"], 2, "'X' is not a repository name"),
    ],
)
def test_exit_codes(arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["host", "check", *arguments]) == code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_fit_a_terminal_and_are_whole_in_a_pipe(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    console = Console(
        file=output, force_terminal=terminal, color_system=None, width=80, highlight=False, soft_wrap=True
    )
    for module in (host_check_command, check_output, printing):
        monkeypatch.setattr(module, "RESULTS", Output(console=console))
    host_check_command._print(FACTS, WANTED, PREDICTION)
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    assert lines[0] == "mirror/x:1 on node?1 (Docker Engine 29.3.1)"
    assert lines[1] == "  ok       name:       no plugin is named x:1"
    assert lines[2].startswith("  problem  devices:    [bold] /dev/fuse is missing is")
    assert lines[-2:] == [
        "           fix: modprobe fuse",
        "will install: yes, will enable: no, will be found: no",
    ]
    assert (len(lines), max(map(len, lines)) <= 80) == ((7, True) if terminal else (5, False))


def test_json_has_the_predictions_and_each_check() -> None:
    found = host_check_command._as_json(FACTS, WANTED, PREDICTION)
    assert [found[f"will_{step}"] for step in ("install", "enable", "be_found")] == ["yes", "no", "no"]
    sound, missing = found["checks"]
    assert sound == {"check": "name", "outcome": "ok", "step": None, "text": "no plugin is named x:1", "fix": None}
    assert (missing["outcome"], missing["step"], missing["fix"]) == ("problem", "enable", "modprobe fuse")
