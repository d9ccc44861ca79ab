"""Folders and registries for built plugins."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.authoring.pack import Packed, Recipe, pack
from mirror.oci import Repository, Tag
from mirror.registry.memory import MemoryRegistry
from mirror.transfer.graph.places import CopyDestination
from mirror.transfer.progress_reporting import SilentProgress
from tests.harness.requirement import require

REPOSITORY = Repository("site/driver")
TAG = Tag("1.0")
CONFIG = {"Entrypoint": ["/bin/driver"], "x-unknown": [1], "Interface": {"Types": ["docker.volumedriver/1.0"]}}


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture(autouse=True)
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files. Fails the test if a file remains."""
    folder = tmp_path / "spools"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder to pack: files, links, modes, an empty folder."""
    folder = tmp_path / "source"
    write_rootfs(folder / "rootfs")
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2))
    return folder


def write_rootfs(rootfs: Path, *, reverse: bool = False) -> None:
    """Write a root filesystem, with its entries created in one order or in the reverse order."""
    rootfs.mkdir(parents=True)
    steps = [
        lambda: ((rootfs / "bin").mkdir(), (rootfs / "bin/driver").write_bytes(b"\x7fELF" + bytes(3_000_000))),
        lambda: (rootfs / "empty").mkdir(mode=0o700),
        lambda: (rootfs / "länge" / ("x" * 120)).mkdir(parents=True),
        lambda: (rootfs / "link").symlink_to("bin/driver"),
        lambda: (rootfs / "outside").symlink_to("../../../../etc/passwd"),
        lambda: ((rootfs / "one").write_text("1"), (rootfs / "two").hardlink_to(rootfs / "one")),
    ]
    for step in reversed(steps) if reverse else steps:
        step()
    (rootfs / "bin/driver").chmod(0o4755)


def recipe(folder: Path, image: Path | None = None, *, owners: bool = False, **values: str) -> Recipe:
    return Recipe(folder, image, values, latest_seconds=0, owners=owners)


async def packed(registry: MemoryRegistry, made_of: Recipe) -> Packed:
    (built,) = await pack(made_of, CopyDestination(registry, REPOSITORY), TAG, SilentProgress())
    return built


@pytest.fixture
def root() -> None:
    """Skip the test unless it runs as root."""
    require(None if os.geteuid() == 0 else "owners and devices need root")
