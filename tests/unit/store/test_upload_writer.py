"""Bytes on their way into an upload: gathered, but never without end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mirror.oci import Digest
from mirror.store.content.data_layout import UploadLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.uploads.running_hashes import RunningHash
from mirror.store.uploads.upload_writer import PIECE_BYTES, Pieces, PieceSizes, UploadWriter

MIB = 1024 * 1024


class Writes(Filesystem):
    """Notes the length of what is written, what the disk is set to work on, and what memory is let go of."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.begun: list[tuple[int, int]] = []
        self.left: list[int] = []

    def write(self, descriptor: int, content: bytes | bytearray, offset: int) -> None:
        self.lengths.append(len(content))
        super().write(descriptor, content, offset)

    def begin_sync(self, descriptor: int, offset: int, size_bytes: int) -> None:
        self.begun.append((offset, size_bytes))
        super().begin_sync(descriptor, offset, size_bytes)

    def let_go(self, descriptor: int, size_bytes: int) -> None:
        self.left.append(size_bytes)
        super().let_go(descriptor, size_bytes)


@pytest.fixture
def writes() -> Writes:
    return Writes()


@pytest.fixture
def receiving(tmp_path: Path, writes: Writes) -> Iterator[UploadWriter]:
    upload = UploadLayout(tmp_path)
    upload.session.touch()
    upload.data.touch()
    opened = UploadWriter(upload, writes)
    yield opened
    opened.close()


def read_again(receiving: UploadWriter) -> Digest:
    running = RunningHash("sha256")
    while receiving.hash_on(running, MIB):
        pass
    return running.digest


@contextmanager
def uploads(sizes: PieceSizes, count: int) -> Iterator[None]:
    """Others that are under way."""
    sizes.uploads += count
    yield
    sizes.uploads -= count


@pytest.mark.parametrize(
    ("count", "piece_bytes"),
    [(0, MIB), (1, MIB), (8, MIB), (16, MIB // 2), (32, MIB // 4), (64, MIB // 8), (1000, MIB // 8)],
)
def test_pieces_are_smaller_the_more_uploads_there_are(count: int, piece_bytes: int) -> None:
    sizes = PieceSizes()
    with uploads(sizes, count):
        assert sizes.piece_bytes == piece_bytes
    assert sizes.piece_bytes == PIECE_BYTES


async def chunks(total_bytes: int, chunk_bytes: int) -> AsyncIterator[bytes]:
    for start in range(0, total_bytes, chunk_bytes):
        yield bytes([start // chunk_bytes % 251]) * min(chunk_bytes, total_bytes - start)


@pytest.mark.parametrize(
    ("chunk_bytes", "others", "lengths"),
    [
        (MIB // 4, 0, [MIB // 4] * 12),  # as they came, whole
        (1024, 0, [MIB] * 3),  # put together
        (1024, 63, [MIB // 8] * 24),
        (3 * MIB, 63, [3 * MIB]),
    ],
)
async def test_what_is_written(
    receiving: UploadWriter, writes: Writes, chunk_bytes: int, others: int, lengths: list[int]
) -> None:
    sizes, running, expected = PieceSizes(), RunningHash("sha256"), b""
    with uploads(sizes, others), Pieces(receiving, running, sizes) as pieces:
        async for chunk in chunks(3 * MIB, chunk_bytes):
            await pieces.add(chunk)
            expected += chunk
        await pieces.finish()
    assert writes.lengths == lengths
    assert (receiving.size_bytes, running.size_bytes) == (3 * MIB, 3 * MIB)
    assert running.digest == read_again(receiving) == Digest.of(expected)
    assert sizes.uploads == 0


def test_the_disk_is_set_to_work_before_the_end(receiving: UploadWriter, writes: Writes) -> None:
    for _ in range(6):
        receiving.write([bytes(3 * MIB)], None)
    assert writes.begun == [(0, 9 * MIB), (9 * MIB, 9 * MIB)]
    receiving.truncate(10 * MIB)
    receiving.write([bytes(8 * MIB)], None)
    assert writes.begun[2:] == [(10 * MIB, 8 * MIB)]


def test_an_upload_takes_only_so_much_memory(
    receiving: UploadWriter, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror.store.uploads.upload_writer._KEPT_BYTES", 16 * MIB)
    content = bytes(range(256)) * (8 * MIB // 256)
    for _ in range(4):
        receiving.write([content], None)
    assert writes.left == [8 * MIB]
    assert read_again(receiving) == Digest.of(content * 4)


def test_what_is_read_meanwhile_stays_in_memory(
    tmp_path: Path, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror.store.uploads.upload_writer._KEPT_BYTES", 0)
    upload = UploadLayout(tmp_path)
    upload.session.touch()
    upload.data.touch()
    receiving = UploadWriter(upload, writes, is_read=True)
    for _ in range(4):
        receiving.write([bytes(8 * MIB)], None)
    receiving.close()
    assert writes.left == []
