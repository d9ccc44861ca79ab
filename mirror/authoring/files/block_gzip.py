"""Compress one gzip stream in several threads. The bytes do not depend on the number of threads.

The content is cut into blocks of one size. Each block is compressed separately, with the end of the previous block as
dictionary, and ends on a byte boundary. So the compressed blocks form one stream (RFC 1951 and 1952, as in pigz).

``zlib_ng.gzip_ng_threaded`` is not used. Each of its threads reuses one compressor for all its blocks, and some blocks
then differ (seen with 1.1.0), so that the bytes depend on the number of threads.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from zlib_ng import zlib_ng

#: Size of a block for :meth:`BlockGzip.add`. Another size would change the compressed bytes, and so all digests.
BLOCK_BYTES: Final = 1024 * 1024
#: On Debian's ``/usr/lib``, zlib-ng at level 6 takes a third of the time of ``gzip -6``, for 2 % more bytes (ADR 15).
_LEVEL: Final = 6
_WINDOW_BYTES: Final = 32 * 1024
_MOST_THREADS: Final = 4
#: Deflate, no file name and no time, so that the same content gives the same bytes. Made on Unix.
_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"


class BlockGzip:
    """A compressor for one stream, used inside its ``with`` block. All methods block.

    Args:
        threads: number of threads. None for the number of processors, at most 4.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads or min(os.cpu_count() or 1, _MOST_THREADS)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="gzip")
        self._waiting: deque[Future[bytes]] = deque()
        self._ready = bytearray(_HEADER)
        self._window = b""
        self._check = 0
        self._size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # After an error, blocks that no thread has begun need not be compressed any more.
        self._pool.shutdown(cancel_futures=True)

    def add(self, block: bytes) -> bytes:
        """Compress a block of exactly :data:`BLOCK_BYTES`.

        Returns:
            The next bytes of the stream that are ready, which may be none.
        """
        self._begin(block, zlib.Z_SYNC_FLUSH)
        # One block more than threads may wait, so that no thread is idle and memory stays bounded.
        return self._taken(self._threads + 1)

    def finish(self, block: bytes) -> bytes:
        """Compress the last block, which may be shorter or empty.

        Returns:
            The rest of the stream, with checksum and size.
        """
        self._begin(block, zlib.Z_FINISH)
        # gzip stores the size modulo 4 GiB (RFC 1952).
        return self._taken(0) + struct.pack("<LL", self._check, self._size_bytes & 0xFFFFFFFF)

    def _begin(self, block: bytes, flush: int) -> None:
        self._check = zlib_ng.crc32(block, self._check)
        self._size_bytes += len(block)
        self._waiting.append(self._pool.submit(_compressed, block, self._window, flush))
        # Deflate refers back at most 32 KiB, so more of the previous block would not help.
        self._window = block[-_WINDOW_BYTES:]

    def _taken(self, most_waiting: int) -> bytes:
        while len(self._waiting) > most_waiting:
            self._ready += self._waiting.popleft().result()
        taken = bytes(self._ready)
        self._ready.clear()
        return taken


def _compressed(block: bytes, window: bytes, flush: int) -> bytes:
    settings = (_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY)
    compressor = zlib_ng.compressobj(*settings, window) if window else zlib_ng.compressobj(*settings)
    return compressor.compress(block) + compressor.flush(flush)
