"""``inspect --as`` and the install lines of ``inspect``, on a local store."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.oci import Repository
from mirror.store.registry import Store
from tests.support.builders import hold, index, plugin
from tests.support.layers import LAYER

HERE = Repository("grafana/loki-docker-driver")
CONFIG = json.dumps({"Interface": {"Types": ["docker.logdriver/1.0"], "Socket": "loki.sock"}}).encode()
PLUGIN = plugin(CONFIG, LAYER)
NAME, REFERENCE = f"{HERE}:3.2", f"127.0.0.1:5000/{HERE}:3.2"
COMMANDS = [
    f"docker plugin install {REFERENCE}",
    f"docker plugin install --alias loki {REFERENCE}",
    f"docker plugin install {REFERENCE}@{PLUGIN.digest}",
]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    async def fill() -> None:
        async with Store.open(tmp_path / "data") as opened:
            await hold(opened, HERE, [CONFIG, LAYER], [PLUGIN], "3.2")
            await hold(opened, HERE, [], [index(PLUGIN.descriptor)], "all")

    asyncio.run(fill())


def test_the_lines_are_printed_with_the_commands_that_use_the_driver(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", NAME, "--quick"]) == 0
    shown = capsys.readouterr().out
    assert shown[shown.index("Install with") :].splitlines() == [
        *("Install with", f"  {COMMANDS[0]}", ""),
        *("Or under a short name", f"  {COMMANDS[1]}", ""),
        *("Or pinned to this content", f"  {COMMANDS[2]}"),
        *("  engines 20.10 to 23.0.9 and 24.0 to 25.0.2 crash on a digest; fix: use a tag", ""),
        *("Use it with", f"  docker run --log-driver {REFERENCE} IMAGE", "  docker run --log-driver loki IMAGE"),
    ]


def test_json_has_all_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", NAME, "--quick", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["install"] == COMMANDS[0]
    assert [line["command"] for line in shown["install_lines"]] == COMMANDS
    assert shown["install_lines"][1] == {
        "kind": "alias",
        "command": COMMANDS[1],
        "driver": "loki",
        "uses": ["docker run --log-driver loki IMAGE"],
        "note": "",
    }


def test_a_format_is_alone_on_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", NAME, "--as", "docker"]) == 0
    shown = capsys.readouterr()
    assert (shown.out.splitlines(), shown.err[:6]) == (COMMANDS, "note: ")
    assert run(["inspect", NAME, "--as", "swarm"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["TaskTemplate"]["PluginSpec"]["Remote"] == REFERENCE
    assert "experimental: true" in shown.err
    assert run(["inspect", NAME, "--as", "script"]) == 0
    shown = capsys.readouterr()
    assert (shown.out[:10], shown.err) == ("#!/bin/sh\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["./folder", "--as", "docker"], 2, "no engine can install from it"),
        (["plugin.tar:acme/driver:1", "--as", "script"], 2, "no engine can install from it"),
        ([NAME, "--as", "swarm", "--json"], 2, "--as and --json are two formats"),
        ([NAME, "--as", "helm"], 2, "'helm' is not one of"),
        ([f"{HERE}:all", "--as", "script"], 1, "is an index, not a plugin; fix: use --as docker"),
    ],
)
def test_what_cannot_be_printed_is_told(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
