"""Limits on request heads, on the framing of chunked bodies, and on the amount of input parsed in one step.

aiohttp 3.14 limits each header and their number, but neither the whole head nor the bytes between chunks. It also
parses all received input at once, which takes a tenth of a second if each chunk holds one byte. aiohttp has no public
hooks for such limits, so this module uses private ones. The tests fail if an upgrade breaks them.
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

#: Most bytes of chunk framing and trailers, beyond a quarter of the content. This allows chunks of 24 bytes. Large
#: chunks do not earn an allowance for small chunks later.
MOST_FRAMING_BYTES: Final = 32 * 1024
#: The head may be this many times as long as the longest header.
_HEADERS_OF_FULL_LENGTH: Final = 4
#: Most bytes parsed before the framing is checked.
PIECE_BYTES: Final = 32 * 1024
# A piece with more framing than this makes the connection wait for its turn before the next piece.
_DENSE_BYTES: Final = PIECE_BYTES // 16
# Pipelined requests waiting on a connection; at this number reading pauses.
_MOST_WAITING: Final = 2
_NOTHING: Final = memoryview(b"")


class ReadRounds:
    """Runs one waiting call in each round of the event loop. Many connections thus delay others no more than one."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, call: Callable[[], None]) -> None:
        """Queue a call."""
        self._waiting.append(call)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        try:
            self._waiting[0]()
        finally:
            # Removed after the call: add() must not schedule a second round while this one runs.
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next)


class HeadTooLong(HttpProcessingError):
    """A request head longer than its limit."""


class GuardedHandler(web.RequestHandler):
    """Parses requests in pieces, and ends connections with too much input around their content.

    Args:
        rounds: schedules the connections whose bodies arrive in small chunks.
        server: handles the requests.
        options: passed to aiohttp.

    Attributes:
        body_bytes: bytes received of the current body, framing included.
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
        """Length of the longest accepted head, in bytes."""
        return _HEADERS_OF_FULL_LENGTH * self.max_field_size

    def data_received(self, data: bytes) -> None:
        """Take received input. Called by asyncio, and with no bytes by aiohttp to continue with its own buffer."""
        is_light = len(data) <= PIECE_BYTES or self._is_content
        # The usual case: no copy, and no wait for a turn.
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
        """Drop the held input. Called by asyncio."""
        self._held = _NOTHING
        super().connection_lost(exc)

    def _go_on(self) -> None:
        """Parse held input piece by piece, until input waits for its reader or for the turn of other connections."""
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
        """True if only content of a body without chunks follows, so that there is no framing to check."""
        return not self._is_chunked and not self._content.is_eof()

    @property
    def _is_full(self) -> bool:
        return self._reading_paused or self._buffer_paused

    def _resume_transport_reading(self) -> None:
        """Parse held input before reading more. Called by aiohttp when its buffer has room again."""
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
            if isinstance(message, _ErrInfo):  # aiohttp found an error and answers it; nothing after it is parsed
                self._fall_deaf()
                return
            # A chunked body counts as dense until its first piece shows the size of its chunks.
            self._is_chunked = self._is_dense = message.chunked
            self._head_bytes = self.body_bytes = 0
            self._framing_left = MOST_FRAMING_BYTES
            self._looked_at = (0, self._content.total_bytes)
        elif is_body:
            self.body_bytes += len(piece)
            self._look_at_framing()
        else:
            self._head_bytes += len(piece)
            if self._head_bytes > self.most_head_bytes:
                self._refuse(HeadTooLong(message=f"the request head is longer than {self.most_head_bytes} bytes"))

    def _look_at_framing(self) -> None:
        # While reading is paused, content waits in aiohttp's buffer and would be mistaken for framing.
        if self._reading_paused or self._content.is_eof():
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
        """Answer an error after all earlier requests, as the last answer on this connection."""
        self._fall_deaf()
        # Queued like aiohttp's own parse errors, so that answers keep the order of the requests.
        self._messages.append((_ErrInfo(431, error, error.message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fall_deaf(self) -> None:
        """Drop all further input. The transport is still read, because a blocked client would not read its answer."""
        self._deaf, self._held = True, _NOTHING
