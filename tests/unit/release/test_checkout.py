"""Files of the checkout that a release takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.release import checkout


def test_ignored_files_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "checkout"
    for name in ("deploy/unit", "deploy/new", "deploy/secrets/password", "deploy/release/program", "README"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / ".gitignore").write_text("secrets/\n")
    subprocess.run(["git", "init", "-q", root], check=True)
    subprocess.run(["git", "-C", root, "add", "deploy/unit", "README"], check=True)
    monkeypatch.setattr(checkout, "ROOT", root)
    checkout.copy_files("deploy", tmp_path / "copy/deploy", without="deploy/release")
    checkout.copy_files("README", tmp_path / "copy/README")
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert copied == {"deploy/unit", "deploy/new", "README"}
    assert (tmp_path / "copy/README").read_text() == "README"


def test_a_folder_without_git_is_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    with pytest.raises(checkout.ReleaseError, match="git ls-files"):
        checkout.copy_files("deploy", tmp_path / "copy")
