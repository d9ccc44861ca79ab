"""Files hashed by reading them: in steps, and few at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mirror.oci import Digest
from mirror.oci.digest import ALGORITHMS
from mirror.store.content.data_layout import UploadLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.uploads.rehashing import STEP_BYTES, Rehashing
from mirror.store.uploads.running_hashes import RunningHash
from mirror.store.uploads.upload_writer import UploadWriter


class Read(UploadWriter):
    """A recorder of the size of each step, and of the files that are open for hashing."""

    begun: set[Read]
    steps: list[int]
    lock = threading.Lock()
    most_begun = 0

    def hash_on(self, running: RunningHash, most_bytes: int) -> bool:
        with Read.lock:
            Read.begun.add(self)
            Read.most_begun = max(Read.most_begun, len(Read.begun))
        before = running.size_bytes
        more = super().hash_on(running, most_bytes)
        with Read.lock:
            Read.steps.append(running.size_bytes - before)
            if not more:
                Read.begun.discard(self)
        return more


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[Read]]:
    Read.begun, Read.steps, Read.most_begun = set(), [], 0
    with ExitStack() as stack:
        opened = []
        for number in range(5):
            upload = UploadLayout(tmp_path / str(number))
            upload.folder.mkdir()
            upload.session.touch()
            upload.data.write_bytes(content(number))
            opened.append(Read(upload, Filesystem()))
            stack.callback(opened[-1].close)
        yield opened


def content(number: int) -> bytes:
    return bytes([number]) * (2 * STEP_BYTES + number)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_they_are_read_in_steps_and_few_at_a_time(files: list[Read], algorithm: str) -> None:
    rehashing = Rehashing()
    digests = await asyncio.gather(*(rehashing.digest(file, algorithm) for file in files))
    assert digests == [Digest.of(content(number), algorithm) for number in range(len(files))]
    assert max(Read.steps) == STEP_BYTES
    assert Read.most_begun <= 2
