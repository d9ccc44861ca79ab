"""Split of a bundle into parts, join of the parts, and changes in place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid
from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.format.byte_source import FileSource, read_range
from mirror.bundle.format.member import STATEMENT
from mirror.bundle.parts.joining import join_bundle
from mirror.bundle.parts.overwriting import overwrite
from mirror.bundle.parts.parts_source import PartsSource
from mirror.bundle.parts.parts_table import PartsTable
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.parts.splitting import split_bundle
from mirror.cli import exit_codes
from mirror.cli.command_line import run
from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault, StorageFull
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.bundles import BuiltBundle, build_bundle, small_plugin

PART_BYTES = 5000  # not a multiple of the block of a tar


@pytest.fixture
def built(tmp_path: Path) -> BuiltBundle:
    """Write a bundle ``site.tar`` into the folder of the test."""
    manifest, blobs = small_plugin()
    return build_bundle(tmp_path / "site.tar", {"contiv/v2plugin:1.0": manifest}, blobs)


async def split(path: Path, folder: Path, part_bytes: int = PART_BYTES) -> tuple[Path, PartsTable]:
    return await split_bundle(await open_source(path), "site.tar", folder, part_bytes, SilentProgress())


async def parts_of(path: Path, *folders: Path) -> PartsSource:
    source = await open_source(path, folders)
    assert isinstance(source, PartsSource)
    return source


async def test_the_parts_follow_each_other_and_the_table_has_their_digests(tmp_path: Path, built: BuiltBundle):
    table_file, table = await split(tmp_path / "site.tar", tmp_path / "stick")
    contents = [(tmp_path / "stick" / part.name).read_bytes() for part in table.parts]
    assert b"".join(contents) == built.content
    assert [Digest.of(content) for content in contents] == [part.digest for part in table.parts]
    assert {len(content) for content in contents[:-1]} == {PART_BYTES}
    assert PartsTable.parse(table_file.read_bytes(), "table") == table
    assert table.statement == built.envelope.digest
    assert sorted(path.name for path in (tmp_path / "stick").iterdir()) == sorted(
        [*(part.name for part in table.parts), "site.tar.parts.json"]
    )


async def test_a_bundle_is_read_from_its_parts(tmp_path: Path, built: BuiltBundle):
    table_file, _ = await split(tmp_path / "site.tar", tmp_path / "stick")
    head = await read_head(await open_source(table_file))
    assert head.statement == built.statement


async def test_a_split_goes_on_after_an_interruption(tmp_path: Path, built: BuiltBundle):
    table_file, table = await split(tmp_path / "site.tar", tmp_path / "stick")
    before = {part.name: (tmp_path / "stick" / part.name).stat().st_mtime_ns for part in table.parts}
    table_file.unlink()
    last = tmp_path / "stick" / table.parts[-1].name
    last.unlink()
    (tmp_path / "stick" / f"{last.name}.partial").write_bytes(b"unfinished")
    assert await split(tmp_path / "site.tar", tmp_path / "stick") == (table_file, table)
    assert last.read_bytes() == built.content[table.parts[-1].start_bytes :]
    after = {part.name: (tmp_path / "stick" / part.name).stat().st_mtime_ns for part in table.parts[:-1]}
    assert after.items() <= before.items()  # whole parts were compared, not written
    assert not list((tmp_path / "stick").glob("*.partial"))


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("name", ["site.tar.part-001", "site.tar.part-999"])
async def test_parts_of_another_split_are_left_alone(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"another")
    with pytest.raises(ConfigurationFault, match=f"{name} is part of another split or another bundle; fix: remove it"):
        await split(tmp_path / "site.tar", tmp_path)
    assert (tmp_path / name).read_bytes() == b"another"
    assert not (tmp_path / "site.tar.part-002").exists()


@pytest.mark.usefixtures("built")
async def test_a_part_of_the_same_size_with_other_bytes_is_left_alone(tmp_path: Path):
    (tmp_path / "site.tar.part-002").write_bytes(b"x" * PART_BYTES)
    with pytest.raises(ConfigurationFault, match=r"site.tar.part-002 is part of another"):
        await split(tmp_path / "site.tar", tmp_path)
    assert (tmp_path / "site.tar.part-002").read_bytes() == b"x" * PART_BYTES


@pytest.mark.usefixtures("built")
async def test_parts_that_do_not_fit_are_refused_before_a_byte_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Usage:
        free = 4096

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(StorageFull, match=r"the parts need .*, and .* has 4.0 KiB free"):
        await split(tmp_path / "site.tar", tmp_path / "stick")
    assert list((tmp_path / "stick").iterdir()) == []


async def test_another_file_than_a_bundle_is_not_split(tmp_path: Path):
    (tmp_path / "site.tar").write_bytes(b"no bundle" * 1000)
    with pytest.raises(BundleInvalid, match="is not a bundle"):
        await split(tmp_path / "site.tar", tmp_path)


async def test_parts_are_split_again_into_other_sizes(tmp_path: Path, built: BuiltBundle):
    table_file, _ = await split(tmp_path / "site.tar", tmp_path / "stick")
    _, table = await split(table_file, tmp_path / "small", 1000)
    assert b"".join((tmp_path / "small" / part.name).read_bytes() for part in table.parts) == built.content


async def test_the_joined_parts_are_the_bundle(tmp_path: Path, built: BuiltBundle):
    table_file, _ = await split(tmp_path / "site.tar", tmp_path / "stick")
    await join_bundle(await parts_of(table_file), tmp_path / "again.tar", SilentProgress())
    assert (tmp_path / "again.tar").read_bytes() == built.content
    assert not (tmp_path / "again.tar.joining").exists()


async def test_parts_are_joined_in_several_runs_in_any_order(tmp_path: Path, built: BuiltBundle):
    table_file, table = await split(tmp_path / "site.tar", tmp_path / "stick")
    drives = [tmp_path / "a", tmp_path / "b"]
    for drive in drives:
        drive.mkdir()
        (drive / table_file.name).write_bytes(table_file.read_bytes())
    for place, part in enumerate(table.parts):
        (tmp_path / "stick" / part.name).rename(drives[place % 2] / part.name)
    target = tmp_path / "again.tar"
    with pytest.raises(BundleIncomplete, match=r"part 1 of \d+ .* is missing.*parts are joined in .*again.tar.joining"):
        await join_bundle(await parts_of(drives[1] / table_file.name), target, SilentProgress())
    assert not target.exists()
    await join_bundle(await parts_of(drives[0] / table_file.name), target, SilentProgress())
    assert target.read_bytes() == built.content


async def test_a_damaged_part_is_named_and_joined_when_it_was_copied_again(tmp_path: Path, built: BuiltBundle):
    table_file, _ = await split(tmp_path / "site.tar", tmp_path / "stick")
    part = tmp_path / "stick" / "site.tar.part-002"
    whole = part.read_bytes()
    part.write_bytes(b"!" + whole[1:])
    target = tmp_path / "again.tar"
    with pytest.raises(BundleInvalid, match=r"part 2 of \d+ \(site.tar.part-002\) is damaged.*; fix: copy"):
        await join_bundle(await parts_of(table_file), target, SilentProgress())
    assert not target.exists()
    part.write_bytes(whole)
    await join_bundle(await parts_of(table_file), target, SilentProgress())
    assert target.read_bytes() == built.content


@pytest.mark.usefixtures("built")
async def test_join_replaces_no_file(tmp_path: Path):
    table_file, _ = await split(tmp_path / "site.tar", tmp_path / "stick")
    (tmp_path / "other.tar").write_bytes(b"precious")
    with pytest.raises(ConfigurationFault, match=r"other.tar exists, with other bytes; fix:"):
        await join_bundle(await parts_of(table_file), tmp_path / "other.tar", SilentProgress())
    assert (tmp_path / "other.tar").read_bytes() == b"precious"
    await join_bundle(await parts_of(table_file), tmp_path / "site.tar", SilentProgress())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.tar", "site.tar", "stick"]


@pytest.mark.parametrize("part_bytes", [1000, PART_BYTES])
async def test_bytes_are_changed_in_place_and_the_tables_follow(tmp_path: Path, built: BuiltBundle, part_bytes: int):
    table_file, table = await split(tmp_path / "site.tar", tmp_path / "stick", part_bytes)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / table_file.name).write_bytes(table_file.read_bytes())
    foreign = tmp_path / "foreign" / table_file.name
    foreign.parent.mkdir()
    foreign.write_bytes(replace(table, statement=Digest.of(b"another bundle")).to_bytes())
    before = foreign.read_bytes()
    (placed,) = (each for each in built.layout.members if each.member.path == STATEMENT)
    unsigned = built.envelope.__class__(built.envelope.payload_type, built.envelope.payload)
    content = unsigned.to_bytes(placed.member.size_bytes)
    await overwrite(await open_source(table_file, [tmp_path / "other", foreign.parent]), placed.content_bytes, content)
    await overwrite(await FileSource.open(tmp_path / "site.tar"), placed.content_bytes, content)
    source = await parts_of(table_file)
    changed = built.with_content(STATEMENT, content)
    assert await read_range(source, 0, source.size_bytes) == changed
    assert (tmp_path / "site.tar").read_bytes() == changed
    for number, part in enumerate(source.table.parts, start=1):
        assert await source.digest_of_part(number) == part.digest
    assert (tmp_path / "other" / table_file.name).read_bytes() == table_file.read_bytes()
    assert foreign.read_bytes() == before


@pytest.mark.usefixtures("built")
async def test_bytes_of_a_missing_part_are_not_changed(tmp_path: Path):
    table_file, _ = await split(tmp_path / "site.tar", tmp_path / "stick")
    (tmp_path / "stick" / "site.tar.part-001").unlink()
    with pytest.raises(BundleIncomplete, match=r"part 1 of"):
        await overwrite(await open_source(table_file), 0, b"x")


def test_the_commands_split_and_join(tmp_path: Path, built: BuiltBundle, capsys: pytest.CaptureFixture[str]):
    stick = tmp_path / "stick"
    assert run(["bundle", "split", f"{tmp_path}/site.tar", "-o", str(stick), "--size", "5kB", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["table"] == f"{stick}/site.tar.parts.json"
    assert [Path(part["file"]).stat().st_size for part in told["parts"]] == [
        part["size_bytes"] for part in told["parts"]
    ]
    assert run(["bundle", "join", f"{stick}/site.tar.part-002", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == f"{stick}/site.tar"
    assert (stick / "site.tar").read_bytes() == built.content
    assert run(["bundle", "join", f"{stick}/site.tar"]) == exit_codes.WRONG_USAGE
    assert run(["bundle", "split", f"{tmp_path}/site.tar", "--size", "nothing"]) == exit_codes.WRONG_USAGE
    assert "--size 'nothing' is not a size; fix:" in capsys.readouterr().err
