"""``user`` and ``token``."""

from __future__ import annotations

import io
import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.oci.timestamps import machine_time
from mirror.runtime.clock import SystemClock
from tests.harness.mirror import PROGRAM

PASSWORD = "the pass:word"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def with_password(password: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(password))
    return run([*arguments, "--password-stdin"])


@pytest.fixture
def anna(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_password(f"{PASSWORD}\n", "user", "add", "anna", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == ""


def listed(capsys: pytest.CaptureFixture[str], what: str) -> list[dict[str, object]]:
    assert run([what, "ls", "--json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.usefixtures("anna")
def test_a_user_is_listed_and_removed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (user,) = listed(capsys, "user")
    assert (user["name"], user["tokens"]) == ("anna", 0)
    created_at = datetime.fromisoformat(str(user["created_at"]))
    assert machine_time(created_at) == user["created_at"]
    monkeypatch.setattr(SystemClock, "now", lambda _: created_at + timedelta(hours=3))
    assert run(["user", "ls"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["anna", "3", "h", "ago", "0"]
    assert run(["user", "rm", "anna"]) == 0
    assert run(["user", "rm", "anna"]) == 1
    assert "there is no user anna" in capsys.readouterr().err
    assert run(["user", "rm", "\udcff"]) == 2
    assert capsys.readouterr().err.startswith("error: '\\udcff' is not a user's name; fix: ")
    assert listed(capsys, "user") == []


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    ("arguments", "password", "code", "said"),
    [
        (["user", "add", "anna"], PASSWORD, 1, "there is a user anna already"),
        (["user", "add", "bob"], "short", 2, "at least 8 characters"),
        (["user", "add", "bob"], "", 2, "at least 8 characters"),
        (["user", "add", "Bob"], PASSWORD, 2, "'Bob' is not a user's name"),
        (["user", "add", "a:b"], PASSWORD, 2, "'a:b' is not a user's name"),
        (["user", "password", "bob"], PASSWORD, 1, "there is no user bob"),
    ],
)
def test_what_is_refused_is_said_in_one_line(
    arguments: list[str],
    password: str,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert with_password(password, *arguments, monkeypatch=monkeypatch) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert password not in line or not password


def test_a_password_is_asked_for_only_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD))
    assert run(["user", "add", "anna"]) == 2
    assert "--password-stdin" in capsys.readouterr().err


@pytest.mark.parametrize(("again", "code"), [(PASSWORD, 0), ("another word", None)])
def test_a_terminal_is_asked_twice_and_shows_nothing(again: str, code: int | None) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([PROGRAM, "user", "add", "anna"], stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = _answer(ours, b"Password: ", PASSWORD)
        shown += _answer(ours, b"Repeat the password: ", again)
        if code is None:
            shown += _read_until(ours, b"Password: ")  # asked anew
            process.terminate()
        else:
            shown += _read_until(ours, b"may log in")
            assert process.wait(60) == code
            with closing(sqlite3.connect("data/catalog.sqlite")) as catalog:
                (row,) = catalog.execute("select password_hash from users")
            assert row[0].startswith("$2b$12$")  # the cost that tests lower for themselves
    os.close(ours)
    assert PASSWORD.encode() not in shown


def _answer(terminal: int, prompt: bytes, answer: str) -> bytes:
    shown = _read_until(terminal, prompt)
    os.write(terminal, answer.encode() + b"\n")
    return shown


def _read_until(terminal: int, wanted: bytes) -> bytes:
    shown = b""
    while wanted not in shown:
        shown += os.read(terminal, 1024)
    return shown


def test_what_is_easily_overlooked_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_password(PASSWORD, "user", "add", "anna", monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().err
    assert "anonymous callers may push" in told
    assert "no rule under access: names anna" in told
    Path("c.yaml").write_text(
        "server: {anonymous: [pull]}\naccess: [{users: [bob], repositories: ['**'], actions: [push]}]"
    )
    assert with_password(PASSWORD, "user", "add", "bob", "--config", "c.yaml", monkeypatch=monkeypatch) == 0
    assert "note" not in capsys.readouterr().err


@pytest.mark.usefixtures("anna")
def test_a_token_is_shown_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["token", "create", "anna", "--description", "[red]ci[/red]", "--expires", "90d"]) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("pmt_")
    assert len(secret) > 40
    (token,) = listed(capsys, "token")
    assert token["description"] == "[red]ci[/red]"
    assert token["user"] == "anna"
    created_at, expires_at = (datetime.fromisoformat(str(token[key])) for key in ("created_at", "expires_at"))
    assert (machine_time(created_at), machine_time(expires_at)) == (token["created_at"], token["expires_at"])
    assert expires_at - created_at == timedelta(days=90)
    monkeypatch.setattr(SystemClock, "now", lambda _: created_at + timedelta(days=3))
    assert run(["token", "ls"]) == 0
    shown = capsys.readouterr().out
    assert "  3 d ago  in 87 d  " in shown
    assert "[red]ci[/red]" in shown
    assert secret not in shown
    assert secret.encode() not in b"".join(path.read_bytes() for path in Path("data").glob("catalog.sqlite*"))
    assert run(["token", "revoke", str(token["id"])]) == 0
    assert run(["token", "revoke", str(token["id"])]) == 1
    assert listed(capsys, "token") == []


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["bob"], 1), (["anna", "--expires", "soon"], 2), (["anna", "--expires", "99999d"], 2)],
)
def test_tokens_that_are_not_made(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "create", *arguments]) == code
    assert capsys.readouterr().out == ""


def test_only_adding_makes_a_data_folder(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["user", "ls"], ["token", "ls"], ["user", "rm", "anna"], ["token", "create", "anna"]):
        assert run(command) == 2
        assert "no data folder" in capsys.readouterr().err
