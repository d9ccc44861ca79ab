"""Responses carrying a blob. A blob in a file is sent from the file, others chunk by chunk."""

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
from mirror.server.http.client_connection import ClientConnection
from mirror.server.tls.tls_transport import TlsTransport
from mirror.wire.ranges import Span

#: Most bytes sent before other tasks of the event loop run.
_TURN_BYTES: Final = 1024 * 1024

_log = structlog.get_logger(__name__)


class BlobResponse(web.StreamResponse):
    """A response carrying a blob. The connection breaks unless the whole blob, or the requested part, is sent.

    Attributes:
        sent_bytes: bytes of the blob passed to the connection so far.
        sending_seconds: seconds since the headers were sent; 0 if they were not sent.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status=status, headers=headers)
        self.sent_bytes = 0
        self._headers_at_seconds: float | None = None

    @property
    def sending_seconds(self) -> float:
        return 0.0 if self._headers_at_seconds is None else time.monotonic() - self._headers_at_seconds

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers, and note the time."""
        self._headers_at_seconds = time.monotonic()
        return await super().prepare(request)

    async def send(self, request: web.BaseRequest, blob: Blob) -> None:
        """Send the blob's span. Call :meth:`prepare` first.

        Raises:
            StorageDamaged: the blob has fewer or more bytes than its span.
            ConnectionError: the client disconnected.
            MirrorError: any error raised while the blob is read.
        """
        transport = request.transport
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
        """Send a part of a file, in turns of 1 MiB.

        Other tasks run between the turns, because the kernel sends for as long as a client on a fast line receives.
        Positions are passed with each call: readers may share the file, and asyncio moves the file's own position.
        """
        position = span.start
        while position < span.stop:
            if position > span.start:
                await asyncio.sleep(0)
            if transport.is_closing():
                raise ConnectionResetError("the client disconnected")
            turn_bytes = min(span.stop - position, _TURN_BYTES)
            if isinstance(transport, TlsTransport):
                sent = await transport.send_file(file, position, turn_bytes)
            else:
                sent = await _sent_by_kernel(transport, file, position, turn_bytes)
            if not sent:  # the file is shorter than expected; send() reports this
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
        """Abort the connection, so that the client cannot mistake a part for the whole blob, and log the reason."""
        if request.transport is not None:
            request.transport.abort()
        connection = request.protocol
        if isinstance(connection, ClientConnection) and connection.ended_because:
            _log.info("download given up", reason=connection.ended_because, sent_bytes=self.sent_bytes)
        elif isinstance(error, ConnectionError | TimeoutError):
            _log.info("client disconnected during a download", sent_bytes=self.sent_bytes)
        elif isinstance(error, MirrorError):
            _log.error("download aborted", error=str(error), sent_bytes=self.sent_bytes, detail=error.detail)
        else:
            _log.error("download aborted", sent_bytes=self.sent_bytes, exc_info=error)


async def _sent_by_kernel(transport: asyncio.Transport, file: IO[bytes], position: int, size_bytes: int) -> int:
    """Send a part of a file by sendfile. Return the number of bytes sent, which is less if the file is shorter."""
    # First without asyncio: a small blob leaves in this one call, see _sent_at_once().
    sent = _sent_at_once(transport, file, position, size_bytes)
    if sent < size_bytes:
        rest = position + sent, size_bytes - sent
        try:
            sent += await asyncio.get_running_loop().sendfile(transport, file, *rest, fallback=False)
        except asyncio.SendfileNotAvailableError as error:
            # asyncio reports every failed first sendfile like this, a failing disk as well as a lost client.
            if transport.is_closing():
                raise ConnectionResetError("the client disconnected") from error
            sent += _sent_at_once(transport, file, *rest)  # raises the actual error
    return sent


def _sent_at_once(transport: asyncio.Transport, file: IO[bytes], position: int, size_bytes: int) -> int:
    """Send as much as the socket takes without waiting. Return the number of bytes sent.

    A small blob is sent completely. asyncio's preparations for waiting would take half of the time for a blob of 1 MiB.
    """
    socket = transport.get_extra_info("socket")
    # Bytes in asyncio's buffer come first: the headers, or the end of an earlier answer.
    if socket is None or transport.get_write_buffer_size():
        return 0
    try:
        return os.sendfile(socket.fileno(), file.fileno(), position, size_bytes)
    except BlockingIOError:
        return 0
