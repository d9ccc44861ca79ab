"""Many clients that pull one blob at the same time, in one thread.

With one thread for each client, the measurement would include the time that the threads wait for each other.
"""

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
#: Bytes to read at a time while any client waits for its first byte, since larger reads would delay that client.
_FIRST_BYTES = 64 * KIB
_END_OF_HEADERS = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Taken:
    """Times of one client, in seconds since its request.

    Attributes:
        first_byte_seconds: Time until the first byte of the blob.
        seconds: Time until the last byte of the blob.
    """

    first_byte_seconds: float
    seconds: float


def take(port: int, path: str, size_bytes: int, *, clients: int) -> Sequence[Taken]:
    """Let `clients` request one blob, each over its own connection, and read the blob as fast as possible.

    Raises:
        WrongAnswerError: If a status is not 200 or a body does not have `size_bytes`.
        TimeoutError: If no data arrives for 120 s.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    with ExitStack() as stack:
        waiting = stack.enter_context(selectors.DefaultSelector())
        for _ in range(clients):
            connection = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
            waiting.register(connection, selectors.EVENT_READ, _Client(connection, path, size_bytes))
        # All clients are connected before the first request, so that connecting is not part of the times.
        for key in waiting.get_map().values():
            key.data.ask(request)
        return list(_taken(waiting))


def _taken(waiting: selectors.BaseSelector) -> Iterator[Taken]:
    buffer = memoryview(bytearray(MIB))
    still_nothing = len(waiting.get_map())
    while waiting.get_map():
        ready = waiting.select(_TIMEOUT_SECONDS)
        if not ready:
            raise TimeoutError(f"no data arrived for {_TIMEOUT_SECONDS} s")
        # Clients without a first byte come first, so that reading for the others does not delay their time.
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
        """True if the first byte of the blob has arrived."""
        return self._first_byte_seconds > 0

    def receive(self, buffer: memoryview) -> Taken | None:
        """Read the available data. Return the times when the blob is complete, otherwise None."""
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
        """Read response headers as far as they have arrived, and return how many bytes of the body came with them."""
        self._head += piece
        head, ended, body = self._head.partition(_END_OF_HEADERS)
        if not ended:
            return 0
        if head.split(b" ", 2)[1] != b"200":
            raise WrongAnswerError(f"GET {self._path}: {head[:200].decode(errors='replace')}")
        self._received_bytes = 0
        return len(body)
