"""What has its name is on the disk: files are synced before they are renamed, and their folder afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import aiofiles.os
import pytest

from mirror.bundle.export.exporting import export_bundle
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.parts.joining import join_bundle
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.parts.splitting import split_bundle
from mirror.registry.memory import MemoryRegistry
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import hold
from tests.support.bundles import build_bundle, small_plugin
from tests.support.export_requests import HERE, export_request, source_of

MANIFEST, BLOBS = small_plugin()
Steps = list[tuple[str, Path]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Return the syncs and renames of the test, in their order."""
    found: Steps = []
    sync, rename = os.fsync, aiofiles.os.replace

    def noting_sync(descriptor: int) -> None:
        found.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    async def noting_rename(before: Path, after: Path) -> None:
        found.append(("rename", before))
        await rename(before, after)

    monkeypatch.setattr(os, "fsync", noting_sync)
    monkeypatch.setattr(aiofiles.os, "replace", noting_rename)
    return found


def require_durable(steps: Steps, renamed: Path, *content: Path) -> None:
    """Check that some files were synced before one of them got its name, and the folder after that."""
    at = steps.index(("rename", renamed))
    assert {("sync", path) for path in (renamed, *content)} <= set(steps[:at])
    assert ("sync", renamed.parent) in steps[at:]


async def test_an_exported_bundle(tmp_path: Path, steps: Steps) -> None:
    registry = MemoryRegistry()
    await hold(registry, HERE, BLOBS, [MANIFEST], "1.0")

    await export_bundle(export_request(tmp_path / "site.tar", source_of(registry)), SilentProgress())

    require_durable(steps, tmp_path / "site.tar.partial")


async def test_an_export_in_parts(tmp_path: Path, steps: Steps) -> None:
    registry = MemoryRegistry()
    await hold(registry, HERE, BLOBS, [MANIFEST], "1.0")

    await export_bundle(export_request(tmp_path / "site.tar", source_of(registry), part_bytes=5000), SilentProgress())

    parts = sorted(tmp_path.glob("site.tar.part-*"))
    assert len(parts) > 1
    require_durable(steps, tmp_path / "site.tar.parts.json.partial", *parts)


async def test_a_split_and_a_joined_bundle(tmp_path: Path, steps: Steps) -> None:
    build_bundle(tmp_path / "site.tar", {"contiv/v2plugin:1.0": MANIFEST}, BLOBS)
    source = await FileSource.open(tmp_path / "site.tar")
    table_file, table = await split_bundle(source, "site.tar", tmp_path / "parts", 5000, SilentProgress())
    parts = await open_source(table_file)
    assert isinstance(parts, PartsSource)

    await join_bundle(parts, tmp_path / "again.tar", SilentProgress())

    for part in table.parts:
        require_durable(steps, tmp_path / "parts" / f"{part.name}.partial")
    require_durable(steps, tmp_path / "parts/site.tar.parts.json.partial")
    require_durable(steps, tmp_path / "again.tar.joining")
