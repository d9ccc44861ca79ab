"""Beginnings of bundles in parts, kept so that an import goes on without the first part."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mirror.oci import Digest
from mirror.oci.errors import StorageFault
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.storage_threads import in_thread


class BundleHeads:
    """The beginnings of bundles whose import is not complete. They lie in ``uploads/`` and expire like uploads.

    Args:
        layout: the data folder.
        filesystem: changes the files.
    """

    def __init__(self, layout: DataLayout, filesystem: Filesystem) -> None:
        self._layout = layout
        self._filesystem = filesystem

    async def find(self, statement: Digest) -> Path | None:
        """Return the file with the beginning of a bundle; None if none is kept. The file expires later from now on."""
        return await in_thread("look for the beginning of a bundle", self._find, self._layout.bundle_head(statement))

    async def keep(self, statement: Digest, chunks: AsyncIterable[bytes]) -> None:
        """Keep the beginning of a bundle.

        Args:
            statement: digest of the statement.
            chunks: the bytes, from the first one on.

        Raises:
            StorageFull, StorageFault: the disk failed, and nothing is kept.
        """
        doing, fresh = "keep the beginning of a bundle", self._layout.uploads / f"{secrets.token_hex(8)}.head"
        await in_thread(doing, self._filesystem.create_file, fresh, b"")
        try:
            size_bytes = 0
            async for chunk in chunks:
                await in_thread(doing, self._append, fresh, chunk, size_bytes)
                size_bytes += len(chunk)
            await in_thread(doing, self._adopt, fresh, self._layout.bundle_head(statement))
        except BaseException:
            with suppress(StorageFault):
                await in_thread(doing, self._filesystem.remove, fresh)
            raise

    async def remove(self, statement: Digest) -> None:
        """Remove the beginning of a bundle, if one is kept. Raises StorageFault."""
        await in_thread(
            "remove the beginning of a bundle", self._filesystem.remove, self._layout.bundle_head(statement)
        )

    # Each call opens the file: a call that a cancellation has left behind must not find its descriptor closed.
    def _append(self, file: Path, chunk: bytes, offset: int) -> None:
        with _opened(file) as descriptor:
            self._filesystem.write(descriptor, chunk, offset)

    def _adopt(self, file: Path, target: Path) -> None:
        with _opened(file) as descriptor:
            self._filesystem.sync(descriptor)
        self._filesystem.rename(file, target)

    def _find(self, file: Path) -> Path | None:
        try:
            os.utime(file)
        except FileNotFoundError:
            return None
        return file


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
