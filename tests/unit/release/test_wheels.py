"""Wheels of the locked packages: accepted by their hashes, and asked for once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from deploy.release import wheels
from deploy.release.checkout import ReleaseError
from deploy.release.wheels import Target, collect, release_lock

TARGET = Target("3.11")
CONTENT = {"one": b"wheel of one", "two": b"wheel of two"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the wheels of two locked packages. pip cannot download any."""
    lock = tmp_path / "requirements.lock"
    lines = [
        f"{name}==1 \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n" for name, content in CONTENT.items()
    ]
    lock.write_text("".join(lines))
    monkeypatch.setattr(wheels, "LOCK", lock)
    monkeypatch.setattr(wheels, "WHEELS", tmp_path)
    for name in ("PIP_CONFIG_FILE", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    made = tmp_path / "cp311-x86_64"
    made.mkdir()
    return made


def test_wheels_are_used_again(folder: Path) -> None:
    for name, content in CONTENT.items():
        (folder / f"{name}-1-py3-none-any.whl").write_bytes(content)
    (folder / "old-1-py3-none-any.whl").write_bytes(b"of an earlier lock")
    assert [path.name for path in collect(TARGET)] == ["one-1-py3-none-any.whl", "two-1-py3-none-any.whl"]
    assert not (folder / "old-1-py3-none-any.whl").exists()


def test_a_wheel_with_another_hash_is_not_used(folder: Path) -> None:
    (folder / "one-1-py3-none-any.whl").write_bytes(CONTENT["one"])
    (folder / "two-1-py3-none-any.whl").write_bytes(b"replaced")
    with pytest.raises(ReleaseError, match=r"the wheels for Python 3.11 on x86_64 cannot be downloaded: .*; fix: "):
        collect(TARGET)
    assert [path.name for path in folder.iterdir()] == ["one-1-py3-none-any.whl"]


def test_the_lock_of_a_release_has_the_release(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"the release")
    lock = release_lock(wheel)
    assert lock.startswith(wheels.LOCK.read_text())
    assert f"--hash=sha256:{hashlib.sha256(b'the release').hexdigest()}" in lock.rpartition("docker-plugin-mirror==")[2]
