"""``audit``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mirror.app.events.audit_keeping import _services, audit_files
from mirror.app.services import open_store
from mirror.cli.command_line import run
from mirror.events.audit_writer import AuditWriter
from mirror.settings import Settings, load
from tests.support.builders import REPOSITORY, push_image

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def data(tmp_path: Path) -> str:
    return f"--data={tmp_path / 'data'}"


def settings_in(tmp_path: Path) -> Settings:
    return load(None, {"storage": {"path": tmp_path / "data"}})


def work(tmp_path: Path) -> None:
    """Push and move a tag, and write the audit of it as a server does."""

    async def push() -> None:
        settings = settings_in(tmp_path)
        async with open_store(settings) as store:
            await push_image(store, "one", "1.0")
            await push_image(store, "two", "1.0")
            writer = AuditWriter(await _services(settings, store))
            await writer.take()
            await writer.sign()

    asyncio.run(push())


def test_without_an_audit_one_line_says_how_to_get_one(tmp_path: Path, data: str, capsys: Captured) -> None:
    (tmp_path / "data").mkdir()
    assert run(["audit", "verify", data]) == 2
    assert capsys.readouterr().err.startswith("error: there is no audit yet; fix: start 'plugin-mirror serve'")
    assert run(["audit", "key", data]) == 2
    assert "fix: start 'plugin-mirror serve' once" in capsys.readouterr().err


def test_entries_are_shown_also_those_that_wait_for_the_server(tmp_path: Path, data: str, capsys: Captured) -> None:
    work(tmp_path)
    assert run(["pin", f"{REPOSITORY}:1.0", "--note", "kept", data]) == 0
    capsys.readouterr()
    assert run(["audit", "show", data]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["tag.created", "tag.moved", "audit.checkpoint", "tag.pinned"]
    assert f"{REPOSITORY}:1.0  sha256:" in lines[1]
    assert " -> sha256:" in lines[1]
    assert lines[3].endswith("reason: kept")


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["--kind", "tag.moved"], ["tag.moved"]),
        (["--kind", "tag"], ["tag.created", "tag.moved"]),
        (["--kind", "ta"], []),
        (["--who", "server"], ["tag.created", "tag.moved"]),
        (["--who", "anna"], []),
        (["--since", "1h", "--kind", "tag"], ["tag.created", "tag.moved"]),
        (["--since", "2999-01-01"], []),
        (["--about", f"{REPOSITORY}:1.0"], ["tag.created", "tag.moved"]),
    ],
)
def test_entries_are_chosen(tmp_path: Path, data: str, capsys: Captured, flags: list[str], shown: list[str]) -> None:
    work(tmp_path)
    assert run(["audit", "show", "--json", *flags, data]) == 0
    assert [entry["kind"] for entry in json.loads(capsys.readouterr().out)] == shown


@pytest.mark.parametrize("when", ["yesterday", "7", "99999999999d", "-3d"])
def test_a_wrong_time_is_one_line(tmp_path: Path, data: str, capsys: Captured, when: str) -> None:
    work(tmp_path)
    assert run(["audit", "show", f"--since={when}", data]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: --since: ")
    assert len(told.err.splitlines()) == 1


def test_a_whole_audit(tmp_path: Path, data: str, capsys: Captured) -> None:
    work(tmp_path)
    assert run(["audit", "key", data]) == 0
    key = tmp_path / "audit.pub"
    key.write_text(capsys.readouterr().out)
    assert run(["audit", "verify", "--key", str(key), "--json", data]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["whole"], told["entries"], told["checkpoints"], told["problems"]) == (True, 3, 1, [])
    assert run(["audit", "verify", "--checkpoint", told["end"], data]) == 0
    assert "the audit is whole: 3 lines from " in capsys.readouterr().out


def test_what_was_done_to_the_files_is_exit_code_1(tmp_path: Path, data: str, capsys: Captured) -> None:
    work(tmp_path)
    (path,) = audit_files(settings_in(tmp_path)).paths()
    path.write_bytes(path.read_bytes().replace(REPOSITORY.name.encode(), b"other/name", 1))
    assert run(["audit", "verify", data]) == 1
    told = capsys.readouterr().out
    assert "audit.jsonl, line 2 does not continue entry 1: one of the two was changed" in told
    assert "the audit IS NOT WHOLE" in told


@pytest.mark.parametrize("wrong", ["7", "7:abc", "x:" + "0" * 64, ""])
def test_a_wrong_checkpoint_is_one_line(tmp_path: Path, data: str, capsys: Captured, wrong: str) -> None:
    work(tmp_path)
    assert run(["audit", "verify", f"--checkpoint={wrong}", data]) == 2
    assert capsys.readouterr().err.startswith("error: --checkpoint: ")


def test_without_audit_nothing_is_recorded(tmp_path: Path, data: str, capsys: Captured) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("audit: {enabled: false}\n")
    work(tmp_path)
    capsys.readouterr()
    assert run(["pin", f"{REPOSITORY}:1.0", "--config", str(config), data]) == 0
    assert run(["audit", "show", "--kind", "tag.pinned", data]) == 0
    assert "no entry of the audit matches" in capsys.readouterr().err
