"""Many clients of one blob at the same time, in one thread: threads would wait for each other, and measure that."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from tests.bench.client import WrongAnswerError
from tests.bench.content import KIB, MIB

_TIMEOUT_SECONDS = 120
#: What is read at a time while a client still waits for its first byte: more would have it wait for us.
_FIRST_BYTES = 64 * KIB
_END_OF_HEADERS = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a client saw: when its first byte of the blob came, and its last, after it had asked."""

    first_byte_seconds: float
    seconds: float


def take(port: int, path: str, size_bytes: int, *, clients: int) -> Sequence[Taken]:
    """Have `clients` GET one blob, each over a connection of its own, and read it as fast as it comes.

    Raises `WrongAnswerError` for anything but 200 and `size_bytes`, and `TimeoutError` where nothing comes any more.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    with ExitStack() as stack:
        waiting = stack.enter_context(selectors.DefaultSelector())
        for _ in range(clients):
            connection = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
            waiting.register(connection, selectors.EVENT_READ, _Client(connection, path, size_bytes))
        for key in waiting.get_map().values():
            key.data.ask(request)
        return list(_taken(waiting))


def _taken(waiting: selectors.BaseSelector) -> Iterator[Taken]:
    buffer = memoryview(bytearray(MIB))
    still_nothing = len(waiting.get_map())
    while waiting.get_map():
        ready = waiting.select(_TIMEOUT_SECONDS)
        if not ready:
            raise TimeoutError(f"nothing came for {_TIMEOUT_SECONDS} s")
        for key, _ in sorted(ready, key=lambda each: each[0].data.has_begun):
            had_begun = key.data.has_begun
            taken = key.data.receive(buffer[:_FIRST_BYTES] if still_nothing else buffer)
            still_nothing -= key.data.has_begun - had_begun
            if taken is not None:
                waiting.unregister(key.fileobj)
                yield taken


class _Client:
    def __init__(self, connection: socket.socket, path: str, size_bytes: int) -> None:
        self._connection = connection
        self._path = path
        self._size_bytes = size_bytes
        self._head = b""
        self._received_bytes = -1
        self._first_byte_seconds = 0.0

    def ask(self, request: bytes) -> None:
        self._asked_at = time.monotonic()
        self._connection.sendall(request)

    @property
    def has_begun(self) -> bool:
        """Whether its first byte has come."""
        return self._first_byte_seconds > 0

    def receive(self, buffer: memoryview) -> Taken | None:
        """Take what is there; gives what was seen once that was all."""
        got_bytes = self._connection.recv_into(buffer)
        seconds = time.monotonic() - self._asked_at
        if not got_bytes:
            raise WrongAnswerError(f"GET {self._path}: {max(self._received_bytes, 0)} of {self._size_bytes} bytes")
        if self._received_bytes < 0:
            got_bytes = self._read_head(bytes(buffer[:got_bytes]))
        if got_bytes and not self._first_byte_seconds:
            self._first_byte_seconds = seconds
        self._received_bytes += got_bytes
        if self._received_bytes < self._size_bytes:
            return None
        return Taken(self._first_byte_seconds, seconds)

    def _read_head(self, piece: bytes) -> int:
        """Read headers as far as they have come; gives how many bytes of the body came with them."""
        self._head += piece
        head, ended, body = self._head.partition(_END_OF_HEADERS)
        if not ended:
            return 0
        if head.split(b" ", 2)[1] != b"200":
            raise WrongAnswerError(f"GET {self._path}: {head[:200].decode(errors='replace')}")
        self._received_bytes = 0
        return len(body)
