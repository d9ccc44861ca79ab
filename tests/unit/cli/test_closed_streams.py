"""Commands whose standard streams are closed by the caller: they do their work all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = (sys.executable, "-c", "from mirror.cli import main; main()")


def ended(closing: str, arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line with closed streams, such as `>&-`, in a folder."""
    shell = ("sh", "-c", f'exec "$@" {closing}', "sh")
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"}
    command = [*shell, *PROGRAM, *arguments.split()]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("closing", "arguments", "code", "told"),
    [
        (">&-", "version", 0, ""),
        (">&-", "--help", 0, ""),
        ("<&- >&- 2>&-", "bundle --help", 0, ""),
        (">&-", "config check --json", 0, ""),
        ("2>&-", "ls -d nosuch", 2, ""),
        ("2>&-", "ls --nosuch", 2, ""),
        ("<&-", "user add zed -d data", 2, "fix: use --password-stdin"),
        ("<&-", "rm acme/driver:1 -d data", 2, "fix: "),
    ],
)
def test_a_closed_stream_leads_nowhere(closing: str, arguments: str, code: int, told: str, tmp_path: Path) -> None:
    done = ended(closing, arguments, tmp_path)
    assert "Traceback" not in done.stderr
    assert told in done.stderr
    assert (done.returncode, done.stdout) == (code, "")


def test_no_file_of_the_program_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    ended("", "user ls -d data", tmp_path)
    script = "from mirror.cli import command_line; import os; command_line._open_streams(); print(os.open('f', 66) > 2)"
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "True\n"
