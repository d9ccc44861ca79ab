"""Files that other users of the machine must not read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.runtime.files.private_files import make_folder, open_file, tighten

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o007], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each of the common umasks."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make_file(path: Path) -> None:
    os.close(open_file(path, os.O_WRONLY | os.O_CREAT))


@pytest.mark.parametrize(
    ("around", "folder_mode", "file_mode"),
    [(0o700, 0o700, 0o600), (0o755, 0o700, 0o600), (0o770, 0o770, 0o660), (0o2775, 0o2770, 0o660)],
    ids=oct,
)
@pytest.mark.usefixtures("umask")
def test_what_is_made_is_for_the_owner_or_the_group(
    tmp_path: Path, around: int, folder_mode: int, file_mode: int
) -> None:
    tmp_path.chmod(around)
    folder = tmp_path / "folder"
    make_folder(folder)
    make_file(tmp_path / "file")
    make_file(folder / "file")
    make_folder(folder / "inner")

    assert (mode(folder), mode(folder / "inner")) == (folder_mode, folder_mode)
    assert (mode(tmp_path / "file"), mode(folder / "file")) == (file_mode, file_mode)


def test_what_exists_is_left_as_it_is(tmp_path: Path) -> None:
    for path in (tmp_path / "folder", tmp_path / "file"):
        path.mkdir() if path.name == "folder" else path.write_bytes(b"kept")
        path.chmod(0o751)
    make_folder(tmp_path / "folder")
    make_file(tmp_path / "file")

    assert [mode(tmp_path / name) for name in ("folder", "file")] == [0o751, 0o751]
    assert (tmp_path / "file").read_bytes() == b"kept"
    with pytest.raises(FileExistsError):
        open_file(tmp_path / "file", os.O_WRONLY | os.O_CREAT | os.O_EXCL)


@AS_ROOT
def test_root_leaves_what_it_makes_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    make_folder(tmp_path / "folder")
    make_file(tmp_path / "folder" / "file")

    for path in (tmp_path / "folder", tmp_path / "folder" / "file"):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


@AS_ROOT
def test_root_gives_nothing_away_that_a_link_leads_to(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    secret = tmp_path.parent / "secret"
    secret.write_bytes(b"")
    secret.chmod(0o600)
    (tmp_path / "link").symlink_to(secret)
    make_file(tmp_path / "link")

    assert (secret.stat().st_uid, mode(secret)) == (0, 0o600)


def old_folder(top: Path, top_mode: int = 0o755) -> list[Path]:
    """Create a data folder with the modes that early versions used. Returns its files."""
    files = [top / "blobs" / "sha256" / f"{number:02x}" / "content" for number in range(3)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"content")
    (top / "generation").write_bytes(b"")
    for path in [top, *top.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    top.chmod(top_mode)
    return [top, *top.rglob("*")]


def known(name: str) -> bool:
    return name in {"blobs", "generation"}


@pytest.mark.parametrize(
    ("top_mode", "folder_mode", "file_mode", "new_top"),
    [(0o755, 0o700, 0o600, 0o700), (0o2775, 0o750, 0o640, 0o2770)],
    ids=oct,
)
def test_what_others_could_read_is_tightened_once(
    tmp_path: Path, top_mode: int, folder_mode: int, file_mode: int, new_top: int
) -> None:
    paths = old_folder(tmp_path / "data", top_mode)

    assert tighten(tmp_path / "data", known) == len(paths)

    assert mode(tmp_path / "data") == new_top
    assert {mode(path) for path in paths[1:] if path.is_dir()} == {folder_mode}
    assert {mode(path) for path in paths if path.is_file()} == {file_mode}
    assert tighten(tmp_path / "data", known) == 0


def test_a_folder_that_keeps_others_out_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_folder(tmp_path / "data")
    tighten(tmp_path / "data", known)
    (tmp_path / "data" / "blobs" / "sha256" / "00" / "content").chmod(0o644)
    scanned: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(str(path)) or scandir(path))

    assert tighten(tmp_path / "data", known) == 0
    assert scanned == [str(tmp_path / "data")]


def test_one_that_was_interrupted_is_taken_in_hand_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = old_folder(tmp_path / "data")
    chmod, left = os.chmod, [2]

    def dying(path: str, mode: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        chmod(path, mode)

    with monkeypatch.context() as patched:
        patched.setattr(os, "chmod", dying)
        with pytest.raises(KeyboardInterrupt):
            tighten(tmp_path / "data", known)

    assert tighten(tmp_path / "data", known) == len(paths) - 2


def test_a_folder_with_another_use_keeps_its_rights(tmp_path: Path) -> None:
    paths = old_folder(tmp_path / "data")
    (tmp_path / "data" / "photographs").mkdir(mode=0o755)
    (tmp_path / "data" / "photographs").chmod(0o755)

    assert tighten(tmp_path / "data", known) == len(paths) - 1
    assert mode(tmp_path / "data") == mode(tmp_path / "data" / "photographs") == 0o755


def test_a_folder_that_everybody_works_in_keeps_its_rights(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o1777)

    assert tighten(tmp_path / "data", known) == 0
    assert mode(tmp_path / "data") == 0o1777


@AS_ROOT
def test_what_belongs_to_others_is_left_to_them(tmp_path: Path) -> None:
    paths = old_folder(tmp_path / "data")
    os.chown(tmp_path / "data" / "generation", 12345, 12345)
    assert tighten(tmp_path / "data", known) == len(paths) - 1
    assert mode(tmp_path / "data" / "generation") == 0o644

    os.chown(tmp_path / "data", 12345, 12345)
    (tmp_path / "data" / "blobs").chmod(0o755)
    assert tighten(tmp_path / "data", known) == 0


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere").chmod(0o755)
    (tmp_path / "data" / "blobs").symlink_to(tmp_path / "elsewhere")
    tighten(tmp_path / "data", known)

    assert mode(tmp_path / "elsewhere") == 0o755
