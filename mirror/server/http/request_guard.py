"""Bounds for what a client sends around its content, head and framing of chunks, and for what is read in one go.

aiohttp bounds each header and their number, but neither a head as a whole nor what lies between chunks; and it reads
whatever has arrived at once, which takes it a tenth of a second where each chunk has one byte. It has no public place
for such bounds: the tests see that they hold.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

#: Most bytes of the framing of chunks, and of trailers, beside a quarter of the content: chunks of 24 bytes are borne.
#: What is saved with larger chunks is not saved up.
MOST_FRAMING_BYTES: Final = 32 * 1024
#: So many times the longest header is the longest head.
_HEADERS_OF_FULL_LENGTH: Final = 4
#: What is read before it is looked at.
PIECE_BYTES: Final = 32 * 1024
# After a piece with so much framing the next one waits for its turn.
_DENSE_BYTES: Final = PIECE_BYTES // 16
# Requests that wait behind another one of their connection, before no more are read.
_MOST_WAITING: Final = 2
_NOTHING: Final = memoryview(b"")


class ReadRounds:
    """Calls one of those who wait in each round of the event loop, so that many take no longer than one."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, call: Callable[[], None]) -> None:
        """Let a function be called when it is its turn."""
        self._waiting.append(call)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        try:
            self._waiting[0]()
        finally:
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next)


class HeadTooLong(HttpProcessingError):
    """A head that has not ended within its bound."""


class GuardedHandler(web.RequestHandler):
    """Reads requests in pieces, and ends the connection where there is too much around their content.

    Args:
        rounds: whose turn it is, of all connections on which bodies come in small chunks.
        server: what answers.
        options: as for aiohttp.

    Attributes:
        body_bytes: how many bytes of the body under way have come, its framing included.
    """

    __slots__ = (
        "_content",
        "_deaf",
        "_framing_left",
        "_goes_on",
        "_head_bytes",
        "_held",
        "_is_chunked",
        "_is_dense",
        "_looked_at",
        "_rounds",
        "body_bytes",
    )

    def __init__(self, rounds: ReadRounds, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._rounds = rounds
        self._max_msg_queue_size, self._msg_queue_resume_size = _MOST_WAITING, _MOST_WAITING // 2
        self._held = _NOTHING
        self._goes_on = False
        self._deaf = self._is_dense = self._is_chunked = False
        self._head_bytes = self.body_bytes = 0
        self._content: StreamReader = EMPTY_PAYLOAD
        self._framing_left = MOST_FRAMING_BYTES
        self._looked_at = (0, 0)

    @property
    def most_head_bytes(self) -> int:
        """Length of the longest head, in bytes."""
        return _HEADERS_OF_FULL_LENGTH * self.max_field_size

    def data_received(self, data: bytes) -> None:
        """Take what has arrived. Called by asyncio; empty where aiohttp goes on with what it holds already."""
        is_light = len(data) <= PIECE_BYTES or self._is_content
        if not data or (is_light and not self._held and not self._is_dense):
            self._take(data)
            return
        self._held = memoryview(bytes(self._held) + data if self._held else data)
        if self._is_dense:
            self._pause_transport_reading()
            self._go_on_soon()
        else:
            self._go_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by asyncio."""
        self._held = _NOTHING
        super().connection_lost(exc)

    def _go_on(self) -> None:
        """Take what is held, piece by piece, for as long as nothing waits for its reader or for others."""
        self._goes_on = False
        while self._held and not self._is_full:
            piece, self._held = self._held[:PIECE_BYTES], self._held[PIECE_BYTES:]
            self._take(bytes(piece))
            if self._is_dense and self._held:
                self._go_on_soon()
                break
        if self._held:
            self._pause_transport_reading()
        elif not self._is_full:
            super()._resume_transport_reading()

    def _go_on_soon(self) -> None:
        if not self._goes_on:
            self._goes_on = True
            self._rounds.add(self._go_on)

    @property
    def _is_content(self) -> bool:
        """True where what comes next is the content of a body and nothing else, so that there is nothing to look at."""
        return not self._is_chunked and not self._content.is_eof()

    @property
    def _is_full(self) -> bool:
        return self._reading_paused or self._buffer_paused

    def _resume_transport_reading(self) -> None:
        """Called by aiohttp, which has room again: for what is held first."""
        if self._held:
            self._go_on_soon()
        else:
            super()._resume_transport_reading()

    def _take(self, piece: bytes) -> None:
        if self._deaf:
            return
        is_body, before = not self._content.is_eof(), self._request_count
        super().data_received(piece)
        if self._request_count != before:
            message, self._content = self._messages[-1]
            if isinstance(message, _ErrInfo):
                self._fall_deaf()
                return
            self._is_chunked = self._is_dense = message.chunked  # dense, until it is seen what they are like
            self._head_bytes = self.body_bytes = 0
            self._framing_left = MOST_FRAMING_BYTES
            self._looked_at = (0, self._content.total_bytes)
        elif is_body:
            self.body_bytes += len(piece)
            self._look_at_framing()
        else:
            self._head_bytes += len(piece)
            if self._head_bytes > self.most_head_bytes:
                self._refuse(HeadTooLong(message=f"its head is longer than {self.most_head_bytes} bytes"))

    def _look_at_framing(self) -> None:
        if self._reading_paused or self._content.is_eof():  # paused: some is waiting, and is no framing
            return
        body_bytes, content_bytes = self._looked_at
        self._looked_at = self.body_bytes, self._content.total_bytes
        content = self._content.total_bytes - content_bytes
        framing = self.body_bytes - body_bytes - content
        self._is_dense = framing > _DENSE_BYTES
        self._framing_left = min(MOST_FRAMING_BYTES, self._framing_left + content // 4 - framing)
        if self._framing_left < 0 and self.transport is not None:
            self._fall_deaf()
            self.transport.abort()

    def _refuse(self, error: HttpProcessingError) -> None:
        """Answer an error, after what was asked before, as the last thing on this connection."""
        self._fall_deaf()
        self._messages.append((_ErrInfo(431, error, error.message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fall_deaf(self) -> None:
        """Drop whatever else comes: a client that could not send it would not read its answer."""
        self._deaf, self._held = True, _NOTHING
