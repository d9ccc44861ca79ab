"""Exports that write parts in place of one file."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from mirror.bundle.bundle_errors import BundleIncomplete
from mirror.bundle.export.export_request import ExportRequest
from mirror.bundle.export.exporting import export_bundle
from mirror.bundle.export.output.parts_output import PartsOutput
from mirror.bundle.format.byte_source import read_range
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.source_opening import open_source
from mirror.oci import Digest, Repository
from mirror.oci.errors import Busy, ConfigurationFault, StorageFull, UpstreamUnreachable
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob
from mirror.transfer.progress_reporting import SilentProgress
from mirror.wire.ranges import RangeRequest
from tests.support.builders import hold
from tests.support.bundles import small_plugin
from tests.support.export_requests import HERE, export_request, source_of

LAYERS = [bytes([number]) * (300_000 + number) for number in range(1, 6)]
PART_BYTES = 250_000  # smaller than a layer, and not a multiple of a block


class Source(DelegatingRegistry):
    """A registry that lacks some layers for a while, and records which blobs are read."""

    def __init__(self) -> None:
        super().__init__(MemoryRegistry())
        self.lost: set[Digest] = set()
        self.read: set[Digest] = set()

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        if digest in self.lost:
            raise UpstreamUnreachable("the line broke")
        self.read.add(digest)
        return super().open_blob(repository, digest, part)


@pytest.fixture
async def source() -> Source:
    registry = Source()
    manifest, blobs = small_plugin(*LAYERS)
    await hold(registry, HERE, blobs, [manifest], "1.0")
    return registry


def request(output: Path, registry: Source, **more: object) -> ExportRequest:
    return export_request(output, source_of(registry), **({"part_bytes": PART_BYTES} | more))


async def whole(folder: Path, registry: Source) -> bytes:
    """Return the bundle as one file."""
    await export_bundle(request(folder / "whole.tar", registry, part_bytes=None), SilentProgress())
    return (folder / "whole.tar").read_bytes()


async def parts_in(folder: Path) -> PartsSource:
    source = await open_source(folder / "site.tar")
    assert isinstance(source, PartsSource)
    return source


async def require_right(folder: Path, content: bytes) -> None:
    """Check the parts and their table, and that nothing else is in the folder."""
    parts = await parts_in(folder)
    assert await read_range(parts, 0, parts.size_bytes) == content
    for number, part in enumerate(parts.table.parts, start=1):
        assert await parts.digest_of_part(number) == part.digest
    names = {part.name for part in parts.table.parts} | {"site.tar.parts.json"}
    assert {path.name for path in folder.iterdir()} == names


@pytest.mark.parametrize("verify_written", [False, True])
async def test_the_parts_are_those_of_the_whole_bundle(tmp_path: Path, source: Source, *, verify_written: bool):
    (tmp_path / "stick").mkdir()
    wanted = request(tmp_path / "stick" / "site.tar", source, verify_written=verify_written)
    exported = await export_bundle(wanted, SilentProgress())
    assert exported.is_verified is verify_written
    assert (await parts_in(tmp_path / "stick")).table.statement == exported.statement
    await require_right(tmp_path / "stick", await whole(tmp_path, source))


@pytest.mark.parametrize("moved", [False, True])
async def test_an_interrupted_export_goes_on(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch, *, moved: bool
):
    monkeypatch.setattr("mirror.bundle.export.exporting._BLOBS_AT_ONCE", 1)
    folder = tmp_path / "stick"
    folder.mkdir()
    last = max(map(Digest.of, LAYERS))
    source.lost = {last}
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable):
            await export_bundle(request(folder / "site.tar", source), SilentProgress())
        with pytest.raises((BundleIncomplete, ConfigurationFault)):
            await open_source(folder / "site.tar")
    if moved:
        # A person may carry parts away too early.
        for path in folder.glob("site.tar.part-00[1-4]"):
            path.rename(tmp_path / path.name)
    source.lost, source.read = set(), set()
    await export_bundle(request(folder / "site.tar", source), SilentProgress())
    assert moved or source.read & {*map(Digest.of, LAYERS)} == {last}
    await require_right(folder, await whole(tmp_path, source))


async def test_parts_of_an_earlier_bundle_are_replaced(tmp_path: Path, source: Source):
    folder = tmp_path / "stick"
    folder.mkdir()
    await export_bundle(request(folder / "site.tar", source, part_bytes=100_000), SilentProgress())
    await export_bundle(request(folder / "site.tar", source), SilentProgress())
    await require_right(folder, await whole(tmp_path, source))


async def test_an_export_to_parts_of_another_size_forgets_what_it_overwrites(tmp_path: Path, source: Source):
    folder = tmp_path / "stick"
    folder.mkdir()
    source.lost = {Digest.of(LAYERS[0])}
    with pytest.raises(UpstreamUnreachable):
        await export_bundle(request(folder / "site.tar", source), SilentProgress())
    source.lost = set()
    await export_bundle(request(folder / "site.tar", source, part_bytes=100_000), SilentProgress())
    await require_right(folder, await whole(tmp_path, source))  # no journal tells of parts that are gone


@pytest.mark.parametrize("part_bytes", [None, PART_BYTES, 100_000])
async def test_two_exports_never_write_one_bundle(tmp_path: Path, source: Source, part_bytes: int | None):
    async with PartsOutput.open(tmp_path / "site.tar", PART_BYTES):
        with pytest.raises(Busy, match="another command writes"):
            await export_bundle(request(tmp_path / "site.tar", source, part_bytes=part_bytes), SilentProgress())
    assert list(tmp_path.iterdir()) == []


async def test_parts_are_not_written_beside_the_whole_bundle(tmp_path: Path, source: Source):
    (tmp_path / "site.tar").write_bytes(b"another bundle")
    with pytest.raises(ConfigurationFault, match="readers would use it in place of the parts; fix:"):
        await export_bundle(request(tmp_path / "site.tar", source), SilentProgress())
    assert [path.name for path in tmp_path.iterdir()] == ["site.tar"]


async def test_too_many_parts_are_refused(tmp_path: Path, source: Source):
    with pytest.raises(ConfigurationFault, match=r"parts are too many: .*; fix: choose larger parts with --split"):
        await export_bundle(request(tmp_path / "site.tar", source, part_bytes=1000), SilentProgress())


async def test_parts_that_do_not_fit_are_refused(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch):
    class Full:
        free = 4096

    monkeypatch.setattr("shutil.disk_usage", lambda _: Full)
    with pytest.raises(StorageFull, match=r"needs .*, and .* has 4.0 KiB free"):
        await export_bundle(request(tmp_path / "site.tar", source), SilentProgress())
    assert list(tmp_path.iterdir()) == []
