"""``doctor`` on the command line: its output and exit codes, without an engine and without a data folder."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from mirror.cli.command_line import run
from mirror.cli.hosts.doctor_command import WaitingLine
from mirror.hosts.route import docker_files


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(docker_files, "DOCKER_FOLDER", tmp_path)
    monkeypatch.setattr("mirror.hosts.engine_address.DEFAULT_SOCKET", tmp_path / "no.sock")


@pytest.fixture
def closed() -> Iterator[str]:
    """Address of a port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_each_problem_has_its_fix_on_the_next_line(closed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--host", closed]) == 1
    told = capsys.readouterr()
    assert told.err == ""
    first, *lines, last = told.out.splitlines()
    assert first == f"the way of this host to {closed}"
    assert [line.split()[0] for line in lines] == ["unknown", "fix:", "problem", "fix:"]
    assert lines[2] == (
        f"  problem  tcp:        no connection to {closed} (Connection refused); engines say: "
        '"connect: connection refused"'
    )
    assert last == "1 problem"
    assert not Path("data").exists()


def test_json_is_for_programs(closed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", f"{closed}/acme/driver:1", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["host"], found["reference"], found["engine"]) == (closed, f"{closed}/acme/driver:1", None)
    assert (found["problems"], found["will_install"]) == (1, "no")
    assert [check["check"] for check in found["checks"]] == ["docker", "tcp", "engine"]


def test_the_configured_server_is_the_default(capsys: pytest.CaptureFixture[str], closed: str) -> None:
    Path("c.yaml").write_text(f"server: {{listen: '{closed}'}}")
    assert run(["doctor", "--config", "c.yaml"]) == 1
    assert capsys.readouterr().out.startswith(f"the way of this host to {closed}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["Upper/Case"], "is not a repository name"),
        (["--host", "a b"], "is not the address of a registry"),
        (["m:5000/a:1", "--host", "n:5000"], "leave out one of them"),
        (["--socket", "ssh://node"], "fix: use unix:///PATH or"),
    ],
)
def test_wrong_usage(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
def test_who_waits_sees_the_step_on_a_terminal_only(terminal: bool) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=80)
    with WaitingLine(console) as line:
        line.tell("reading [bold] layers")
        line.expect(2048)
        line.advance(1024)
    assert ("reading [bold] layers: 1.0 KiB of 2.0 KiB" in output.getvalue()) == terminal
