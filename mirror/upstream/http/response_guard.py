"""Bounds on what an upstream sends around its content: interim answers, heads, the framing of chunks.

aiohttp bounds each header field and their number, but not how many heads an answer has, nor what lies between its
chunks; and it reads whatever has arrived in one go. The bounds are here, in the protocol that is fed by the connection,
because only here can a flood be stopped in the middle of a piece, before it is queued, and for every way there: direct,
through a proxy, to the proxy itself, inside TLS, and for token servers as for registries. aiohttp has no public place
for a protocol of one's own: :func:`guarded` sets a private attribute, and the tests go every way to see that it holds.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

#: Most interim answers (100, 102, 103 …) before the answer. Servers send one or two.
MOST_INTERIM_ANSWERS: Final = 16
#: Most bytes until the head of an answer has ended, interim answers included.
MOST_HEAD_BYTES: Final = 256 * 1024
#: Most bytes of the framing of chunks, and of trailers, beside a quarter of the content: chunks of 24 bytes are borne.
MOST_FRAMING_BYTES: Final = 32 * 1024
# A head is read in such pieces, so that a flood of them is noticed before much of it was parsed.
_HEAD_PIECE_BYTES: Final = 8 * 1024
# The same for chunks; what comes in one piece as long as it is goes through whole.
_CHUNKED_PIECE_BYTES: Final = 32 * 1024

Connector = TypeVar("Connector", bound=aiohttp.TCPConnector)


class FloodError(aiohttp.ClientError):
    """An answer with more around its content than any server needs."""


class GuardedProtocol(ResponseHandler):
    """Reads answers, ends the connection where one is flooded, and where something comes that nobody asked for.

    Bytes that arrive between two requests would be taken for the answer to the next one.

    Attributes:
        made_by: what must live as long as the connection.
    """

    made_by: object = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._interim = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._content: StreamReader | None = None
        self._chunked = False
        self._ended = False

    def set_response_params(self, **params: Any) -> None:
        """Begin to wait for an answer."""
        self._interim = self._head_bytes = self._body_bytes = 0
        self._content = None
        self._chunked = False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived. Empty where aiohttp goes on with what it holds already."""
        if not data:
            super().data_received(data)
            self._look_at_framing()
        left = memoryview(data)
        while left and not self._ended:
            if self._content is not None and self._content.is_eof():
                self._end("it went on after its end")
                return
            piece = left[: self._piece_bytes]
            left = left[len(piece) :]
            is_head = self._content is None
            super().data_received(bytes(piece) if left or len(piece) < len(data) else data)
            if is_head:
                self._head_bytes += len(piece)
                if self._content is None and self._head_bytes > MOST_HEAD_BYTES:
                    self._end(f"its head is longer than {MOST_HEAD_BYTES} bytes")
            else:
                self._body_bytes += len(piece)
                self._look_at_framing()

    @property
    def _piece_bytes(self) -> int | None:
        """Bytes that are read before the bounds are checked again."""
        if self._content is None:
            return _HEAD_PIECE_BYTES
        return _CHUNKED_PIECE_BYTES if self._chunked and not self._reading_paused else None

    def _look_at_framing(self) -> None:
        if self._content is None or self._reading_paused:  # paused: some is waiting, and is no framing
            return
        got = self._content.total_bytes
        framing = self._body_bytes - got
        if framing > MOST_FRAMING_BYTES + got // 4:
            self._end(f"its body has {framing} bytes of framing around {got} of content")

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take a head that was read, and the content that will follow it."""
        message, content = data
        if self._ended:
            return
        if self._content is not None:
            self._end("it sent another answer, which nobody has asked for")
        elif 100 <= message.code < 200 and message.code != 101:
            self._interim += 1
            if self._interim > MOST_INTERIM_ANSWERS:
                self._end(f"it sent more than {MOST_INTERIM_ANSWERS} interim answers, of status 1xx")
            else:
                super().feed_data(data, size)
        else:
            self._content = content
            self._chunked = message.chunked
            super().feed_data(data, size)

    def _end(self, why: str) -> None:
        self._ended = True
        error = FloodError(why)
        unread = self._content is not None and not self._content.is_eof()
        if unread and self._content is not None:
            self._content.set_exception(error)
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


def guarded(connector: Connector) -> Connector:
    """A connector whose connections are guarded."""
    connector._factory = partial(_protocol, loop=asyncio.get_running_loop())
    return connector


def _protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return GuardedProtocol(loop)
