"""Bundles in parts, read in place from any folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid
from mirror.bundle.format.byte_source import FileSource, read_range
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.parts_table import Part, PartsTable, planned_parts
from mirror.bundle.parts.source_opening import open_source
from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault

CONTENT = bytes(range(250))
PART_BYTES = 100


@pytest.fixture
def table(tmp_path: Path) -> PartsTable:
    """Write three parts and their table into the folder of the test."""
    parts = []
    for name, start, size in planned_parts("site.tar", len(CONTENT), PART_BYTES):
        content = CONTENT[start : start + size]
        (tmp_path / name).write_bytes(content)
        parts.append(Part(name, start, size, Digest.of(content)))
    table = PartsTable(Digest.of(b"statement"), PART_BYTES, tuple(parts))
    (tmp_path / "site.tar.parts.json").write_bytes(table.to_bytes())
    return table


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("name", ["site.tar", "site.tar.parts.json", "site.tar.part-001", "site.tar.part-003"])
async def test_each_name_of_the_bundle_opens_its_parts(tmp_path: Path, name: str):
    source = await open_source(tmp_path / name)
    assert isinstance(source, PartsSource)
    assert source.size_bytes == len(CONTENT)
    assert await read_range(source, 0, 250) == CONTENT
    assert await read_range(source, 95, 120) == CONTENT[95:215]
    assert await read_range(source, 250, 0) == b""


@pytest.mark.usefixtures("table")
async def test_the_whole_file_goes_before_its_parts(tmp_path: Path):
    (tmp_path / "site.tar").write_bytes(CONTENT)
    assert isinstance(await open_source(tmp_path / "site.tar"), FileSource)


@pytest.mark.usefixtures("table")
async def test_parts_are_found_in_several_folders(tmp_path: Path):
    drives = [tmp_path / "a", tmp_path / "b"]
    for drive, number in zip(drives, (2, 3), strict=True):
        drive.mkdir()
        (tmp_path / f"site.tar.part-00{number}").rename(drive / f"site.tar.part-00{number}")
    source = await open_source(tmp_path / "site.tar", drives)
    assert await read_range(source, 0, 250) == CONTENT


@pytest.mark.usefixtures("table")
async def test_the_table_may_be_in_another_folder_than_the_part(tmp_path: Path):
    drive = tmp_path / "a"
    drive.mkdir()
    (tmp_path / "site.tar.part-002").rename(drive / "site.tar.part-002")
    source = await open_source(drive / "site.tar.part-002", [tmp_path])
    assert await read_range(source, 0, 250) == CONTENT


async def test_a_half_copied_part_is_passed_over_for_a_whole_one(tmp_path: Path, table: PartsTable):
    drive = tmp_path / "a"
    drive.mkdir()
    (tmp_path / "site.tar.part-002").rename(drive / "site.tar.part-002")
    (tmp_path / "site.tar.part-002").write_bytes(b"half")
    source = await open_source(tmp_path / "site.tar", [drive])
    assert await read_range(source, 100, 100) == CONTENT[100:200]
    source = await open_source(tmp_path / "site.tar")
    with pytest.raises(
        BundleIncomplete, match=r"part 2 of 3 \(site.tar.part-002\) is not whole: .* has 4 of 100 bytes"
    ):
        await read_range(source, 0, 250)


@pytest.mark.usefixtures("table")
async def test_a_missing_part_is_named_when_its_bytes_are_read(tmp_path: Path):
    (tmp_path / "site.tar.part-002").unlink()
    source = await open_source(tmp_path / "site.tar", [tmp_path / "drive"])
    assert await read_range(source, 0, 100) == CONTENT[:100]
    assert await read_range(source, 200, 50) == CONTENT[200:]
    assert source.missing(0, 100) == ()
    assert [text.partition(":")[0] for text in source.missing(0, 250)] == ["part 2 of 3 (site.tar.part-002) is missing"]
    with pytest.raises(
        BundleIncomplete, match=rf"part 2 of 3 .* is missing: it is not in {tmp_path}, {tmp_path}/drive"
    ):
        await read_range(source, 99, 2)


@pytest.mark.usefixtures("table")
async def test_a_damaged_part_is_named_with_its_bytes(tmp_path: Path):
    damaged = bytearray(CONTENT[100:200])
    damaged[7] ^= 1
    (tmp_path / "site.tar.part-002").write_bytes(damaged)
    source = await open_source(tmp_path / "site.tar")
    told = await source.damage(90, 20)
    assert told.startswith("part 2 of 3 (site.tar.part-002) is damaged, in its bytes 0 to 9")
    assert "since before its split" in await source.damage(0, 10)


@pytest.mark.usefixtures("table")
async def test_a_range_beyond_the_end_is_refused(tmp_path: Path):
    source = await open_source(tmp_path / "site.tar")
    with pytest.raises(BundleInvalid, match="ends 1 bytes too early"):
        await read_range(source, 200, 51)


@pytest.mark.usefixtures("table")
async def test_a_part_that_shrinks_while_it_is_read_is_refused(tmp_path: Path):
    source = await open_source(tmp_path / "site.tar")
    (tmp_path / "site.tar.part-003").write_bytes(b"short")
    with pytest.raises(BundleInvalid, match=r"site.tar.part-003 ends 45 bytes too early"):
        await read_range(source, 200, 50)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("name", ["site.tar", "site.tar.parts.json", "site.tar.part-001"])
async def test_parts_without_their_table_are_refused(tmp_path: Path, name: str):
    (tmp_path / "site.tar.parts.json").unlink()
    with pytest.raises(BundleIncomplete, match=r"the table of the parts of site.tar is missing: .*; fix: copy"):
        await open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["site.tar", "site.tar.parts.json"])
async def test_a_file_that_does_not_exist_is_a_wrong_argument(tmp_path: Path, name: str):
    with pytest.raises(ConfigurationFault, match="No such file"):
        await open_source(tmp_path / name, [tmp_path / "no-folder"])


async def test_a_folder_that_may_not_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def listdir(_: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("aiofiles.os.listdir", listdir)
    with pytest.raises(ConfigurationFault, match="cannot be read: Permission denied"):
        await open_source(tmp_path / "site.tar")


async def test_a_table_from_outside_is_bounded(tmp_path: Path):
    (tmp_path / "site.tar.parts.json").write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(BundleInvalid, match="larger than"):
        await open_source(tmp_path / "site.tar")
