"""Output and exit codes of ``backup``, ``restore`` and ``recover``."""

import asyncio
import json
from pathlib import Path

import pytest

from mirror.cli.command_line import run
from mirror.store.registry import Store
from tests.support.builders import push_image


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with one image, in the working directory."""
    monkeypatch.chdir(tmp_path)

    async def fill() -> None:
        async with Store.open(tmp_path / "data") as store:
            await push_image(store, "one", "1.0")

    asyncio.run(fill())
    return tmp_path / "data"


def lose_a_blob(data: Path) -> str:
    lost = min(path for path in (data / "blobs").rglob("*") if path.is_file())
    lost.unlink()
    return f"sha256:{lost.name}"


def test_a_backup_says_what_it_copied(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    assert run(["backup", "b"]) == 0
    out, err = capsys.readouterr()
    assert f"b: backup 1 of {data}, 3 blobs" in out
    assert "warning: b is on the file system of the data folder, and is lost with it; fix: copy it elsewhere" in err
    assert run(["backup", "b"]) == 0
    assert "blobs: nothing new, 3 were there" in capsys.readouterr().out


def test_a_hard_linked_backup_says_that_it_dies_with_the_disk(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backup", "b", "--hard-link"]) == 0
    assert "it is a snapshot that is lost with the disk" in capsys.readouterr().err


def test_lost_content_is_exit_code_1(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    lost = lose_a_blob(data)
    assert run(["backup", "b", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["damaged"] == {lost: "its file is missing"}
    assert "fix: run 'plugin-mirror scrub'" in err
    assert run(["restore", "b", "--data", "r", "--json"]) == 1
    assert list(json.loads(capsys.readouterr().out)["damaged"]) == [lost]


def test_a_restore_says_of_when_the_backup_is(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    run(["backup", "b"])
    capsys.readouterr()
    assert run(["restore", "b", "--data", "r"]) == 0
    assert capsys.readouterr().out.startswith(f"restored r: {data} as of 20")
    assert run(["restore", "b", "--data", "r"]) == 2
    assert "r is not empty" in capsys.readouterr().err


def test_a_wrong_source_or_data_folder_is_exit_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, told in (
        (["restore", "absent"], "there is no backup absent"),
        (["restore", "empty", "--data", "r"], "holds no complete backup"),
        (["backup", "b", "--data", "absent"], "no data folder absent"),
        (["backup", "b", "--data", "empty"], "empty holds no store; fix: set --data, or mount the disk"),
        (["backup", "-", "--hard-link"], "need a folder"),
    ):
        assert run(arguments) == 2
        assert told in capsys.readouterr().err
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_recovery_says_what_cannot_be_known(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    assert run(["recover"]) == 0
    assert "is whole: nothing was changed" in capsys.readouterr().out
    (data / "catalog.sqlite").unlink()
    assert run(["recover", "--dry-run"]) == 0
    assert "would rebuild the catalog: 1 repository, 1 tag" in capsys.readouterr().out
    assert run(["recover", "--json", "--repository", "found/again"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rebuilt"]
    assert told["names_of"] is None
    assert [name.partition(":")[0] for name in told["recovered"]] == ["found/again"]
    assert run(["ls"]) == 0
    assert "found/again" in capsys.readouterr().out


def test_the_last_backup_is_recorded(data: Path, tmp_path: Path) -> None:
    run(["backup", "b"])

    async def last() -> object:
        async with Store.open(data) as store:
            return await store.records.backups.last_backup()

    found = asyncio.run(last())
    assert found is not None
    assert (found.target, found.blobs, found.damaged) == (str(tmp_path / "b"), 3, 0)


def test_stats_show_the_last_backup(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(["backup", "b"])
    capsys.readouterr()
    assert run(["stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backup"]["target"] == str(tmp_path / "b")
