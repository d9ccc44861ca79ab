"""Parts of a bundle that come one after the other, with ranges that are kept between the runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid
from mirror.bundle.format.byte_source import read_range
from mirror.bundle.parts.kept_source import KeptSource
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.parts_table import Part, PartsTable, planned_parts
from mirror.oci import Digest

CONTENT = bytes(range(250))
PART_BYTES = 100


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write three parts, each to a drive of its own."""
    folders = []
    for name, start, size in planned_parts("site.tar", len(CONTENT), PART_BYTES):
        folders.append(tmp_path_factory.mktemp("drive"))
        (folders[-1] / name).write_bytes(CONTENT[start : start + size])
    return folders


async def plug_in(drive: Path, data: Path) -> KeptSource:
    parts = [
        Part(name, start, size, Digest.of(CONTENT[start : start + size]))
        for name, start, size in planned_parts("site.tar", len(CONTENT), PART_BYTES)
    ]
    table = PartsTable(Digest.of(b"statement"), PART_BYTES, tuple(parts))
    source = await PartsSource.open(drive / "site.tar.parts.json", table, [drive])
    return await KeptSource.open(source, data / "bundles")


async def test_kept_bytes_complete_the_content_of_another_drive(tmp_path: Path, drives: list[Path]):
    first = await plug_in(drives[0], tmp_path)
    await first.keep(0, 20)
    await first.keep(90, 30)  # of these, 20 bytes are in the next part
    second = await plug_in(drives[1], tmp_path)
    assert second.missing(0, 20) == second.missing(90, 30) == ()
    assert [told.partition(" (")[0] for told in second.missing(0, 250)] == ["part 1 of 3", "part 3 of 3"]
    assert await read_range(second, 0, 20) == CONTENT[:20]
    assert await read_range(second, 90, 110) == CONTENT[90:200]
    with pytest.raises(BundleIncomplete, match="part 1 of 3"):
        await read_range(second, 10, 20)


async def test_bytes_are_kept_once(tmp_path: Path, drives: list[Path]):
    first = await plug_in(drives[0], tmp_path)
    await first.keep(10, 20)
    await first.keep(0, 40)
    await (await plug_in(drives[0], tmp_path)).keep(0, 40)
    (folder,) = (tmp_path / "bundles").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["0-10", "10-20", "30-10"]


async def test_kept_bytes_are_forgotten(tmp_path: Path, drives: list[Path]):
    first = await plug_in(drives[0], tmp_path)
    await first.keep(0, 40)
    (folder,) = (tmp_path / "bundles").iterdir()
    (folder / "0-99.partial").write_bytes(b"of an interrupted run")
    await (await plug_in(drives[1], tmp_path)).forget()
    assert list((tmp_path / "bundles").iterdir()) == []
    await (await plug_in(drives[1], tmp_path)).forget()


async def test_an_unfinished_range_is_not_used(tmp_path: Path, drives: list[Path]):
    first = await plug_in(drives[0], tmp_path)
    await first.keep(0, 40)
    (folder,) = (tmp_path / "bundles").iterdir()
    (folder / "0-40").write_bytes(b"cut")
    assert (await plug_in(drives[1], tmp_path)).missing(0, 40) != ()


async def test_a_part_that_is_here_is_read_in_place_of_kept_bytes(tmp_path: Path, drives: list[Path]):
    await (await plug_in(drives[0], tmp_path)).keep(0, 40)
    (kept,) = (tmp_path / "bundles").glob("*/0-40")
    kept.write_bytes(b"x" * 40)
    assert await read_range(await plug_in(drives[0], tmp_path), 0, 40) == CONTENT[:40]
    assert await read_range(await plug_in(drives[1], tmp_path), 0, 40) == b"x" * 40


async def test_damaged_kept_bytes_are_removed(tmp_path: Path, drives: list[Path]):
    first = await plug_in(drives[0], tmp_path)
    await first.keep(0, 40)
    await first.keep(90, 10)
    assert "since before its split" in await first.damage(30, 40)
    second = await plug_in(drives[1], tmp_path)
    assert "bytes that an earlier run kept are damaged, and are removed; fix:" in await second.damage(90, 20)
    assert [path.name for path in (tmp_path / "bundles").glob("*/*")] == ["0-40"]
    assert second.missing(90, 10) != ()


async def test_ranges_of_a_bundle_that_nobody_goes_on_with_expire(tmp_path: Path, drives: list[Path]):
    for name, age_seconds in (("old", 31 * 24 * 3600), ("new", 0)):
        (tmp_path / "bundles" / name).mkdir(parents=True)
        (tmp_path / "bundles" / name / "0-10").write_bytes(b"0123456789")
        moment = time.time() - age_seconds
        os.utime(tmp_path / "bundles" / name, (moment, moment))
    source = await plug_in(drives[0], tmp_path)
    await source.keep(0, 40)
    await source.forget()
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["new"]


async def test_a_range_beyond_the_end_of_the_bundle_is_refused(tmp_path: Path, drives: list[Path]):
    with pytest.raises(BundleInvalid, match="ends 1 bytes too early"):
        await read_range(await plug_in(drives[0], tmp_path), 200, 51)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 60)), max_size=4), st.data())
async def test_kept_or_not_the_bytes_are_those_of_the_bundle(
    tmp_path_factory: pytest.TempPathFactory, drives: list[Path], kept: list[tuple[int, int]], data: st.DataObject
):
    folder = tmp_path_factory.mktemp("data")
    first = await plug_in(drives[0], folder)
    for begin, size in kept:
        await first.keep(begin, size)
    second = await plug_in(drives[1], folder)
    here = {*range(100, 200), *(place for begin, size in kept for place in range(begin, begin + size))}
    start = data.draw(st.sampled_from(sorted(here)))
    size = data.draw(st.integers(0, 200 - start))
    if here.issuperset(range(start, start + size)):
        assert second.missing(start, size) == ()
        assert await read_range(second, start, size) == CONTENT[start : start + size]
    else:
        with pytest.raises(BundleIncomplete, match="part 1 of 3"):
            await read_range(second, start, size)
