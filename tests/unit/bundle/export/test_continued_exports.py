"""Exports that are interrupted, and go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.bundle_errors import BundleFault
from mirror.bundle.export import exporting
from mirror.bundle.export.export_request import ExportRequest
from mirror.bundle.export.exporting import export_bundle
from mirror.bundle.export.output import journal_keeping
from mirror.bundle.export.output.content_writer import ContentWriter
from mirror.bundle.export.output.export_journal import ExportJournal
from mirror.bundle.export.output.single_file_output import SingleFileOutput, partial_of
from mirror.bundle.format.statement import MOST_MEMBERS
from mirror.oci import Digest, Repository
from mirror.oci.errors import (
    BlobUnknown,
    Busy,
    ConfigurationFault,
    StorageDamaged,
    StorageFault,
    StorageFull,
    UpstreamUnreachable,
)
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryBlob, MemoryRegistry
from mirror.registry.port import Blob
from mirror.transfer.progress_reporting import SilentProgress
from mirror.wire.ranges import RangeRequest
from tests.support.builders import hold
from tests.support.bundles import CREATED, small_plugin
from tests.support.export_requests import HERE, export_request, source_of

LAYERS = [bytes([number]) * (3 * 1024 * 1024 + number) for number in range(1, 4)]
BLOBS = {Digest.of(layer): layer for layer in LAYERS}
MEBIBYTE = 1024 * 1024


class Breaking:
    """A blob that ends early with an error, or waits for ever."""

    def __init__(self, inner: Blob, after_bytes: int, end: Callable[[], Awaitable[None]]) -> None:
        self.size_bytes, self.span, self.file = inner.size_bytes, inner.span, None
        self._inner, self._after_bytes, self._end = inner, after_bytes, end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        done = self.span.start
        async for chunk in self._inner:
            if done >= self._after_bytes:
                await self._end()
            yield chunk
            done += len(chunk)


class Source(DelegatingRegistry):
    """A registry that records which bytes are read, and breaks off as a test says."""

    def __init__(self) -> None:
        super().__init__(MemoryRegistry())
        self.read: dict[Digest, list[int]] = {}
        self.breaks: dict[Digest, int] = {}
        self.replaced: dict[Digest, bytes] = {}
        self.reached = asyncio.Event()
        self.end: Callable[[], Awaitable[None]] = self._broken

    async def _broken(self) -> None:
        raise UpstreamUnreachable("the line broke")

    async def wait_for_ever(self) -> None:
        self.reached.set()
        await asyncio.Event().wait()

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        async with super().open_blob(repository, digest, part) as blob:
            self.read.setdefault(digest, []).append(blob.span.start)
            found = MemoryBlob(self.replaced[digest], blob.span) if digest in self.replaced else blob
            after = self.breaks.get(digest)
            yield found if after is None else Breaking(found, after, self.end)

    def begun_at(self) -> dict[bytes, list[int]]:
        """Return where the reading of each layer began since the last call."""
        found = {BLOBS[digest]: starts for digest, starts in self.read.items() if digest in BLOBS}
        self.read = {}
        return found


@pytest.fixture
async def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    """Return a registry with a plugin. Its blobs are written one after the other, so that the last one breaks alone."""
    monkeypatch.setattr(exporting, "_BLOBS_AT_ONCE", 1)
    registry = Source()
    manifest, blobs = small_plugin(*LAYERS)
    await hold(registry, HERE, blobs, [manifest], "1.0")
    return registry


def request(output: Path, registry: Source, **more: object) -> ExportRequest:
    return export_request(output, source_of(registry), **more)


async def interrupted(wanted: ExportRequest, source: Source, broken: Digest, after_bytes: int) -> None:
    source.breaks = {broken: after_bytes}
    with pytest.raises(UpstreamUnreachable):
        await export_bundle(wanted, SilentProgress())
    source.breaks = {}
    assert not wanted.output.exists()


def last_layer() -> Digest:
    return max(BLOBS, key=str)


async def test_an_export_goes_on_within_a_blob(tmp_path: Path, source: Source) -> None:
    wanted = request(tmp_path / "f.tar", source)
    whole = await export_bundle(request(tmp_path / "whole.tar", source), SilentProgress())
    await interrupted(wanted, source, last_layer(), 2 * MEBIBYTE)
    source.begun_at()

    done = await export_bundle(wanted, SilentProgress())

    assert source.begun_at() == {BLOBS[last_layer()]: [2 * MEBIBYTE]}
    assert wanted.output.read_bytes() == whole.output.read_bytes()
    assert done.continued_bytes == whole.content_bytes - len(BLOBS[last_layer()]) + 2 * MEBIBYTE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.tar", "whole.tar"]


async def test_a_cancelled_export_goes_on(tmp_path: Path, source: Source) -> None:
    wanted = request(tmp_path / "f.tar", source)
    source.breaks, source.end = {last_layer(): MEBIBYTE}, source.wait_for_ever
    task = asyncio.create_task(export_bundle(wanted, SilentProgress()))
    await source.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    source.breaks = {}
    source.begun_at()

    await export_bundle(wanted, SilentProgress())

    assert source.begun_at()[BLOBS[last_layer()]] == [MEBIBYTE]


async def test_content_that_is_deleted_meanwhile_is_told(tmp_path: Path, source: Source) -> None:
    async def delete() -> None:
        raise BlobUnknown("no such blob", name=HERE)

    source.breaks, source.end = {last_layer(): MEBIBYTE}, delete

    with pytest.raises(BundleFault, match=r"no such blob: it was deleted .*; fix: run the command again"):
        await export_bundle(request(tmp_path / "f.tar", source), SilentProgress())

    assert not (tmp_path / "f.tar").exists()


async def test_an_export_that_goes_on_keeps_its_serial_and_time(tmp_path: Path, source: Source) -> None:
    wanted = request(tmp_path / "f.tar", source)
    await interrupted(wanted, source, last_layer(), 0)

    later = replace(wanted, created=CREATED.replace(hour=23))
    done = await export_bundle(later, SilentProgress())

    assert (done.serial, done.created) == (1, CREATED)


async def test_an_export_that_goes_on_after_others_takes_a_later_serial(tmp_path: Path, source: Source) -> None:
    wanted = request(tmp_path / "f.tar", source)
    await interrupted(wanted, source, last_layer(), MEBIBYTE)

    later = replace(wanted, next_serial=7, created=CREATED.replace(hour=23))
    done = await export_bundle(later, SilentProgress())

    assert (done.serial, done.created) == (7, later.created)
    assert done.continued_bytes > 0


async def test_a_serial_that_was_asked_for_wins(tmp_path: Path, source: Source) -> None:
    wanted = request(tmp_path / "f.tar", source)
    await interrupted(wanted, source, last_layer(), 0)

    done = await export_bundle(replace(wanted, serial=9), SilentProgress())

    assert done.serial == 9


async def test_other_content_begins_anew(tmp_path: Path, source: Source) -> None:
    wanted = request(tmp_path / "f.tar", source)
    await interrupted(wanted, source, last_layer(), MEBIBYTE)
    manifest, blobs = small_plugin(*LAYERS, b"one more")
    await hold(source, HERE, blobs, [manifest], "1.0")
    source.begun_at()

    done = await export_bundle(wanted, SilentProgress())

    assert done.continued_bytes == 0
    assert source.begun_at() == {layer: [0] for layer in LAYERS}


async def test_bytes_that_were_lost_after_an_interruption_are_written_again(tmp_path: Path, source: Source) -> None:
    whole = await export_bundle(request(tmp_path / "whole.tar", source), SilentProgress())
    wanted = request(tmp_path / "f.tar", source)
    await interrupted(wanted, source, last_layer(), 2 * MEBIBYTE)
    partial = partial_of(wanted.output)
    # As after a power failure: the file has its size and none of its bytes, and nothing was synced.
    partial.write_bytes(bytes(partial.stat().st_size))

    await export_bundle(wanted, SilentProgress())

    assert wanted.output.read_bytes() == whole.output.read_bytes()


@pytest.mark.parametrize(
    "journal", [b"", b"{}", b'{"format": 1}', b"\xff"], ids=["empty", "no format", "half", "bytes"]
)
async def test_a_damaged_journal_begins_anew(tmp_path: Path, source: Source, journal: bytes) -> None:
    wanted = request(tmp_path / "f.tar", source)
    await interrupted(wanted, source, last_layer(), MEBIBYTE)
    (tmp_path / "f.tar.partial.json").write_bytes(journal)

    assert (await export_bundle(wanted, SilentProgress())).continued_bytes == 0


@pytest.mark.parametrize("part_bytes", [None, 4 * MEBIBYTE])
async def test_links_in_a_circle_are_told(tmp_path: Path, source: Source, part_bytes: int | None) -> None:
    (tmp_path / "f.tar").symlink_to("f.tar")

    with pytest.raises(ConfigurationFault, match=r"f\.tar cannot be written: .*; fix: name another file"):
        await export_bundle(replace(request(tmp_path / "f.tar", source), part_bytes=part_bytes), SilentProgress())


async def test_two_exports_never_write_one_file(tmp_path: Path, source: Source) -> None:
    async with SingleFileOutput.open(tmp_path / "f.tar"):
        with pytest.raises(Busy, match="another command writes"):
            await export_bundle(request(tmp_path / "f.tar", source), SilentProgress())


async def test_a_disk_that_is_too_small_is_told_before_anything_is_read(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_output: SingleFileOutput, size_bytes: int) -> None:
        raise StorageFull(f"{size_bytes} bytes do not fit")

    monkeypatch.setattr(SingleFileOutput, "require_room", full)
    with pytest.raises(StorageFull):
        await export_bundle(request(tmp_path / "f.tar", source), SilentProgress())

    assert not source.begun_at()
    assert not list(tmp_path.iterdir())


async def test_a_medium_that_loses_bytes_is_noticed(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(output: SingleFileOutput) -> None:
        content = bytearray(output.partial.read_bytes())
        content[-4 * MEBIBYTE] ^= 1
        output.partial.write_bytes(content)

    monkeypatch.setattr(SingleFileOutput, "forget", lost)
    with pytest.raises(StorageDamaged, match="another medium"):
        await export_bundle(request(tmp_path / "f.tar", source, verify_written=True), SilentProgress())

    assert not (tmp_path / "f.tar").exists()


async def test_a_file_that_is_read_back_is_reported(tmp_path: Path, source: Source) -> None:
    done = await export_bundle(request(tmp_path / "f.tar", source, verify_written=True), SilentProgress())

    assert done.is_verified


async def test_an_existing_bundle_is_replaced_only_by_a_complete_one(tmp_path: Path, source: Source) -> None:
    wanted = request(tmp_path / "f.tar", source)
    wanted.output.write_bytes(b"the earlier one")
    source.breaks = {last_layer(): 0}
    with pytest.raises(UpstreamUnreachable):
        await export_bundle(wanted, SilentProgress())
    assert wanted.output.read_bytes() == b"the earlier one"

    source.breaks = {}
    done = await export_bundle(wanted, SilentProgress())

    assert wanted.output.stat().st_size == done.size_bytes


def test_a_journal_is_read_as_written() -> None:
    journal = ExportJournal(
        Digest.of(b"places"),
        "test",
        7,
        CREATED,
        Digest.of(b"before"),
        frozenset({0, 1, 2, 5}),
        frozenset({3, 7}),
        {4: 1024},
    )

    assert ExportJournal.parse(journal.to_bytes()) == journal
    assert json.loads(journal.to_bytes())["synced"] == [[0, 2], [5, 5]]


async def test_a_disk_that_fails_while_the_export_runs_ends_it(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_writer: ContentWriter) -> None:
        raise StorageFault("the disk failed")

    monkeypatch.setattr(ContentWriter, "sync", fails)
    monkeypatch.setattr(journal_keeping, "_SECONDS", 0.001)
    source.breaks, source.end = {last_layer(): 0}, source.wait_for_ever

    with pytest.raises(StorageFault, match="the disk failed"):
        await export_bundle(request(tmp_path / "f.tar", source), SilentProgress())

    assert not (tmp_path / "f.tar").exists()


async def test_half_a_line_of_the_journal_does_not_count(tmp_path: Path, source: Source) -> None:
    wanted = request(tmp_path / "f.tar", source)
    await interrupted(wanted, source, last_layer(), MEBIBYTE)
    with (tmp_path / "f.tar.partial.json").open("ab") as journal:
        journal.write(b'{"format": 1, "pla')
    source.begun_at()

    await export_bundle(wanted, SilentProgress())

    assert source.begun_at() == {BLOBS[last_layer()]: [MEBIBYTE]}


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_are_a_journal_or_none(content: bytes) -> None:
    ExportJournal.parse(content)


@given(
    st.dictionaries(
        st.sampled_from(["format", "places", "stream", "serial", "created", "previous", "synced", "written", "begun"]),
        st.none() | st.integers() | st.text(max_size=8) | st.lists(st.lists(st.integers(), max_size=3), max_size=3),
    )
)
def test_a_journal_with_wrong_values_is_none(changes: dict[str, object]) -> None:
    journal = ExportJournal(Digest.of(b"places"), "test", 7, CREATED, synced=frozenset({1}), begun={4: 1024})
    value = json.loads(journal.to_bytes()) | changes

    found = ExportJournal.parse(json.dumps(value).encode())

    assert found is None or len(found.synced) <= MOST_MEMBERS
