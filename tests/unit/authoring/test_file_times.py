"""Times of files that an engine unpacked, and of files that were made later."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mirror.authoring.capturing.file_times import FileTimes
from mirror.authoring.files.safe_files import open_folder


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The files of a plugin: unpacked first, then moved into the folder of the plugin, then changed."""
    unpacked = tmp_path / "unpacked"
    for name in ("untouched", "above"):
        (unpacked / name).mkdir(parents=True)
        os.utime(unpacked / name, (5, 5))
    await_tick(tmp_path)
    (tmp_path / "plugin").mkdir()
    root = unpacked.rename(tmp_path / "plugin/rootfs")
    await_tick(tmp_path)
    (root / "above/made").mkdir()
    (root / "restored").mkdir()
    os.utime(root / "restored", ns=(5, 5_000_000_005))
    return root


def await_tick(folder: Path) -> None:
    """Wait until a new file gets another time than the newest one: file systems count in ticks."""
    (folder / "before").touch()
    first = (folder / "before").lstat().st_mtime_ns
    while True:
        (folder / "after").touch()
        if (folder / "after").lstat().st_mtime_ns // 20_000_000 > first // 20_000_000:
            return


def test_what_was_unpacked_is_told_from_what_was_made(plugin: Path) -> None:
    root = open_folder(plugin)
    try:
        times = FileTimes(root)
        found = {path: times.made_here(path) for path in ("untouched", "above", "above/made", "restored", "absent")}
    finally:
        os.close(root)
    assert found == {"untouched": False, "above": False, "above/made": True, "restored": False, "absent": False}
