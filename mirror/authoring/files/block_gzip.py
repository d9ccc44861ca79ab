"""One gzip stream, compressed by several threads: the same bytes for the same content, however many there are.

The content is cut into blocks of one size. Each is compressed by itself, with the end of the one before as dictionary,
and ends on a whole byte, so that what comes out is put together into one stream (RFC 1951 and 1952; pigz does it so).

``zlib_ng.gzip_ng_threaded`` is not used: each of its threads uses one compressor again for all its blocks, and now and
then a block comes out otherwise after that (seen with 1.1.0), so that the bytes depend on the number of threads.
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

#: How much is given to :meth:`BlockGzip.add` at a time. Other sizes give other bytes.
BLOCK_BYTES: Final = 1024 * 1024
_LEVEL: Final = 6
_WINDOW_BYTES: Final = 32 * 1024
_MOST_THREADS: Final = 4
#: Deflate, without name or time, of the usual speed, made on Unix.
_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"


class BlockGzip:
    """Compresses, inside its ``with``. All calls block.

    Args:
        threads: how many compress at the same time; None: as many as there are processors, up to 4.
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
        self._pool.shutdown(cancel_futures=True)

    def add(self, block: bytes) -> bytes:
        """Take :data:`BLOCK_BYTES`; gives what is ready of the stream, in its order."""
        self._begin(block, zlib.Z_SYNC_FLUSH)
        return self._taken(self._threads + 1)

    def finish(self, block: bytes) -> bytes:
        """Take the last block, which may be shorter or empty; gives the rest of the stream."""
        self._begin(block, zlib.Z_FINISH)
        return self._taken(0) + struct.pack("<LL", self._check, self._size_bytes & 0xFFFFFFFF)

    def _begin(self, block: bytes, flush: int) -> None:
        self._check = zlib_ng.crc32(block, self._check)
        self._size_bytes += len(block)
        self._waiting.append(self._pool.submit(_compressed, block, self._window, flush))
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
