"""Verification of a whole bundle: every byte counts, and all damaged places are named."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mirror.bundle.bundle_errors import BundleFault, BundleIncomplete, BundleInvalid
from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.format.member import STATEMENT
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.parts.splitting import split_bundle
from mirror.bundle.verification import verify_bytes
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.bundles import BuiltBundle, build, small_plugin

LARGE = random.Random(3).randbytes(3 * 1024 * 1024 + 5)


@pytest.fixture(scope="module")
def built() -> BuiltBundle:
    manifest, blobs = small_plugin(LARGE, b"small", b"")
    other, others = small_plugin(b"x" * 512, Description="other")
    return build({"acme/driver:1.0": manifest, "acme/other:1": other}, [*blobs, *others], key_sets=[b"{}"])


async def verify(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    source = await FileSource.open(path)
    await verify_bytes(await read_head(source), source, SilentProgress())


class Counted(SilentProgress):
    """Progress that is counted."""

    def __init__(self) -> None:
        self.expected = self.moved = 0

    def expect(self, total_bytes: int) -> None:
        self.expected += total_bytes

    def advance(self, size_bytes: int) -> None:
        self.moved += size_bytes


async def test_a_sound_bundle(tmp_path: Path, built: BuiltBundle) -> None:
    (tmp_path / "b.tar").write_bytes(built.content)
    source = await FileSource.open(tmp_path / "b.tar")
    progress = Counted()
    await verify_bytes(await read_head(source), source, progress)
    assert progress.expected == progress.moved == len(built.content)


def touchable(built: BuiltBundle) -> list[int]:
    """Return offsets in each header, content and padding, and in the end."""
    places: list[int] = []
    for placed in built.layout.members:
        size = placed.member.size_bytes
        places += [placed.start_bytes, placed.content_bytes - 1]
        # The envelope names keys as a hint for people. Whoever changes the hint changes nothing.
        places += [placed.content_bytes, placed.content_bytes + size - 1] * (size > 0)
        places += [placed.content_bytes + size] * bool(placed.padding)
    return [*places, len(built.content) - 1024, len(built.content) - 1]


async def test_no_byte_may_be_touched(tmp_path: Path, built: BuiltBundle) -> None:
    for place in touchable(built):
        content = bytearray(built.content)
        content[place] ^= 0x20
        with pytest.raises(BundleFault):
            await verify(tmp_path / "b.tar", bytes(content))


async def test_the_envelope_is_padded_with_spaces_only(tmp_path: Path, built: BuiltBundle) -> None:
    envelope = built.envelope.to_bytes(built.envelope.padded_size_bytes)
    with pytest.raises(BundleInvalid, match="envelope"):
        await verify(tmp_path / "b.tar", built.with_content(STATEMENT, envelope[:-1] + b"\n"))


async def test_bytes_after_the_end_are_refused(tmp_path: Path, built: BuiltBundle) -> None:
    with pytest.raises(BundleInvalid, match="bytes"):
        await verify(tmp_path / "b.tar", built.content + bytes(512))


async def test_all_damaged_members_are_named(tmp_path: Path, built: BuiltBundle) -> None:
    content = bytearray(built.content)
    hit = [placed for placed in built.layout.blobs() if placed.member.size_bytes]
    for placed in hit:
        content[placed.content_bytes] ^= 1
    content[-1] = 1
    with pytest.raises(BundleInvalid) as caught:
        await verify(tmp_path / "b.tar", bytes(content))
    told = str(caught.value)
    assert all(placed.member.path in told for placed in hit)
    assert "the end of" in told


async def test_damage_of_many_members_is_counted(tmp_path: Path) -> None:
    manifest, blobs = small_plugin(*(b"layer %d" % number for number in range(30)))
    built = build({"acme/driver:1.0": manifest}, blobs)
    content = bytearray(built.content)
    for placed in built.layout.blobs():
        content[placed.content_bytes] ^= 1
    with pytest.raises(BundleInvalid, match=f"and {len(built.layout.blobs()) - 10} more") as caught:
        await verify(tmp_path / "b.tar", bytes(content))
    assert str(caught.value).count("is damaged") == 10


async def test_the_damaged_part_is_named(tmp_path: Path, built: BuiltBundle) -> None:
    (tmp_path / "b.tar").write_bytes(built.content)
    table_file, table = await split_bundle(
        await FileSource.open(tmp_path / "b.tar"), "b.tar", tmp_path / "parts", 1024 * 1024, SilentProgress()
    )
    victim = table_file.parent / table.parts[2].name
    victim.write_bytes(bytes([victim.read_bytes()[0] ^ 1]) + victim.read_bytes()[1:])
    source = await open_source(table_file)
    with pytest.raises(BundleInvalid, match=rf"part 3 of {len(table.parts)}.*is damaged"):
        await verify_bytes(await read_head(source), source, SilentProgress())


async def test_missing_parts_are_named_before_anything_is_read(tmp_path: Path, built: BuiltBundle) -> None:
    (tmp_path / "b.tar").write_bytes(built.content)
    table_file, table = await split_bundle(
        await FileSource.open(tmp_path / "b.tar"), "b.tar", tmp_path / "parts", 1024 * 1024, SilentProgress()
    )
    for part in table.parts[2:4]:
        (table_file.parent / part.name).unlink()
    source = await open_source(table_file)
    progress = Counted()
    with pytest.raises(BundleIncomplete, match=r"part 3 of .*part 4 of"):
        await verify_bytes(await read_head(source), source, progress)
    assert progress.expected == 0
