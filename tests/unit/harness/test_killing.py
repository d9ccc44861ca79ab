"""Killing a command at random points."""

import sys
from pathlib import Path

import pytest

from tests.harness.command import CommandFailedError
from tests.support.killing import kill_at_random_points

#: Writes ten lines, each durable in itself, and goes on after those that are there. Then gives the file its name.
COUNTING = """
import sys, time
from pathlib import Path
partial, whole = Path(sys.argv[1] + ".partial"), Path(sys.argv[1])
if not whole.exists():
    have = len(partial.read_text().splitlines()) if partial.exists() else 0
    with partial.open("a") as file:
        for number in range(have, 10):
            file.write(f"{number}\\n")
            file.flush()
            time.sleep(0.01)
    partial.rename(whole)
"""


def test_a_command_that_is_killed_goes_on_until_it_is_done(tmp_path: Path) -> None:
    whole = tmp_path / "counted"
    checks: list[bool] = []
    removals: list[Path] = []

    def check() -> None:
        checks.append(whole.exists())
        if whole.exists():
            assert len(whole.read_text().splitlines()) == 10

    def afresh() -> None:
        whole.unlink()
        removals.append(whole)

    done = kill_at_random_points(
        [sys.executable, "-c", COUNTING, str(whole)],
        kills=5,
        seed=1,
        check=check,
        afresh=afresh,
        begun=(tmp_path / "counted.partial").exists,
    )
    assert done.exit_code == 0
    assert checks.count(False) <= 5  # a kill may come after the file has its name
    assert checks[-1]
    assert removals
    assert whole.exists()


def test_what_is_wrong_after_a_kill_is_not_hidden(tmp_path: Path) -> None:
    whole = tmp_path / "written"
    # Writes to the final name, and therefore shows half of the file.
    writing = (
        "import sys, time, pathlib\n"
        "with open(sys.argv[1], 'w') as file:\n"
        "    for _ in range(10): file.write('.'); file.flush(); time.sleep(0.05)\n"
    )

    def check() -> None:
        assert not whole.exists() or len(whole.read_text()) == 10, "half of the file is visible"

    with pytest.raises(AssertionError, match="half of the file is visible"):
        kill_at_random_points(
            [sys.executable, "-c", writing, str(whole)],
            kills=20,
            seed=1,
            check=check,
            afresh=whole.unlink,
            begun=whole.exists,
        )


def test_a_command_that_fails_without_a_kill_is_reported() -> None:
    with pytest.raises(CommandFailedError, match="exit code 3"):
        kill_at_random_points(
            [sys.executable, "-c", "raise SystemExit(3)"], kills=1, seed=1, check=lambda: None, afresh=lambda: None
        )
