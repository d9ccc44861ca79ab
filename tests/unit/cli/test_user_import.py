"""``user import``."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import bcrypt
import pytest

from mirror.cli.command_line import run


def _hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")  # as htpasswd -B


ANNAS, BENS, OTHER = _hashed("anna's password"), _hashed("ben's password"), _hashed("another password")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def imported(text: str, *options: str) -> int:
    Path("htpasswd").write_text(text)
    return run(["user", "import", "htpasswd", *options])


def stored() -> dict[str, str]:
    with closing(sqlite3.connect("data/catalog.sqlite")) as catalog:
        return dict(catalog.execute("select name, password_hash from users").fetchall())


def test_users_are_stored_with_their_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(f"anna:{ANNAS}\nben:{BENS}\n") == 0
    assert capsys.readouterr().err == "2 users added, 0 replaced\n"
    assert stored() == {"anna": ANNAS, "ben": BENS}


def test_a_file_of_another_system_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(f"\ufeffanna:{ANNAS}\r\n# a comment\r\n\r\nben:{BENS}") == 0
    assert capsys.readouterr().err == "2 users added, 0 replaced\n"
    assert stored() == {"anna": ANNAS, "ben": BENS}


def test_nobody_is_imported_if_one_line_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(f"anna:{ANNAS}\nben:{{SHA}}VBPuJHI7uixaa6LQGWx4s+5GKNE=\nCarl:{BENS}\n") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "htpasswd:2: the hash of ben is a SHA-1 hash" in first
    assert "htpasswd:3: 'Carl' is not a user's name" in second
    assert not Path("data").exists()


def test_a_user_who_exists_is_replaced_only_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(f"anna:{ANNAS}\n") == 0
    assert run(["token", "create", "anna"]) == 0
    capsys.readouterr()
    assert imported(f"ben:{BENS}\nanna:{OTHER}\n") == 1
    assert "there is a user anna already, so no user is imported; fix: --replace" in capsys.readouterr().err
    assert stored() == {"anna": ANNAS}
    assert imported(f"ben:{BENS}\nanna:{OTHER}\n", "--replace") == 0
    assert capsys.readouterr().err == "1 user added, 1 replaced\n"
    assert stored() == {"anna": OTHER, "ben": BENS}
    assert run(["user", "ls", "--json"]) == 0
    assert [user["tokens"] for user in json.loads(capsys.readouterr().out)] == [1, 0]


def test_a_password_can_be_changed_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    assert imported(f"anna:{ANNAS}\n") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("a new password\n"))
    assert run(["user", "password", "anna", "--password-stdin"]) == 0
    assert stored()["anna"] != ANNAS


@pytest.mark.parametrize(
    ("content", "problem"), [(b"anna:\xff", "cannot be read"), (b"#" * 5_000_000, "the file is larger than")]
)
def test_a_file_that_is_none_is_one_clear_line(
    content: bytes, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("htpasswd").write_bytes(content)
    assert run(["user", "import", "htpasswd"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
