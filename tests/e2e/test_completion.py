"""Completion of commands and options in bash, zsh and fish themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

PROGRAM = Path(sys.executable).with_name("plugin-mirror")
#: Each shell runs these lines in a folder with its script, and prints what would complete "plugin-mirror bundle exp".
SHELLS = {
    "bash": (
        "plugin-mirror",
        """
        source ./plugin-mirror
        COMP_WORDS=(plugin-mirror bundle exp); COMP_CWORD=2
        function=$(complete -p plugin-mirror | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function plugin-mirror exp bundle
        echo "${COMPREPLY[@]}"
        """,
    ),
    "zsh": (
        "plugin-mirror",
        """
        autoload -Uz compinit; compinit -u -D
        source ./plugin-mirror
        words=(plugin-mirror bundle exp); CURRENT=3
        _arguments() { print -r -- "$@" }
        $_comps[plugin-mirror]
        """,
    ),
    "zsh with a file in $fpath": (
        "_plugin-mirror",
        """
        fpath=($PWD $fpath)
        autoload -Uz compinit; compinit -u -D
        words=(plugin-mirror bundle exp); CURRENT=3
        _arguments() { print -r -- "$@" }
        $_comps[plugin-mirror]
        """,
    ),
    "fish": ("plugin-mirror.fish", "source plugin-mirror.fish; complete -C 'plugin-mirror bundle exp'"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands(shell: str, tmp_path: Path) -> None:
    program = shell.partition(" ")[0]
    require(None if shutil.which(program) else f"{program} is missing; install the package {program}")
    file, script = SHELLS[shell]
    written = subprocess.run([PROGRAM, "completion", program], capture_output=True, text=True, check=True)
    (tmp_path / file).write_text(written.stdout)
    environment = os.environ | {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    # Start-up files of the machine are not read.
    without = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[program]
    done = subprocess.run(
        [program, *without, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "export" in done.stdout
    assert done.stderr == ""
