"""Answers that carry a blob: by sendfile where it lies in a file and goes out in the clear, else piece by piece."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import IO, Final

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from mirror.oci.errors import MirrorError, StorageDamaged
from mirror.registry.port import Blob, Growing
from mirror.wire.ranges import Span

_TURN_BYTES: Final = 1024 * 1024

_log = structlog.get_logger(__name__)


class BlobResponse(web.StreamResponse):
    """An answer that carries a blob. It is either whole and right, or its connection breaks.

    Attributes:
        sent_bytes: bytes of the blob handed to the connection so far.
        sending_seconds: from the headers to the end, or to now.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status=status, headers=headers)
        self.sent_bytes = 0
        self._headers_at_seconds: float | None = None

    @property
    def sending_seconds(self) -> float:
        return 0.0 if self._headers_at_seconds is None else time.monotonic() - self._headers_at_seconds

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers."""
        self._headers_at_seconds = time.monotonic()
        return await super().prepare(request)

    async def send(self, request: web.BaseRequest, blob: Blob) -> None:
        """Send the blob's span, after :meth:`prepare`.

        Raises:
            StorageDamaged: there were fewer or more bytes than the span has.
            ConnectionError: the client went away.
            MirrorError: whatever the blob raises.
        """
        transport = None if request.secure else request.transport
        if blob.file is not None and transport is not None:
            await self._send_file(transport, blob.file, blob.span)
        elif isinstance(blob, Growing) and transport is not None:
            await self._send_growing(transport, blob, blob.span)
        else:
            await self._send_chunks(blob)
        if self.sent_bytes != blob.span.size_bytes:
            raise StorageDamaged(f"blob ended after {self.sent_bytes} of {blob.span.size_bytes} bytes")
        await self.write_eof()

    async def _send_file(self, transport: asyncio.Transport, file: IO[bytes], span: Span) -> None:
        """Send a part of a file. Others may read the file, so its position, which asyncio moves, is nobody's.

        It goes in turns, between which the process does what else there is to do: the kernel sends for as long as a
        client on a fast line keeps taking.
        """
        loop = asyncio.get_running_loop()
        position = span.start
        while position < span.stop:
            if position > span.start:
                await asyncio.sleep(0)
            if transport.is_closing():
                raise ConnectionResetError("the client went away")
            turn_bytes = min(span.stop - position, _TURN_BYTES)
            sent = _sent_at_once(transport, file, position, turn_bytes)
            if sent < turn_bytes:
                rest = position + sent, turn_bytes - sent
                try:
                    sent += await loop.sendfile(transport, file, *rest, fallback=False)
                except asyncio.SendfileNotAvailableError as error:
                    if transport.is_closing():
                        raise ConnectionResetError("the client went away") from error
                    sent += _sent_at_once(transport, file, *rest)  # raises what asyncio does not tell
            if not sent:
                return
            position += sent
            self.sent_bytes += sent

    async def _send_growing(self, transport: asyncio.Transport, blob: Growing, span: Span) -> None:
        position = span.start
        while position < span.stop:
            available = min(await blob.available(position), span.stop)
            await self._send_file(transport, blob.growing_file, Span(position, available))
            position = available

    async def _send_chunks(self, blob: Blob) -> None:
        async for chunk in blob:
            if self.sent_bytes + len(chunk) > blob.span.size_bytes:
                raise StorageDamaged(f"blob is longer than its {blob.span.size_bytes} bytes")
            await self.write(chunk)
            self.sent_bytes += len(chunk)

    def break_off(self, request: web.BaseRequest, error: Exception) -> None:
        """End the connection, so that the client cannot take what it got for the whole, and log why."""
        if request.transport is not None:
            request.transport.abort()
        if isinstance(error, ConnectionError | TimeoutError):
            _log.info("client disconnected during a download", sent_bytes=self.sent_bytes)
        elif isinstance(error, MirrorError):
            _log.error("download aborted", error=str(error), sent_bytes=self.sent_bytes, detail=error.detail)
        else:
            _log.error("download aborted", sent_bytes=self.sent_bytes, exc_info=error)


def _sent_at_once(transport: asyncio.Transport, file: IO[bytes], position: int, size_bytes: int) -> int:
    """Send what the kernel takes before it is waited for, which is all of a small blob; gives how many bytes that was.

    Half of the time that a blob of 1 MiB takes here would go into asyncio's preparations to wait.
    """
    socket = transport.get_extra_info("socket")
    if socket is None or transport.get_write_buffer_size():
        return 0
    try:
        return os.sendfile(socket.fileno(), file.fileno(), position, size_bytes)
    except BlockingIOError:
        return 0
