"""Folders for ``docker plugin create``."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.authoring.files import folder_tree
from mirror.authoring.files.plugin_folder import read_plugin_folder
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.lint.plugin_view import view_plugin
from mirror.plugin.rootfs.entry import EntryKind, LayerEntry
from tests.support.plugins import CONFIG, DRIVER


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "rootfs/bin").mkdir(parents=True)
    (tmp_path / "rootfs/bin/driver").write_bytes(DRIVER)
    (tmp_path / "rootfs/bin/driver").chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


async def codes(path: Path) -> list[str]:
    return [finding.code for finding in view_plugin(await read_plugin_folder(path)).findings]


async def test_everything_in_it_is_told(plugin: Path) -> None:
    rootfs = plugin / "rootfs"
    (rootfs / "link").symlink_to("/etc/passwd")
    (rootfs / "loop").symlink_to(".")
    (rootfs / "same").hardlink_to(rootfs / "bin/driver")
    os.mkfifo(rootfs / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(rootfs / "socket"))
    content = await read_plugin_folder(plugin)
    assert content.rootfs is not None
    held = {path: node.kind for path, node in content.rootfs.tree.walk()}
    assert held == {
        "bin": EntryKind.FOLDER,
        "bin/driver": EntryKind.FILE,
        "link": EntryKind.SYMLINK,
        "loop": EntryKind.SYMLINK,
        "pipe": EntryKind.PIPE,
        "same": EntryKind.FILE,
    }
    root = content.rootfs.tree.root
    assert root.children["same"] is root.children["bin"].children["driver"]
    assert root.children["same"].program is not None
    assert view_plugin(content).findings == ()


async def test_a_config_alone(plugin: Path) -> None:
    content = await read_plugin_folder(plugin / "config.json")
    assert content.rootfs is None
    assert view_plugin(content).findings == ()


async def test_what_is_missing_of_it(plugin: Path) -> None:
    (plugin / "rootfs/bin/driver").unlink()
    (plugin / "rootfs/bin").rmdir()
    assert await codes(plugin) == ["files-missing", "entrypoint-missing", "socket-unmentioned"]
    (plugin / "rootfs").rmdir()
    assert await codes(plugin) == ["rootfs-missing"]
    (plugin / "config.json").write_text("{")
    assert await codes(plugin) == ["config-unreadable", "rootfs-missing"]
    (plugin / "config.json").unlink()
    with pytest.raises(ConfigurationFault, match="name a folder with config"):
        await read_plugin_folder(plugin)


async def test_what_is_too_large_for_a_config(plugin: Path) -> None:
    (plugin / "config.json").write_text(" " * (4 * 1024 * 1024 + 1))
    assert await codes(plugin) == ["config-unreadable"]


async def test_a_disk_that_fails_is_told(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(folder_tree.os, "scandir", fail)
    with pytest.raises(ConfigurationFault, match="/rootfs cannot be read: Input/output error"):
        await read_plugin_folder(plugin)


async def test_a_folder_without_end_is_left_when_told_to(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a cancellation the thread ends by itself. Otherwise the event loop could not be closed."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    def without_end(_: object) -> Iterator[tuple[LayerEntry, None]]:
        loop.call_soon_threadsafe(told.set)
        while True:
            yield LayerEntry("a", EntryKind.FOLDER, 0o755), None

    monkeypatch.setattr(folder_tree.FolderWalk, "entries", without_end)
    task = asyncio.create_task(read_plugin_folder(plugin))
    await told.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await loop.shutdown_default_executor()
