"""``scrub``: what is printed, and the exit codes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.cli.terminal.output import Output
from mirror.oci import Manifest
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_image
from tests.support.damage import file_of, flip_a_bit


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def filled(data: Path, *tags: str) -> Manifest:
    """Store an image in the data folder."""

    async def fill() -> Manifest:
        async with Store.open(data) as store:
            return await push_image(store, "one", *tags)

    return asyncio.run(fill())


def test_whole_content_is_told_in_a_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(data, "1")
    assert run(["scrub", "--data", str(data)]) == 0
    assert capsys.readouterr().out == "3 files read, 408 B; nothing is damaged\n"


def test_damage_is_told_with_the_tags_that_it_breaks(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = filled(data, *(f"{number:02}" for number in range(12))).layers[0].digest
    flip_a_bit(file_of(data, digest))
    assert run(["scrub", "--data", str(data)]) == 1
    told = capsys.readouterr().out
    assert f"{digest}\n  damaged: the bytes have another digest\n" in told
    assert f"{REPOSITORY}:09 and 2 more\n" in told
    assert run(["scrub", "--json", "--data", str(data)]) == 1
    (damaged,) = json.loads(capsys.readouterr().out)["damaged"]
    assert (damaged["digest"], len(damaged["tags"]), damaged["healed_from"]) == (str(digest), 12, None)


def test_lines_fit_a_terminal(data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(Output, "is_terminal", True)
    flip_a_bit(file_of(data, filled(data, *(f"a-long-tag-{number}" for number in range(9))).layers[0].digest))
    run(["scrub", "--data", str(data)])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("rate", ["fast", "0", "-1MB/s", "10 MB/h"])
def test_a_wrong_rate_is_wrong_usage(data: Path, capsys: pytest.CaptureFixture[str], rate: str) -> None:
    assert run(["scrub", "--rate", rate, "--data", str(data)]) == 2
    assert "fix: write a rate such as 20MB/s" in capsys.readouterr().err


def test_a_missing_data_folder_is_wrong_usage(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scrub", "--data", str(data)]) == 2
    assert not data.exists()
    assert "no data folder" in capsys.readouterr().err
