"""Bounds on everything an upstream sends besides content: interim answers, heads and the framing of chunks.

aiohttp limits the length and the number of header fields, but neither the number of heads of an answer nor the bytes
between its chunks. aiohttp also parses all received bytes in one call. Therefore the bounds are enforced in the
protocol class, before the bytes are queued. This is the only place that can stop a flood in the middle of a received
piece. It covers every route: direct, through a proxy, to the proxy itself, inside TLS, for token servers and for
registries. aiohttp has no public hook for a custom protocol class, so :func:`guarded` sets a private attribute. The
tests cover every route, to detect a change in aiohttp.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

#: Most interim answers (100, 102, 103 …) before the final answer. Real servers send one or two.
MOST_INTERIM_ANSWERS: Final = 16
#: Most bytes up to the end of an answer's head, including interim answers.
MOST_HEAD_BYTES: Final = 256 * 1024
#: Most bytes of chunk framing and trailers, in addition to a quarter of the content. Chunks of 24 bytes still pass.
MOST_FRAMING_BYTES: Final = 32 * 1024
# A head is parsed in pieces of this size, so a flood is noticed before much of it has been parsed.
_HEAD_PIECE_BYTES: Final = 8 * 1024
# Size of the pieces for chunked bodies. Bodies with a length have no framing and are passed on in one piece.
_CHUNKED_PIECE_BYTES: Final = 32 * 1024

Connector = TypeVar("Connector", bound=aiohttp.TCPConnector)


class FloodError(aiohttp.ClientError):
    """An answer with far more bytes around its content than any server needs."""


class GuardedProtocol(ResponseHandler):
    """A parser of answers that aborts the connection on a flood, and on bytes that arrive without a pending request.

    Bytes between two requests would otherwise be taken for the answer to the next request.

    Attributes:
        made_by: an object that must live as long as the connection.
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
        """Prepare for the next answer."""
        self._interim = self._head_bytes = self._body_bytes = 0
        self._content = None
        self._chunked = False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Process received bytes. aiohttp passes empty data to resume parsing of buffered bytes."""
        if not data:
            super().data_received(data)
            self._look_at_framing()
        left = memoryview(data)
        while left and not self._ended:
            if self._content is not None and self._content.is_eof():
                self._end("more data followed its end")
                return
            piece = left[: self._piece_bytes]
            left = left[len(piece) :]
            is_head = self._content is None
            # ``data`` itself if possible, which avoids a copy of the piece.
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
        """Number of bytes to parse before the next check of the bounds; None: all."""
        if self._content is None:
            return _HEAD_PIECE_BYTES
        return _CHUNKED_PIECE_BYTES if self._chunked and not self._reading_paused else None

    def _look_at_framing(self) -> None:
        # While reading is paused, received content waits to be parsed and must not count as framing.
        if self._content is None or self._reading_paused:
            return
        got = self._content.total_bytes
        framing = self._body_bytes - got
        if framing > MOST_FRAMING_BYTES + got // 4:
            self._end(f"its body has {framing} bytes of framing around {got} of content")

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Receive a parsed head and the stream of the content that follows."""
        message, content = data
        if self._ended:
            return
        if self._content is not None:
            self._end("the upstream sent another answer without a request")
        # 101 is a final answer: the connection changes to another protocol.
        elif 100 <= message.code < 200 and message.code != 101:
            self._interim += 1
            if self._interim > MOST_INTERIM_ANSWERS:
                self._end(f"the upstream sent more than {MOST_INTERIM_ANSWERS} interim answers, of status 1xx")
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
        # ``close`` would wait until the write buffer is empty.
        if self.transport is not None:
            self.transport.abort()


def guarded(connector: Connector) -> Connector:
    """Make all connections of a connector guarded, and return the connector."""
    connector._factory = partial(_protocol, loop=asyncio.get_running_loop())
    return connector


def _protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return GuardedProtocol(loop)
