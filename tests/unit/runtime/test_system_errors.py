"""Advice for errors of the system."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mirror.runtime.system_errors import how_to_fix


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "free some space on the disk of {folder}, and repeat"),
        (errno.EDQUOT, "free some space on the disk of {folder}, and repeat"),
        (errno.EROFS, "mount the disk of {folder} for writing, or choose another place"),
        (errno.EACCES, "run as its owner: sudo -u root …, or give this user access"),
        (errno.EISDIR, "name a file, because {folder}/f is a folder"),
        (errno.EEXIST, "choose another name"),
        (errno.EMFILE, "raise the limit of open files (ulimit -n)"),
        (errno.EIO, "check the disk of {folder}: its log is in dmesg"),
        (errno.EFBIG, "write smaller files, which the file system of the drive can hold"),
        (errno.ENOENT, "correct the path"),
    ],
)
def test_each_error_has_its_advice(number: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pwd.getpwuid", lambda _: type("User", (), {"pw_name": "root"}))
    fix = how_to_fix(OSError(number, "what the system says"), tmp_path / "f")
    assert fix == told.replace("{folder}", str(tmp_path))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "absent/f"))
    assert how_to_fix(error) == f"create the folder {tmp_path}/absent, or correct the path"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EPERM, 9999])
def test_an_error_without_a_path_has_advice_too(number: int) -> None:
    assert how_to_fix(OSError(number, "what the system says"))
