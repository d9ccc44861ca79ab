"""Bytes of a bundle that are read at any offset: one file, or the parts of one."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from io import BufferedReader
from pathlib import Path
from typing import Final, Protocol

import aiofiles
import aiofiles.os
from aiofiles.threadpool import wrap
from aiofiles.threadpool.binary import AsyncBufferedReader

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.oci.errors import ConfigurationFault, StorageFault
from mirror.runtime.concurrency.threads import await_or_release, begin_in_thread, in_thread

#: Bytes read by one call into a thread.
HOP_BYTES: Final = 1024 * 1024


class ByteSource(Protocol):
    """Bytes that are read at any offset, by many tasks at once.

    Attributes:
        name: name in messages.
        size_bytes: number of bytes.
    """

    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...

    def chunks(self, start_bytes: int, size_bytes: int) -> AsyncIterator[bytes]:
        """Iterate over a range, in chunks of at most :data:`HOP_BYTES`.

        Raises:
            BundleInvalid: the file ends before the range does.
            BundleIncomplete: a part with bytes of the range is missing.
            StorageFault: the file cannot be read.
        """
        ...

    def missing(self, start_bytes: int, size_bytes: int) -> tuple[str, ...]:
        """Return the missing parts with bytes of a range, each as text for messages. Empty if all bytes are here."""
        ...

    async def damage(self, start_bytes: int, size_bytes: int) -> str:
        """Return the place of damaged bytes, as text for messages. Parts are read and compared with their table.

        Args:
            start_bytes: offset of the content whose digest is wrong.
            size_bytes: size of the content.
        """
        ...


class FileSource:
    """A bundle in one file. Implements :class:`ByteSource`. Created by :meth:`open`.

    Attributes:
        name: path of the file.
        size_bytes: size of the file.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self.name = str(path)
        self.size_bytes = size_bytes

    @classmethod
    async def open(cls, path: Path) -> FileSource:
        """Return the source for a file.

        Raises:
            ConfigurationFault: the file cannot be opened, or is not a regular file.
        """
        try:
            found = await aiofiles.os.stat(path)
            if not stat.S_ISREG(found.st_mode):  # to open a pipe would wait for its writer
                raise ConfigurationFault(f"{path} is a folder, pipe or device; fix: name a file")
            async with aiofiles.open(path, "rb"):
                pass
        except OSError as error:
            raise ConfigurationFault(f"{path} cannot be read: {error.strerror}") from error
        return cls(path, found.st_size)

    async def chunks(self, start_bytes: int, size_bytes: int) -> AsyncIterator[bytes]:
        # Each reader has a position of its own.
        position = start_bytes
        try:
            if 0 < size_bytes <= HOP_BYTES:
                # One call for a manifest or config, not one each to open, seek, read and close.
                yield await in_thread(_read_at, self._path, start_bytes, size_bytes)
                return
            # A file that is opened while the reader is cancelled must be closed too.
            opened = await await_or_release(begin_in_thread(self._path.open, "rb"), release=BufferedReader.close)
            file = wrap(opened)
            try:
                await file.seek(start_bytes)
                async for chunk in _read(file, size_bytes, self.name):
                    yield chunk
                    position += len(chunk)
            finally:
                await in_thread(opened.close)  # a second cancellation does not withdraw this call
        except OSError as error:
            raise StorageFault(f"{self.name} cannot be read at byte {position}: {error.strerror}") from error

    def missing(self, start_bytes: int, size_bytes: int) -> tuple[str, ...]:
        return ()

    async def damage(self, start_bytes: int, size_bytes: int) -> str:
        return f"bytes {start_bytes} to {start_bytes + size_bytes - 1} of {self.name} are damaged; fix: copy it again"


class BytesSource:
    """Bytes in memory. Implements :class:`ByteSource`.

    Attributes:
        name: name in messages.
        size_bytes: number of bytes.
    """

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.size_bytes = len(content)
        self._content = content

    async def chunks(self, start_bytes: int, size_bytes: int) -> AsyncIterator[bytes]:
        require_range(self, start_bytes, size_bytes)
        yield self._content[start_bytes : start_bytes + size_bytes]

    def missing(self, start_bytes: int, size_bytes: int) -> tuple[str, ...]:
        return ()

    async def damage(self, start_bytes: int, size_bytes: int) -> str:
        return f"bytes {start_bytes} to {start_bytes + size_bytes - 1} are damaged"


def require_range(source: ByteSource, start_bytes: int, size_bytes: int) -> None:
    """Raise BundleInvalid if a source ends before a range does."""
    missing_bytes = start_bytes + size_bytes - source.size_bytes
    if missing_bytes > 0:
        raise _too_short(source.name, missing_bytes)


async def read_range(source: ByteSource, start_bytes: int, size_bytes: int) -> bytes:
    """Return a small range of a source. Raises the errors of :meth:`ByteSource.chunks`."""
    return b"".join([chunk async for chunk in source.chunks(start_bytes, size_bytes)])


def _read_at(path: Path, start_bytes: int, size_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start_bytes)
        content = file.read(size_bytes)
    if len(content) < size_bytes:
        raise _too_short(str(path), size_bytes - len(content))
    return content


async def _read(file: AsyncBufferedReader, size_bytes: int, name: str) -> AsyncIterator[bytes]:
    left = size_bytes
    while left:
        chunk = await file.read(min(left, HOP_BYTES))
        if not chunk:
            raise _too_short(name, left)
        left -= len(chunk)
        yield chunk


def _too_short(name: str, missing_bytes: int) -> BundleInvalid:
    return BundleInvalid(f"{name} ends {missing_bytes} bytes too early", missing_bytes=missing_bytes)
