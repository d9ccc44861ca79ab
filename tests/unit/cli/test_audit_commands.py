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
from mirror.records.changes.change import Change, ChangeKind
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


def test_a_pipe_gets_whole_digests(tmp_path: Path, data: str, capsys: Captured) -> None:
    work(tmp_path)
    assert run(["audit", "show", "--json", data]) == 0
    digests = {entry["after"] for entry in json.loads(capsys.readouterr().out) if entry.get("after")}
    assert run(["audit", "show", data]) == 0
    told = capsys.readouterr().out
    assert digests
    assert all(digest in told for digest in digests)


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


@pytest.mark.parametrize(
    ("when", "shown"),
    [
        ("9999d", 2),
        ("30m", 2),
        ("2020-01-01", 2),
        ("2020-01-01T12:00", 2),
        ("2020-01-01T12:00:00Z", 2),
        ("2020-01-01 12:00:00+02:00", 2),
        ("2999-12-31T23:59:59-05:00", 0),
    ],
)
def test_forms_of_a_time(tmp_path: Path, data: str, capsys: Captured, when: str, shown: int) -> None:
    work(tmp_path)
    assert run(["audit", "show", "--json", "--kind", "tag", "--since", when, data]) == 0
    assert len(json.loads(capsys.readouterr().out)) == shown


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "", "7d\x1b[31m"])
def test_a_time_that_no_clock_shows_is_one_line(tmp_path: Path, data: str, capsys: Captured, when: str) -> None:
    work(tmp_path)
    assert run(["audit", "show", "--since", when, data]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --since: ")
    assert told.removesuffix("\n").isprintable()


NAME = "a\x1b[31m\nb\r\x00\x9b2J\u202e\ud800" + "x" * 100_000


@pytest.mark.parametrize(
    "entry",
    [
        {"seq": 4, "at": NAME, "kind": NAME, "subject": NAME, "actor": {"name": NAME, "address": NAME}},
        {"seq": 4, "before": NAME, "after": NAME, "rule": NAME, "reason": NAME, "detail": {NAME: NAME, "by": [1]}},
        {"seq": 4, "at": 7, "kind": [], "subject": {}, "actor": "anna", "detail": [], "before": {}, "after": 1},
        {"seq": 10**30, "actor": {"name": {}, "kind": []}},
        [1],
        "text",
    ],
)
def test_whatever_is_in_the_files_a_terminal_obeys_none_of_it(
    tmp_path: Path, data: str, capsys: Captured, entry: object
) -> None:
    work(tmp_path)
    (path,) = audit_files(settings_in(tmp_path)).paths()
    with path.open("ab") as file:
        file.write(json.dumps(entry).encode() + b"\n")
    for flags in ([], ["--who", "anna"], ["--about", "x"], ["--since", "1d"], ["--kind", "tag"]):
        assert run(["audit", "show", *flags, data]) == 0
        told = capsys.readouterr()
        assert all(line.isprintable() for line in told.out.splitlines())
        assert "Traceback" not in told.err
    assert run(["audit", "show", "--json", data]) == 0
    told_json = capsys.readouterr().out
    assert "\x1b" not in told_json
    assert len(json.loads(told_json)) == 4
    run(["audit", "verify", data])
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_a_thousand_and_more_changes_that_wait_are_all_shown_without_a_place(
    tmp_path: Path, data: str, capsys: Captured
) -> None:
    work(tmp_path)

    async def refuse() -> None:
        async with open_store(settings_in(tmp_path)) as store:
            await asyncio.gather(
                *(store.records.changes.note(Change(ChangeKind.REFUSED, f"try {number}")) for number in range(1001))
            )

    asyncio.run(refuse())
    assert run(["audit", "show", "--json", "--kind", "change.refused", data]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert {entry["subject"] for entry in entries} == {f"try {number}" for number in range(1001)}
    assert not any(entry.keys() & {"seq", "prev"} for entry in entries)


def test_old_files_that_somebody_removed_are_exit_code_1(tmp_path: Path, data: str, capsys: Captured) -> None:
    work(tmp_path)
    files = audit_files(settings_in(tmp_path))
    (path,) = files.paths()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[1:]))
    assert run(["audit", "verify", data]) == 1
    assert "the begin is missing: the files have no entry 1" in capsys.readouterr().out


def test_a_restored_backup_goes_on_with_the_files_that_are_there(tmp_path: Path, data: str, capsys: Captured) -> None:
    work(tmp_path)
    assert run(["backup", str(tmp_path / "backup"), data]) == 0
    work(tmp_path)  # the files have more than the backup, with numbers of changes that come again
    work(tmp_path)
    (tmp_path / "data").rename(tmp_path / "lost")
    (tmp_path / "data").mkdir()
    for name in ("audit", "audit.key"):
        (tmp_path / "lost" / name).rename(tmp_path / "data" / name)
    assert run(["restore", str(tmp_path / "backup"), data]) == 0

    def shown() -> list[str]:
        capsys.readouterr()
        assert run(["audit", "show", "--json", "--kind", "tag.moved", data]) == 0
        return [entry["subject"] for entry in json.loads(capsys.readouterr().out)]

    before = len(shown())
    work(tmp_path)
    assert len(shown()) == before + 2
    assert run(["audit", "verify", data]) == 0
    assert run(["audit", "show", "--json", "--kind", "catalog", data]) == 0
    (restored,) = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert (restored["kind"], restored["reason"]) == ("catalog.restored", f"from {tmp_path / 'backup'}")
    assert restored["actor"]["kind"] == "command"


def test_without_audit_nothing_is_recorded(tmp_path: Path, data: str, capsys: Captured) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("audit: {enabled: false}\n")
    work(tmp_path)
    capsys.readouterr()
    assert run(["pin", f"{REPOSITORY}:1.0", "--config", str(config), data]) == 0
    assert run(["audit", "show", "--kind", "tag.pinned", data]) == 0
    assert "no entry of the audit matches" in capsys.readouterr().err
