"""Files that a running program changes while they are read."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from mirror.authoring.capturing.live_files import LiveFiles
from mirror.authoring.files.folder_tree import FolderWalk
from mirror.authoring.files.safe_files import open_folder


def test_a_file_that_is_cut_after_its_header_ends_with_zeros(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("12345")
    live = LiveFiles()
    with ExitStack() as stack:
        root = open_folder(tmp_path)
        stack.callback(os.close, root)
        for entry in live.opened(list(FolderWalk(root, tmp_path, stack, owners=False).packed_entries())):
            if entry.node.content is not None:
                os.truncate(tmp_path / "log", 2)
                assert b"".join(entry.node.content.chunks()) == b"12\0\0\0"
    assert (live.cut, live.gone) == (["log"], [])


def test_a_hard_link_is_omitted_with_its_file_only(tmp_path: Path) -> None:
    folder = tmp_path / "rootfs"
    folder.mkdir()
    for name in ("gone", "kept"):
        (folder / name).write_text(name)
        (folder / f"{name}.link").hardlink_to(folder / name)
    live = LiveFiles()
    with ExitStack() as stack:
        root = open_folder(folder)
        stack.callback(os.close, root)
        entries = list(FolderWalk(root, folder, stack, owners=False).packed_entries())
        (folder / "gone").unlink()
        assert [entry.path for entry in live.opened(entries)] == ["", "kept", "kept.link"]
    assert live.gone == ["gone", "gone.link"]
