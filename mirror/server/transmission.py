"""How a blob leaves: by sendfile where it lies in a file and goes out in the clear, else piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import IO

import structlog
from aiohttp import web

from mirror.oci.errors import MirrorError, StorageDamaged
from mirror.registry.port import Blob
from mirror.wire.ranges import Span

_log = structlog.get_logger(__name__)


class BlobResponse(web.StreamResponse):
    """An answer that carries a blob. It is either whole and right, or its connection breaks.

    Attributes:
        sent_bytes: bytes of the blob handed to the connection so far.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status=status, headers=headers)
        self.sent_bytes = 0

    async def send(self, request: web.Request, blob: Blob) -> None:
        """Send the blob's span, after :meth:`prepare`.

        Raises:
            StorageDamaged: there were fewer or more bytes than the span has.
            ConnectionError: the client went away.
            MirrorError: whatever the blob raises.
        """
        if blob.file is not None and request.transport is not None and request.secure is False:
            await self._send_file(request.transport, blob.file, blob.span)
        else:
            await self._send_chunks(blob)
        if self.sent_bytes != blob.span.size_bytes:
            raise StorageDamaged(f"blob ended after {self.sent_bytes} of {blob.span.size_bytes} bytes")
        await self.write_eof()

    async def _send_file(self, transport: asyncio.Transport, file: IO[bytes], span: Span) -> None:
        if transport.is_closing():
            raise ConnectionResetError("the client went away")
        if not span.size_bytes:
            return
        file.seek(span.start)
        try:
            await asyncio.get_running_loop().sendfile(transport, file, span.start, span.size_bytes)
        finally:
            self.sent_bytes = file.tell() - span.start  # kept right by asyncio, also where it raises

    async def _send_chunks(self, blob: Blob) -> None:
        async for chunk in blob:
            if self.sent_bytes + len(chunk) > blob.span.size_bytes:
                raise StorageDamaged(f"blob is longer than its {blob.span.size_bytes} bytes")
            await self.write(chunk)
            self.sent_bytes += len(chunk)

    def break_off(self, request: web.Request, error: Exception) -> None:
        """End the connection, so that the client cannot take what it got for the whole, and log why."""
        if request.transport is not None:
            request.transport.abort()
        if isinstance(error, ConnectionError | TimeoutError):
            _log.info("client left during a download", sent_bytes=self.sent_bytes)
        elif isinstance(error, MirrorError):
            _log.error("download broken off", error=str(error), sent_bytes=self.sent_bytes, detail=error.detail)
        else:
            _log.error("download broken off", sent_bytes=self.sent_bytes, exc_info=error)
