"""Parts of a bundle that are made again, one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mirror.bundle.bundle_errors import BundleIncomplete
from mirror.bundle.export.part_again import make_part
from mirror.bundle.export.recorded_source import RecordedSource
from mirror.bundle.format.bundle_head import read_recorded_head
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.parts.splitting import split_bundle
from mirror.oci import Digest, Repository
from mirror.oci.errors import ConfigurationFault
from mirror.registry.memory import MemoryRegistry
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import push_blob
from tests.support.bundles import BuiltBundle, build, small_plugin

HERE = Repository("contiv/v2plugin")
PART_BYTES = 700_000
MANIFEST, BLOBS = small_plugin(bytes(range(256)) * 8192, b"", b"small")


@pytest.fixture
def built() -> BuiltBundle:
    return build({"contiv/v2plugin:1.0": MANIFEST}, BLOBS)


async def again(built: BuiltBundle, without: Digest | None = None) -> RecordedSource:
    """Return the bundle as a store makes it again: from its head, and from what the store holds."""
    registry = MemoryRegistry()
    for blob in BLOBS:
        await push_blob(registry, blob, HERE)
    await registry.put_manifest(HERE, MANIFEST)
    first = built.layout.blobs()[0]
    head = built.content[: first.start_bytes]
    layout = (await read_recorded_head(head)).layout
    holders = {placed.member.digest: HERE for placed in layout.blobs() if placed.member.digest != without}
    return RecordedSource("bundle 1", head, layout, registry, holders)


async def test_each_part_has_the_bytes_of_the_bundle(tmp_path: Path, built: BuiltBundle) -> None:
    bundle = tmp_path / "site.tar"
    bundle.write_bytes(built.content)
    source = await FileSource.open(bundle)
    _, table = await split_bundle(source, bundle.name, tmp_path, PART_BYTES, SilentProgress())
    assert len(table.parts) >= 3
    parts = [tmp_path / part.name for part in table.parts]
    before = [part.read_bytes() for part in parts]
    for part in parts:
        part.unlink()

    made = [
        await make_part(await again(built), bundle, number, PART_BYTES, SilentProgress(), table=table)
        for number in range(1, len(parts) + 1)
    ]

    assert [part.read_bytes() for part in parts] == before
    assert all(one.is_as_before for one in made)


async def test_a_part_of_another_bundle_is_noticed(tmp_path: Path, built: BuiltBundle) -> None:
    bundle = tmp_path / "site.tar"
    bundle.write_bytes(built.content)
    _, table = await split_bundle(await FileSource.open(bundle), bundle.name, tmp_path, PART_BYTES, SilentProgress())
    other = replace(table, parts=tuple(replace(part, digest=Digest.of(b"other")) for part in table.parts))

    made = await make_part(await again(built), bundle, 1, PART_BYTES, SilentProgress(), table=other)

    assert made.is_as_before is False


async def test_content_that_is_gone_is_named_before_anything_is_written(tmp_path: Path, built: BuiltBundle) -> None:
    gone = Digest.of(BLOBS[1])

    with pytest.raises(BundleIncomplete, match=str(gone)):
        await make_part(await again(built, gone), tmp_path / "site.tar", 2, PART_BYTES, SilentProgress())

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [0, -1, 99])
async def test_a_part_that_the_bundle_does_not_have_is_refused(tmp_path: Path, built: BuiltBundle, number: int) -> None:
    with pytest.raises(ConfigurationFault, match="has 4 part"):
        await make_part(await again(built), tmp_path / "site.tar", number, PART_BYTES, SilentProgress())
